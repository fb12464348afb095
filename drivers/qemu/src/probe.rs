//! Whether a guest really runs under KVM, found out by running one.
//!
//! `/dev/kvm` may open, and real-mode code may run under it, where 64-bit kernel code
//! is executed one emulated instruction at a time: thousands of times slower, so
//! that a kernel never gets through its own unpacking. Such a host is found in
//! virtual machines that pretend to nest. The trial is a boot sector
//! (`probe/longmode.s`) that does some tens of millions of rounds in 64-bit mode:
//! tens of milliseconds on a processor, less than a second in emulation, hours on
//! such a host.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::emulator::{Emulator, PROGRAM};
use crate::folder::{read, write_atomically};
use crate::machine::Accel;

const GUEST: &[u8; 512] = include_bytes!("probe/longmode.bin");
/// The firmware does not boot from smaller disks.
const DISK_SIZE: usize = 1 << 20;
/// What the guest makes of QEMU's exit status: 0x10 * 2 + 1.
const PASSED: i32 = 33;
/// Ten times what the trial takes on a slow processor with KVM.
const SHORTEST_LIMIT: Duration = Duration::from_secs(3);
/// On a host so loaded that this is too short, KVM is not what is missing.
const LONGEST_LIMIT: Duration = Duration::from_secs(20);

/// What KVM is good for on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kvm {
    /// A guest runs.
    Works,
    /// `/dev/kvm` cannot be opened; says why.
    Closed(String),
    /// It opens, but a guest does not get far; says how the trial ended.
    Useless(String),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    /// `/proc/sys/kernel/random/boot_id`: another kernel may judge otherwise.
    boot: String,
    qemu: String,
    /// How the trial failed, if it did.
    failure: Option<String>,
}

/// Finds out about KVM, from the cache if this boot's trial was made before.
///
/// # Errors
/// `Host` if the cache cannot be written or QEMU cannot run the trial even in
/// emulation; `Interrupted`.
pub(crate) async fn kvm(cache: &Path, emulator: &Emulator, cx: &Cx) -> Result<Kvm> {
    if let Err(why) = open_device() {
        return Ok(Kvm::Closed(why));
    }
    judged(cache, emulator, cx).await
}

/// The verdict of this boot's trial, which is made if it was not yet.
async fn judged(cache: &Path, emulator: &Emulator, cx: &Cx) -> Result<Kvm> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = boot.trim().to_owned();
    let note = cache.join("kvm.json");
    let known = read(&note)?.and_then(|bytes| serde_json::from_slice::<Verdict>(&bytes).ok());
    let verdict = match known {
        Some(known) if known.boot == boot && known.qemu == emulator.version => known,
        _ => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(cache)
                .map_err(|e| Error::host("could not make the cache folder").because(e))?;
            let failure = trial(cache, cx).await?;
            let verdict = Verdict { boot, qemu: emulator.version.clone(), failure };
            let text = serde_json::to_vec(&verdict).expect("plain data becomes JSON");
            write_atomically(&note, &text)?;
            verdict
        }
    };
    Ok(verdict.failure.map_or(Kvm::Works, Kvm::Useless))
}

/// Opens `/dev/kvm` as QEMU would.
///
/// # Errors
/// The reason, in words.
pub(crate) fn open_device() -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err("there is no /dev/kvm".to_owned())
        }
        Err(e) => Err(format!("/dev/kvm cannot be opened: {e}")),
    }
}

/// Runs the guest in emulation, to know how fast this host is just now, and then
/// under KVM. Gives how it failed, if it did.
async fn trial(cache: &Path, cx: &Cx) -> Result<Option<String>> {
    let disk = cache.join("kvm-probe.img");
    let mut bytes = GUEST.to_vec();
    bytes.resize(DISK_SIZE, 0);
    write_atomically(&disk, &bytes)?;

    let began = Instant::now();
    match run(Accel::Tcg, "max", &disk, 2 * LONGEST_LIMIT, cx).await? {
        None => {}
        Some(failure) => {
            return Err(Error::host("QEMU does not run even a small guest").because(failure));
        }
    }
    let limit = (began.elapsed() * 8).clamp(SHORTEST_LIMIT, LONGEST_LIMIT);
    let failure = run(Accel::Kvm, "host", &disk, limit, cx).await?;
    if failure.is_some() && cx.left().is_zero() {
        return Err(Error::driver("there was no time left to try KVM"));
    }
    Ok(failure)
}

async fn run(
    accel: Accel,
    cpu: &str,
    disk: &Path,
    limit: Duration,
    cx: &Cx,
) -> Result<Option<String>> {
    let file = serde_json::json!({
        "driver": "raw",
        "node-name": "disk",
        "read-only": true,
        "file": { "driver": "file", "filename": disk },
    });
    let cmd = Cmd::new(PROGRAM)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-machine", "pc", "-accel", accel.name(), "-cpu", cpu, "-m", "16"])
        .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1", "-serial", "stdio"])
        .args(["-blockdev", &file.to_string(), "-device", "virtio-blk-pci,drive=disk"])
        .any_status()
        .within(limit);
    match cx.run(&cmd).await {
        Ok(output) if output.status == Some(PASSED) => Ok(None),
        Ok(output) if output.stderr.is_empty() => Ok(Some("the guest ended too early".to_owned())),
        Ok(output) => Ok(Some(output.error_text())),
        // A signal or the limit.
        Err(error) if error.kind() == ErrorKind::Driver => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use fleet_driver::event::Reporter;
    use fleet_driver::run::{Output, Run};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::args::Sandbox;

    /// Passes under emulation, and under KVM as told; counts.
    struct Host {
        kvm: Option<i32>,
        runs: AtomicUsize,
    }

    impl Run for Host {
        fn run<'a>(
            &'a self,
            cmd: &'a Cmd,
            _: Duration,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output>> + Send + 'a>> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            let kvm = cmd.arguments().iter().any(|word| word == "kvm");
            let status = if kvm { self.kvm } else { Some(PASSED) };
            Box::pin(async move { Ok(Output { status, ..Output::default() }) })
        }
    }

    fn host(kvm: Option<i32>) -> (Arc<Host>, Cx) {
        let host = Arc::new(Host { kvm, runs: AtomicUsize::new(0) });
        let cx = Cx::new("/nowhere", Reporter::silent(), CancellationToken::new());
        (host.clone(), cx.with_runner(host))
    }

    #[tokio::test]
    async fn the_trial_decides() {
        for (status, works) in [(Some(PASSED), true), (Some(0), false), (None, false)] {
            let dir = tempfile::tempdir().unwrap();
            let failure = trial(dir.path(), &host(status).1).await.unwrap();
            assert_eq!(failure.is_none(), works, "{status:?}: {failure:?}");
        }
    }

    #[tokio::test]
    async fn a_verdict_is_kept_for_this_boot_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let (host, cx) = host(Some(PASSED));
        for (version, runs) in [("7.2", 2), ("7.2", 2), ("8.0", 4)] {
            let emulator = Emulator { version: version.to_owned(), sandbox: Sandbox::On };
            let judged = judged(dir.path(), &emulator, &cx).await.unwrap();
            assert_eq!(judged, Kvm::Works);
            assert_eq!(host.runs.load(Ordering::Relaxed), runs);
        }
    }

    /// The real QEMU agrees with the boot sector about what passing means.
    #[tokio::test]
    async fn the_guest_passes_in_emulation() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::new("/nowhere", Reporter::silent(), CancellationToken::new());
        if Emulator::ask(&cx).await.is_err() {
            return; // the conformance suite says so
        }
        let disk = dir.path().join("disk,with=odd name");
        let mut bytes = GUEST.to_vec();
        bytes.resize(DISK_SIZE, 0);
        fs::write(&disk, bytes).unwrap();
        let failure = run(Accel::Tcg, "max", &disk, Duration::from_secs(60), &cx).await.unwrap();
        assert_eq!(failure, None);
    }
}
