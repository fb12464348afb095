//! What executes guests on a host: whether KVM is good for anything there, found out by
//! running a guest under it.
//!
//! KVM may be offered where 64-bit kernel code does not get anywhere, such as in virtual
//! machines that pretend to nest. The trial is a boot sector that works for a while in
//! 64-bit mode and then says so on its serial port.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet_driver::{Error, ErrorKind, MachineId, Result};
use serde::{Deserialize, Serialize};
use virt::sys;

use super::disks::Pool;
use super::job::{Job, Link};
use crate::errors;
use crate::hosts::{Host, is_local};
use crate::options::{KindChoice, Options};

/// The boot sector of the driver `qemu`; its source is beside it.
const GUEST: &[u8; 512] = include_bytes!("../../../qemu/src/probe/longmode.bin");
/// The firmware does not boot from smaller disks.
const DISK_SIZE: usize = 1 << 20;
/// What it says.
const PASSED: &[u8] = b"64-bit code runs";
const SHORTEST_LIMIT: Duration = Duration::from_secs(3);
const LONGEST_LIMIT: Duration = Duration::from_secs(20);
/// How the domains and volumes of trials begin.
const TRIAL: &str = "fleet-trial-";
/// After so many seconds what is left of a trial belongs to nobody.
const LEFT: u64 = 600;
/// How long a verdict about another computer counts, in seconds.
const A_DAY: u64 = 86_400;

/// A verdict that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    /// What it depends on: versions, and the boot of this computer or the host's UUID.
    of: String,
    /// When it was found, in seconds since 1970.
    at: u64,
    /// How the trial failed, if it did.
    failure: Option<String>,
}

impl Verdict {
    fn counts(&self, of: &str, now: u64, local: bool) -> bool {
        self.of == of && (local || now.saturating_sub(self.at) < A_DAY)
    }
}

/// The type of domain for a machine with these options: `kvm`, `qemu` or `test`.
pub(super) fn kind(job: &Job, link: &Link, host: &Host, options: &Options) -> Result<String> {
    Ok(judge(job, link, host, options)?.0)
}

/// The type, and for `auto` the reason in words.
///
/// # Errors
/// `Host`, if KVM is asked for and not offered.
pub(super) fn judge(
    job: &Job,
    link: &Link,
    host: &Host,
    options: &Options,
) -> Result<(String, Option<String>)> {
    if link.pretends() {
        return Ok(("test".to_owned(), None));
    }
    let offered = || -> Result<(bool, String)> {
        let what = "read the host's capabilities";
        let text = link.ok(what, link.connect.capabilities())?;
        Ok(read(&text))
    };
    match options.kind {
        KindChoice::Qemu => Ok(("qemu".to_owned(), None)),
        KindChoice::Kvm if offered()?.0 => Ok(("kvm".to_owned(), None)),
        KindChoice::Kvm => {
            Err(Error::host(format!("{} does not offer KVM", host.title())).hint(errors::KVM))
        }
        KindChoice::Auto => {
            let (kvm, uuid) = offered()?;
            let failure = if kvm {
                tried(job, link, host, options, &uuid)?
            } else {
                Some("its libvirt does not offer KVM".to_owned())
            };
            Ok(match failure {
                None => ("kvm".to_owned(), Some("machines run under KVM".to_owned())),
                Some(why) => {
                    let text = format!(
                        "machines on {} are emulated, which is about ten times slower than \
                         KVM: {why}",
                        host.title()
                    );
                    ("qemu".to_owned(), Some(text))
                }
            })
        }
    }
}

/// Whether a host offers KVM for this processor, and its UUID.
fn read(capabilities: &str) -> (bool, String) {
    let Ok(document) = roxmltree::Document::parse(capabilities) else {
        return (false, String::new());
    };
    let uuid = document.descendants().find(|node| node.has_tag_name("uuid"));
    let kvm = document
        .descendants()
        .filter(|n| n.has_tag_name("arch") && n.attribute("name") == Some("x86_64"))
        .flat_map(|arch| arch.children())
        .any(|n| n.has_tag_name("domain") && n.attribute("type") == Some("kvm"));
    (kvm, uuid.and_then(|node| node.text()).unwrap_or_default().to_owned())
}

/// The verdict of the trial, which is made if none is kept.
fn tried(
    job: &Job,
    link: &Link,
    host: &Host,
    options: &Options,
    uuid: &str,
) -> Result<Option<String>> {
    let _turn = job.turn(&format!("kvm {}", link.uri))?;
    let local = is_local(&link.uri);
    let boot = if local {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
    } else {
        String::new()
    };
    let what = "read libvirt's version";
    let of = format!(
        "{uuid} {} {} {}",
        link.ok(what, link.connect.lib_version())?,
        link.ok(what, link.connect.hyp_version())?,
        boot.trim()
    );
    let note = job.settings.cache.join("libvirt-kvm.json");
    let known = fs::read(&note).ok();
    let mut kept: BTreeMap<String, Verdict> =
        known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if let Some(known) = kept.get(&link.uri).filter(|known| known.counts(&of, now, local)) {
        return Ok(known.failure.clone());
    }
    let failure = trial(job, link, host.pool(options))?;
    kept.insert(link.uri.clone(), Verdict { of, at: now, failure: failure.clone() });
    // It can be found out again.
    drop(fs::create_dir_all(&job.settings.cache));
    let fresh = note.with_extension("json.new");
    let text = serde_json::to_vec(&kept).expect("plain data becomes JSON");
    if fs::write(&fresh, text).is_ok() {
        drop(fs::rename(&fresh, &note));
    }
    Ok(failure)
}

/// Runs the guest in emulation, to know how fast the host is just now, then under KVM.
fn trial(job: &Job, link: &Link, pool: &str) -> Result<Option<String>> {
    let pool = Pool::open(link, pool)?;
    // Several users of one host do not disturb each other.
    let name = format!("{TRIAL}{}", std::process::id());
    let (disk, said) = (format!("{name}.img"), format!("{name}.log"));
    let mut bytes = GUEST.to_vec();
    bytes.resize(DISK_SIZE, 0);
    let path = pool.make_small(job, &disk, &bytes)?;
    sweep(link, &pool, &disk)?;
    let began = Instant::now();
    let run = |kind: &str, limit: Duration| -> Result<Option<String>> {
        pool.make_small(job, &said, b" ")?;
        let out = format!("{}/{said}", pool.folder.trim_end_matches('/'));
        let text = domain(&name, kind, &path, &out);
        // It goes with this connection, whatever ends it.
        let ends = sys::VIR_DOMAIN_START_AUTODESTROY;
        let domain = match link.connect.create_domain_xml(&text, ends) {
            Ok(domain) => domain,
            Err(e) => return Ok(Some(e.message().to_owned())),
        };
        let ended = listen(job, &pool, &said, limit);
        drop(domain.destroy());
        ended
    };
    let result = match run("qemu", 2 * LONGEST_LIMIT) {
        Ok(None) => {
            let limit = (began.elapsed() * 8).clamp(SHORTEST_LIMIT, LONGEST_LIMIT);
            let why =
                |end| format!("KVM is offered, but a small 64-bit guest failed on it ({end})");
            run("kvm", limit).map(|failed| failed.map(why))
        }
        Ok(Some(failure)) => {
            Err(Error::host("the host does not run even a small guest").because(failure))
        }
        Err(error) => Err(error),
    };
    for volume in [&disk, &said] {
        drop(pool.remove(volume));
    }
    result
}

/// Removes what trials have left that were killed: they are older than any trial takes, by
/// the host's own clock.
fn sweep(link: &Link, pool: &Pool, mine: &str) -> Result<()> {
    let what = "look for what earlier trials have left";
    let made = |name: &str| -> Result<Option<u64>> {
        let Some(volume) = pool.volume(name)? else { return Ok(None) };
        Ok(link.some(what, volume.xml_desc(0))?.and_then(|text| changed(&text)))
    };
    let Some(now) = made(mine)? else { return Ok(()) };
    let mut old = Vec::new();
    for volume in link.ok(what, pool.handle.list_all_volumes(0))? {
        let Ok(name) = volume.name() else { continue };
        if name.starts_with(TRIAL) && made(&name)?.is_some_and(|at| at + LEFT < now) {
            old.push(name);
        }
    }
    for name in old {
        let guest = name.rsplit_once('.').map_or(name.as_str(), |(guest, _)| guest);
        if let Ok(domain) = link.connect.lookup_domain_by_name(guest) {
            drop(domain.destroy());
        }
        pool.remove(&name)?;
    }
    Ok(())
}

/// When a volume was last written to, in seconds since 1970.
fn changed(text: &str) -> Option<u64> {
    let document = roxmltree::Document::parse(text).ok()?;
    let time = document.descendants().find(|node| node.has_tag_name("mtime"))?.text()?;
    time.split('.').next()?.trim().parse().ok()
}

/// Waits until the guest has spoken; gives what happened instead, if it has not.
fn listen(job: &Job, pool: &Pool, said: &str, limit: Duration) -> Result<Option<String>> {
    let until = Instant::now() + limit;
    let heard = job.until("a small guest", "", || {
        // A pool that is busy just now is looked at again in a moment.
        drop(pool.handle.refresh(0));
        let mut text = Vec::new();
        if let Some(volume) = pool.volume(said)? {
            job.content().read(&pool.link.connect, &volume, 0, 0, &mut |bytes| {
                text.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        if text.windows(PASSED.len()).any(|window| window == PASSED) {
            return Ok(None);
        }
        if Instant::now() > until {
            return Ok(Some(format!("it said nothing within {} s", limit.as_secs())));
        }
        Err(Error::busy("the small guest has not spoken"))
    });
    match heard {
        Err(error) if error.kind() == ErrorKind::Driver => Ok(Some(error.to_string())),
        other => other,
    }
}

fn domain(name: &str, kind: &str, disk: &str, said: &str) -> String {
    let cpu =
        if kind == "kvm" { "<cpu mode='host-passthrough'/>" } else { "<cpu mode='maximum'/>" };
    let uuid = MachineId::new(name, kind).uuid();
    let [disk, said] = [disk, said].map(crate::xml::escape);
    format!(
        "<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>\
         <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>\
         <features><acpi/></features>{cpu}<on_reboot>destroy</on_reboot><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>\
         <target dev='vda' bus='virtio'/></disk>\
         <serial type='file'><source path='{said}'/><target port='0'/></serial>\
         <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read() {
        let text = "<capabilities><host><uuid>u</uuid></host><guest><arch name='x86_64'>\
                    <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>";
        assert_eq!(read(text), (true, "u".to_owned()));
        assert_eq!(read(&text.replace("kvm", "x")), (false, "u".to_owned()));
        assert_eq!(read(&text.replace("x86_64", "i686")), (false, "u".to_owned()));
    }

    #[test]
    fn the_age_of_a_volume_is_read() {
        let text = "<volume><target><timestamps><mtime>1795568180.552438612</mtime>\
                    </timestamps></target></volume>";
        assert_eq!(changed(text), Some(1_795_568_180));
        assert_eq!(changed("<volume/>"), None);
    }

    #[test]
    fn a_verdict_counts_for_a_while() {
        let verdict = Verdict { of: "a".into(), at: 1000, failure: None };
        assert!(verdict.counts("a", 1000 + 10 * A_DAY, true));
        assert!(verdict.counts("a", 1000 + A_DAY - 1, false));
        assert!(!verdict.counts("a", 1000 + A_DAY, false));
        assert!(!verdict.counts("b", 1000, true));
    }

    #[test]
    fn the_trials_domain_is_xml() {
        for kind in ["kvm", "qemu"] {
            let text = domain("n", kind, "/a&b", "/c");
            let document = roxmltree::Document::parse(&text).unwrap();
            assert_eq!(document.root_element().attribute("type"), Some(kind));
        }
    }
}
