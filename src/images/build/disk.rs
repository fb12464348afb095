//! A root file system becomes a disk that boots by itself, without loop devices: every
//! tool writes at its place into one plain file.
//!
//! ```text
//! 0        boot sector (syslinux's `mbr.bin`) and the table of partitions
//! 1 MiB    FAT: kernel, initrd and syslinux, which a BIOS starts
//! 128 MiB  ext4, the last, so that it can grow: the root, found by its label, since
//!          the disk's name differs between hypervisors
//! ```

use std::path::{Path, PathBuf};

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, Result};

use super::tools::{Builder, Tools};
use crate::images::store::trouble;

const MIB: u64 = 1 << 20;
const BOOT_START: u64 = MIB;
const ROOT_START: u64 = 128 * MIB;
/// The code of the boot sector ends where the table of partitions begins.
const BOOT_CODE: usize = 440;

/// The features that every kernel since Linux 4.4 knows, named one by one: what
/// `mke2fs` turns on by itself depends on this host.
const EXT4: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
                    flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// How a disk is put together.
pub(super) struct Assembly<'a> {
    pub(super) tools: &'a Tools,
    /// The folder to work in.
    pub(super) work: &'a Path,
    pub(super) cx: &'a Cx,
}

impl Assembly<'_> {
    /// Unpacks the archive of a root file system and gives the folder.
    ///
    /// # Errors
    /// `Driver`: `tar` fails.
    pub(super) async fn unpack(&self, archive: &Path) -> Result<PathBuf> {
        let root = self.work.join("root");
        std::fs::create_dir(&root).map_err(|e| trouble("could not make a folder", &root, e))?;
        // The kernel fills /dev by itself.
        let words = ["--extract", "--numeric-owner", "--same-permissions", "--exclude=./dev/*"];
        let cmd = self.owning(Fakeroot::Begin, "tar").args(words);
        let cmd = match self.tools.builder {
            Builder::Root => cmd.args(["--same-owner", "--xattrs", "--xattrs-include=*"]),
            Builder::User => cmd.arg("--same-owner"),
        };
        self.cx.run(&cmd.arg("--directory").arg(&root).arg("--file").arg(archive)).await?;
        Ok(root)
    }

    /// Makes the disk, a raw file, out of an unpacked root file system.
    ///
    /// # Errors
    /// `Driver`: a tool fails; `Host`: a file cannot be written.
    pub(super) async fn disk(&self, root: &Path, bytes: u64) -> Result<PathBuf> {
        let disk = self.work.join("disk.raw");
        // A quarter more than the files for what a file system needs, and some room for
        // a machine whose disk is not larger.
        let size = (bytes + bytes / 4 + 256 * MIB).div_ceil(4 * MIB) * 4 * MIB;
        self.table(&disk, ROOT_START + size).await?;
        self.boot(&disk, root).await?;
        let options = format!("offset={ROOT_START},lazy_itable_init=0,lazy_journal_init=0");
        let cmd = self
            .owning(Fakeroot::GoOn, "mke2fs")
            .args(["-q", "-t", "ext4", "-L", "fleet-root", "-m", "1", "-O", EXT4, "-E"])
            .arg(options)
            .arg("-d")
            .arg(root)
            .arg(&disk)
            .arg(format!("{}k", size / 1024));
        self.cx.run(&cmd).await?;
        Ok(disk)
    }

    /// An empty disk with its partitions and the code that starts the active one.
    async fn table(&self, disk: &Path, bytes: u64) -> Result<()> {
        let attempt = || -> std::io::Result<()> { std::fs::File::create(disk)?.set_len(bytes) };
        attempt().map_err(|e| trouble("could not make a disk", disk, e))?;
        let sectors = |bytes: u64| bytes / 512;
        // Types: `e` is FAT16 reached by LBA, 83 is Linux.
        let table = format!(
            "label: dos\nstart={}, size={}, type=e, bootable\nstart={}, type=83\n",
            sectors(BOOT_START),
            sectors(ROOT_START - BOOT_START),
            sectors(ROOT_START),
        );
        let cmd = Cmd::new(self.tools.path("sfdisk")).args(["--quiet", "--no-reread"]).arg(disk);
        self.cx.run(&cmd.stdin(table)).await?;
        let attempt = || -> std::io::Result<()> {
            use std::io::Write;
            let code = std::fs::read(&self.tools.boot_sector)?;
            let mut file = std::fs::OpenOptions::new().write(true).open(disk)?;
            file.write_all(&code[..code.len().min(BOOT_CODE)])
        };
        attempt().map_err(|e| trouble("could not write the boot sector", disk, e))
    }

    /// The partition that the BIOS starts: syslinux, its settings, the kernel, the initrd.
    async fn boot(&self, disk: &Path, root: &Path) -> Result<()> {
        let settings = self.work.join("syslinux.cfg");
        std::fs::write(&settings, include_str!("../../../templates/image/syslinux.cfg"))
            .map_err(|e| trouble("could not write a file", &settings, e))?;
        let place = format!("{}@@{BOOT_START}", disk.display());
        let sectors = ((ROOT_START - BOOT_START) / 512).to_string();
        let format = Cmd::new(self.tools.path("mformat"))
            .args(["-i", &place, "-T", &sectors, "-h", "255", "-s", "63"])
            .args(["-H", &(BOOT_START / 512).to_string(), "-v", "FLEET-BOOT", "::"]);
        self.cx.run(&format).await?;
        for (file, name) in [
            (newest(root, "vmlinuz-")?, "::/vmlinuz"),
            (newest(root, "initrd.img-")?, "::/initrd.img"),
            (settings, "::/syslinux.cfg"),
        ] {
            let copy = Cmd::new(self.tools.path("mcopy")).args(["-i", &place]).arg(file).arg(name);
            self.cx.run(&copy).await?;
        }
        let install = Cmd::new(self.tools.path("syslinux"))
            .args(["--offset", &BOOT_START.to_string(), "--install"])
            .arg(disk);
        self.cx.run(&install).await?;
        Ok(())
    }

    /// A tool that makes or reads files with their owners.
    fn owning(&self, phase: Fakeroot, tool: &str) -> Cmd {
        if self.tools.builder == Builder::Root {
            return Cmd::new(self.tools.path(tool));
        }
        let owners = self.work.join("owners");
        let cmd = Cmd::new(self.tools.path("fakeroot"));
        let cmd = if phase == Fakeroot::GoOn { cmd.arg("-i").arg(&owners) } else { cmd };
        cmd.arg("-s").arg(&owners).arg("--").arg(self.tools.path(tool))
    }
}

/// `fakeroot` keeps who owns what in a file from one tool to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fakeroot {
    Begin,
    GoOn,
}

/// The file in `boot` whose name begins so; there is one kernel in a new image.
fn newest(root: &Path, begin: &str) -> Result<PathBuf> {
    let boot = root.join("boot");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&boot)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin))
        })
        .collect();
    files.sort();
    files.pop().ok_or_else(|| {
        Error::driver(format!("the packages brought no `{begin}*`")).with("folder", boot.display())
    })
}
