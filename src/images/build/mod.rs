//! An image out of a distribution's packages: engine included, booting by itself, and
//! lean, since it also runs where the processor is emulated.

mod apt;
mod disk;
mod tools;
mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_driver::event::{EventKind, StepId, Stream, Unit};
use fleet_driver::run::{Cmd, tail};
use fleet_driver::wait::pause_for;
use fleet_driver::{Cx, Error, ErrorKind, Level, Result};

use self::disk::Assembly;
use self::tools::{Builder, Tools};
use super::catalog::Distribution;
use super::digest::of_file;
use super::store::{New, Source, Store, fresh_dir, sweep, trouble};
use super::{qemu_img, space};
use crate::host::Host;

/// The most that the files of a build take at one time.
const ROOM: u64 = 3584 << 20;

/// The steps that are counted for people.
const STEPS: u64 = 5;

/// How long the packages may take.
const PACKAGES_LIMIT: Duration = Duration::from_secs(2400);

/// Ends with fleet whatever way fleet ends. `$1` is where the archive goes, which the
/// program itself need not be able to open.
///
/// As root, `mmdebstrap` mounts file systems and starts programs. In namespaces of its
/// own, all of which end with their first process, neither can outlive it; and what it
/// leaves can be swept without the danger of sweeping through a mount.
const AS_ROOT: &str = r#"out=$1; shift
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$@" >"$out""#;

/// As a user it makes such namespaces itself; on the signal it removes its files once
/// the program that it has started is done.
const AS_USER: &str = r#"out=$1; shift; setpriv --pdeathsig TERM "$@" >"$out"; exit $?"#;

/// Looks whether this host has what a build needs.
///
/// # Errors
/// `Host`, with all that is missing.
pub(super) fn possible(host: &Host) -> Result<()> {
    Tools::find(host).map(drop)
}

/// Builds the image in its folder of work and gives the finished disk. The caller holds
/// the image's lock.
///
/// # Errors
/// `Host`: something is missing on this host, or the disk is full; `Driver`: a tool
/// fails, such as `mmdebstrap` where no mirror can be reached.
pub(super) async fn build(
    distribution: &'static Distribution,
    host: &Host,
    store: &Store,
    cx: &Cx,
) -> Result<New> {
    let tools = Tools::find(host)?;
    let work = store.work(distribution.name).join("build");
    space::need(store.root(), ROOM, cx).await?;
    fresh_dir(&work)?;
    let built = steps(distribution, &tools, &work, cx).await;
    if built.is_err() {
        // What is left would only fill the disk; the next build would sweep it anyway.
        drop(sweep(&work));
    }
    built
}

async fn steps(
    distribution: &'static Distribution,
    tools: &Tools,
    work: &Path,
    cx: &Cx,
) -> Result<New> {
    step(cx, 0, &format!("collecting the packages of {}", distribution.title));
    let archive = packages(distribution, tools, work, cx).await?;
    let bytes = std::fs::metadata(&archive)
        .map_err(|e| trouble("could not look at the root file system", &archive, e))?
        .len();

    step(cx, 1, "unpacking the root file system");
    let assembly = Assembly { tools, work, cx };
    let root = assembly.unpack(&archive).await?;
    remove(&archive)?;
    let engine = engine_version(&root.join("var/lib/dpkg/status"));

    step(cx, 2, "making the disk");
    let raw = assembly.disk(&root, bytes).await?;
    sweep(&root)?;

    step(cx, 3, "converting the disk to qcow2");
    let disk = work.join("disk.qcow2");
    qemu_img::convert(&raw, "raw", &disk, cx).await?;
    remove(&raw)?;
    let inside = qemu_img::look(&disk, cx).await?;

    step(cx, 4, "computing its digest");
    let digests = of_file(&disk, None, cx).await?;
    progress(cx, STEPS);
    Ok(New {
        name: distribution.name.to_owned(),
        disk,
        sha256: digests.sha256,
        size_mib: qemu_img::mib(inside.virtual_bytes),
        source: Source::Built { suite: distribution.codename.to_owned() },
        distribution: Some(distribution.title.to_owned()),
        engine,
    })
}

/// Collects and installs the packages, and gives the archive of the root file system.
async fn packages(
    distribution: &Distribution,
    tools: &Tools,
    work: &Path,
    cx: &Cx,
) -> Result<PathBuf> {
    let tree = work.join("tree");
    tree::write(&tree)?;
    let files = work.join("tree.tar");
    let pack = Cmd::new(tools.path("tar"))
        .args(["--create", "--owner=0", "--group=0", "--numeric-owner", "--file"])
        .arg(&files)
        .arg("--directory")
        .arg(&tree)
        .arg(".");
    cx.run(&pack).await?;
    let (archive, log) = (work.join("root.tar"), work.join("packages.log"));
    let mut cmd = Cmd::new(tools.path("setpriv"))
        .args(["--pdeathsig", "KILL", "sh", "-c"])
        .args(match tools.builder {
            Builder::Root => [AS_ROOT, "sh"],
            Builder::User => [AS_USER, "sh"],
        })
        .arg(&archive)
        .arg(tools.path("mmdebstrap"))
        .args(["--variant=minbase", "--format=tar", "--logfile"])
        .arg(&log)
        .arg(format!("--include={}", distribution.packages().join(",")))
        .arg(format!("--components={}", distribution.components.join(",")));
    if tools.builder == Builder::User {
        cmd = cmd.arg("--mode=unshare");
    } else {
        // Swept with the rest, should the power fail.
        cmd = cmd.env("TMPDIR", work);
    }
    let settings = apt::settings(cx).await;
    if !settings.is_empty() {
        // A proxy may need a password: it is not for the list of processes.
        let file = work.join("apt.conf");
        crate::state::write_atomically(&file, settings.as_bytes())?;
        cmd = cmd.arg("--aptopt").arg(file);
    }
    cmd = cmd
        .arg("--essential-hook")
        .arg(format!("tar-in {} /", fleet_driver::text::sh(&files.to_string_lossy())))
        .arg(format!("--essential-hook={}", tree::PREPARE))
        .arg(format!("--customize-hook={}", tree::SETUP))
        .arg(distribution.codename)
        // The archive goes to standard output.
        .arg("-");
    if let Some(sources) = apt::sources(Path::new("/etc/apt"), distribution) {
        let file = work.join("host.sources");
        std::fs::write(&file, sources).map_err(|e| trouble("could not write a file", &file, e))?;
        cmd = cmd.arg(file);
    }
    let result = tokio::select! {
        result = async { cx.run(&cmd.within(PACKAGES_LIMIT)).await } => result,
        never = follow(&log, cx) => match never {},
    };
    result.map_err(|e| {
        if e.kind() == ErrorKind::Interrupted {
            return e;
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let key = format!("/usr/share/keyrings/{}", distribution.keyring);
        let hint = if Path::new(&key).is_file() {
            "is a mirror of the packages within reach?".to_owned()
        } else {
            format!(
                "the archive's keys may be missing: `apt-get install {}`",
                distribution.keyring_package
            )
        };
        let said = Error::driver(tail(&log, 12));
        if log.trim().is_empty() { e.hint(hint) } else { e.because(said).hint(hint) }
    })?;
    Ok(archive)
}

/// Reports the lines of a growing log, for ever.
async fn follow(log: &Path, cx: &Cx) -> std::convert::Infallible {
    let mut seen = 0;
    loop {
        // Only Ctrl-C fails, which ends the program that writes the log as well.
        if pause_for(cx, Duration::from_millis(300)).await.is_err() {
            std::future::pending::<()>().await;
        }
        let text = std::fs::read(log).unwrap_or_default();
        let new = &text[seen.min(text.len())..];
        let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in String::from_utf8_lossy(&new[..end]).lines() {
            cx.report(EventKind::Line { stream: Stream::Stderr, text: line.to_owned() });
        }
        seen += end + 1;
    }
}

/// The version of the engine's package, without what the packaging adds.
fn engine_version(status: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(status).ok()?).into_owned();
    let stanza = text.split("\n\n").find(|s| s.lines().next() == Some("Package: docker.io"))?;
    let version = stanza.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    Some(version.split(['+', '-', '~']).next().unwrap_or(version).to_owned())
}

fn step(cx: &Cx, number: u64, what: &str) {
    progress(cx, number);
    cx.reporter().note(Level::Info, format!("Image, step {} of {STEPS}: {what}.", number + 1));
}

fn progress(cx: &Cx, done: u64) {
    cx.report(EventKind::StepAdvanced {
        step: StepId::Image,
        done,
        total: Some(STEPS),
        unit: Unit::Steps,
    });
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).map_err(|e| trouble("could not remove a file", file, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_version_is_read_from_the_packages() {
        let dir = tempfile::tempdir().unwrap();
        let status = dir.path().join("status");
        std::fs::write(
            &status,
            "Package: docker-clean\nVersion: 1\n\nPackage: docker.io\nStatus: install ok installed\n\
             Version: 20.10.24+dfsg1-1+deb12u1+b2\n\nPackage: dpkg\nVersion: 1.21\n",
        )
        .unwrap();
        assert_eq!(engine_version(&status).as_deref(), Some("20.10.24"));
        std::fs::write(&status, "Package: docker.io\nVersion: 1:26.1.5-1\n").unwrap();
        assert_eq!(engine_version(&status).as_deref(), Some("26.1.5"));
        std::fs::write(&status, "Package: dpkg\nVersion: 1.21\n").unwrap();
        assert_eq!(engine_version(&status), None);
    }
}
