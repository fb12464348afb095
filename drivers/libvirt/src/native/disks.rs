//! The volumes: base images, the disks that stand on them, and seeds.

use std::fs::File;
use std::io::Read;
use std::io::{Seek, SeekFrom};

use fleet_driver::event::{EventKind, StepId, Unit};
use fleet_driver::{Error, ImageFile, MachineId, Result, Secret, fault, seed};
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::job::{Job, Link, refusal};
use crate::xml::{self, VolumeView};
use crate::{errors, names};

/// The last bytes that are written of an image are its first: until then it is none.
const HEAD: u64 = 4096;
/// What a qcow2 file begins with (QEMU, `docs/interop/qcow2.txt`).
const MAGIC: &[u8] = b"QFI\xfb";
/// How often a base image is made again that others take away.
const ATTEMPTS: usize = 5;

/// A storage pool that is in use.
pub(super) struct Pool {
    pub(super) link: Link,
    pub(super) handle: StoragePool,
    pub(super) name: String,
    /// Where its files are.
    pub(super) folder: String,
}

impl Pool {
    /// Looks at a pool, and starts it if it is off.
    ///
    /// # Errors
    /// `Host`, with the way out, if it is missing or keeps no files.
    pub(super) fn open(link: &Link, name: &str) -> Result<Self> {
        let found = link.connect.lookup_storage_pool_by_name(name);
        let pool = found.map_err(|e| {
            if i64::from(e.code().to_raw()) == 49 {
                Error::host(format!("there is no storage pool `{name}`"))
                    .with("uri", &link.uri)
                    .hint(errors::pool_hint(name, &link.uri))
                    .because(refusal(&e))
            } else {
                link.error("look for the storage pool", &e)
            }
        })?;
        let what = "start the storage pool";
        if !link.ok(what, pool.is_active())?
            && let Err(e) = pool.create(0)
            && !pool.is_active().unwrap_or(false)
        {
            return Err(link.error(what, &e));
        }
        let text = link.ok("read the storage pool", pool.xml_desc(0))?;
        let document = roxmltree::Document::parse(&text)
            .map_err(|e| Error::driver("libvirt's description is no XML").because(e))?;
        let kind = document.root_element().attribute("type").unwrap_or_default();
        if !["dir", "fs", "netfs"].contains(&kind) {
            return Err(Error::host(format!("the storage pool `{name}` keeps no files"))
                .with("type", kind)
                .hint("use a pool of the type `dir`, `fs` or `netfs`"));
        }
        let path = document.descendants().find(|node| node.has_tag_name("path"));
        let folder = path.and_then(|node| node.text()).unwrap_or_default().to_owned();
        Ok(Self { link: link.clone(), handle: pool, name: name.to_owned(), folder })
    }

    /// Looks at a pool without starting it; none if it is off.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub(super) fn open_quietly(link: &Link, name: &str) -> Result<Option<Self>> {
        match link.connect.lookup_storage_pool_by_name(name) {
            Ok(pool) if !link.ok("read the storage pool", pool.is_active())? => Ok(None),
            _ => Self::open(link, name).map(Some),
        }
    }

    /// A volume, if it is there.
    pub(super) fn volume(&self, name: &str) -> Result<Option<StorageVol>> {
        self.link.some("look for a volume", self.handle.lookup_storage_vol_by_name(name))
    }

    /// Removes a volume, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let Some(volume) = self.volume(name)? else { return Ok(()) };
        self.link.some("remove a volume", volume.delete(0)).map(drop)
    }

    /// Makes libvirt see files that others have put there.
    pub(super) fn refresh(&self, job: &Job) -> Result<()> {
        let hint = "another job keeps the storage pool busy";
        job.until("the storage pool", hint, || match self.handle.refresh(0) {
            Ok(()) => Ok(()),
            Err(e) if e.message().contains("asynchronous jobs") => {
                Err(Error::busy("the storage pool is busy").because(refusal(&e)))
            }
            Err(e) => Err(self.link.error("refresh the storage pool", &e)),
        })
    }

    /// How many bytes are free.
    pub(super) fn free(&self) -> Result<u64> {
        Ok(self.link.ok("read the storage pool", self.handle.info())?.available)
    }

    fn make(&self, name: &str, bytes: u64, format: &str, base: &str) -> Result<StorageVol> {
        let text = xml::volume(&VolumeView { name, bytes, format, base })?;
        let made = StorageVol::create_xml(&self.handle, &text, 0);
        match made {
            Ok(volume) => Ok(volume),
            Err(e) => match self.volume(name)? {
                // Another fleet was faster.
                Some(volume) if base.is_empty() => Ok(volume),
                _ => Err(self.link.error("make a volume", &e)),
            },
        }
    }

    fn path(&self, volume: &StorageVol) -> Result<String> {
        self.link.ok("read a volume's path", volume.path())
    }

    /// Whether a base image is there with all its bytes.
    pub(super) fn has_image(&self, job: &Job, sha256: &str) -> Result<bool> {
        let Some(volume) = self.volume(&names::image(sha256))? else { return Ok(false) };
        let mut head = Vec::new();
        job.content().read(&self.link.connect, &volume, 0, MAGIC.len() as u64, &mut |bytes| {
            head.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(head == MAGIC)
    }

    fn upload_image(&self, job: &Job, image: &ImageFile) -> Result<()> {
        let failed = |e: std::io::Error| {
            Error::host("could not read the image").with("image", image.path.display()).because(e)
        };
        let mut file = File::open(&image.path).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        let volume = self.make(&names::image(&image.sha256), total, "raw", "")?;
        let head = HEAD.min(total);
        let mut done = 0;
        for (from, to) in [(head, total), (0, head)] {
            if from == to {
                continue;
            }
            if from == 0 {
                fault::point("libvirt-image-head", &image.sha256[..8.min(image.sha256.len())])?;
            }
            file.seek(SeekFrom::Start(from)).map_err(failed)?;
            let mut left = to - from;
            job.content().write(&self.link.connect, &volume, from, left, &mut |buffer| {
                job.go_on()?;
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let got = file.read(&mut buffer[..most]).map_err(failed)?;
                left -= got as u64;
                done += got as u64;
                job.cx.report(EventKind::StepAdvanced {
                    step: StepId::Create,
                    done,
                    total: Some(total),
                    unit: Unit::Bytes,
                });
                Ok(got)
            })?;
        }
        self.refresh(job)
    }

    /// Makes a machine's disk on its base image, which is brought to the host first.
    pub(super) fn make_disk(
        &self,
        job: &Job,
        id: &MachineId,
        image: &ImageFile,
        disk_mib: u64,
    ) -> Result<String> {
        let _turn = job.turn(&self.image_word(&image.sha256))?;
        for _ in 0..ATTEMPTS {
            if !self.has_image(job, &image.sha256)? {
                self.upload_image(job, image)?;
            }
            fault::point("libvirt-create-disk", id.machine())?;
            job.go_on()?;
            self.remove(&names::disk(id))?;
            let Some(base) = self.volume(&names::image(&image.sha256))? else { continue };
            let base = self.path(&base)?;
            let made = self.make(&names::disk(id), disk_mib << 20, "qcow2", &base);
            // Another fleet may have removed it just then.
            if self.has_image(job, &image.sha256)? {
                return self.path(&made?);
            }
        }
        Err(Error::busy("the base image is taken away by another fleet again and again"))
    }

    fn image_word(&self, sha256: &str) -> String {
        format!("image {} {} {sha256}", self.link.uri, self.name)
    }

    /// Makes a machine's seed; gives its path.
    pub(super) fn make_seed(
        &self,
        job: &Job,
        id: &MachineId,
        files: &[(String, Secret<Vec<u8>>)],
    ) -> Result<String> {
        let bytes = seed::iso(seed::LABEL, files)?;
        self.remove(&names::seed(id))?;
        let volume = self.make(&names::seed(id), bytes.len() as u64, "raw", "")?;
        self.fill(job, &volume, &bytes)?;
        self.path(&volume)
    }

    fn fill(&self, job: &Job, volume: &StorageVol, bytes: &[u8]) -> Result<()> {
        let mut left = bytes;
        job.content().write(&self.link.connect, volume, 0, bytes.len() as u64, &mut |buffer| {
            job.go_on()?;
            let most = buffer.len().min(left.len());
            buffer[..most].copy_from_slice(&left[..most]);
            left = &left[most..];
            Ok(most)
        })
    }

    /// Makes a small volume with these bytes; gives its path.
    pub(super) fn make_small(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<String> {
        self.remove(name)?;
        let volume = self.make(name, bytes.len() as u64, "raw", "")?;
        self.fill(job, &volume, bytes)?;
        self.path(&volume)
    }

    /// Grows a machine's disk.
    pub(super) fn grow(&self, id: &MachineId, disk_mib: u64) -> Result<()> {
        let Some(volume) = self.volume(&names::disk(id))? else {
            return Err(Error::conflict("the machine's disk is gone")
                .hint("destroy the machine and make it again"));
        };
        let what = "grow the disk";
        if self.link.ok(what, volume.info())?.capacity >= disk_mib << 20 {
            return Ok(());
        }
        self.link.ok(what, volume.resize(disk_mib << 20, 0)).map(drop)
    }

    /// Removes a machine's volumes.
    pub(super) fn remove_volumes(&self, id: &MachineId) -> Result<()> {
        self.remove(&names::seed(id))?;
        self.remove(&names::disk(id))
    }

    /// Removes what a machine has printed, with older parts that were put aside.
    pub(super) fn remove_log(&self, job: &Job, id: &MachineId) -> Result<()> {
        self.refresh(job)?;
        let log = names::log(id);
        for volume in self.link.ok("list the volumes", self.handle.list_all_volumes(0))? {
            let name = volume.name().unwrap_or_default();
            let rest = name.strip_prefix(&log);
            let older = |rest: &str| rest.starts_with('.') && rest[1..].parse::<u32>().is_ok();
            if rest.is_some_and(|rest| rest.is_empty() || older(rest)) {
                self.link.some("remove the console's log", volume.delete(0))?;
            }
        }
        Ok(())
    }

    /// Removes a base image, if nothing stands on it.
    pub(super) fn remove_image(&self, job: &Job, sha256: &str) -> Result<()> {
        let _turn = job.turn(&self.image_word(sha256))?;
        let Some(base) = self.volume(&names::image(sha256))? else { return Ok(()) };
        let path = self.path(&base)?;
        for volume in self.link.ok("list the volumes", self.handle.list_all_volumes(0))? {
            job.go_on()?;
            let Some(text) = self.link.some("read a volume", volume.xml_desc(0))? else {
                continue;
            };
            if stands_on(&text, &path) {
                return Ok(());
            }
        }
        self.link.some("remove the base image", base.delete(0)).map(drop)
    }
}

/// Whether a volume's XML says that it stands on the file `path`.
fn stands_on(text: &str, path: &str) -> bool {
    let Ok(document) = roxmltree::Document::parse(text) else { return false };
    let below = document.descendants().find(|node| node.has_tag_name("backingStore"));
    below.is_some_and(|store| {
        store.descendants().any(|n| n.has_tag_name("path") && n.text() == Some(path))
    })
}

/// Ejects what is in a domain's CD drive, whether the guest likes it or not.
///
/// The drive is a virtio-scsi one: small kernels for virtual machines know no SATA.
pub(super) fn eject(link: &Link, domain: &virt::domain::Domain) -> Result<()> {
    const EMPTY: &str = "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>\
                         <target dev='sda' bus='scsi'/><readonly/></disk>";
    let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
    if link.ok("read the domain's state", domain.is_active())? {
        flags |= sys::VIR_DOMAIN_AFFECT_LIVE | sys::VIR_DOMAIN_DEVICE_MODIFY_FORCE;
    }
    link.ok("take the seed away", domain.update_device_flags(EMPTY, flags))
}
