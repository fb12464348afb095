//! Tests of the scripts that install and configure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use fleet_driver::event::Reporter;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::guest::os::OsRelease;
use crate::guest::{GuestFile, GuestOutput};

fn engine(install: Install, version: Option<&str>) -> EngineSpec {
    EngineSpec {
        install,
        version: version.map(str::to_owned),
        labels: BTreeMap::new(),
        registry_mirrors: Vec::new(),
        insecure_registries: Vec::new(),
        log_driver: None,
        log_opts: BTreeMap::new(),
        storage_driver: None,
        env: BTreeMap::new(),
    }
}

fn guest(os: &str, found: Option<&str>) -> GuestFacts {
    GuestFacts {
        os: OsRelease::parse(&format!("ID={os}")),
        engine: found.map(str::to_owned),
        ..GuestFacts::default()
    }
}

fn ask(
    install: Install,
    version: Option<&str>,
    os: &str,
    found: Option<&str>,
) -> Result<Option<Script>> {
    super::install(&engine(install, version), Some("echo mine"), &guest(os, found), "fleet")
}

fn text(script: Result<Option<Script>>) -> String {
    script.unwrap().expect("a script").text.expose().clone()
}

#[test]
fn an_engine_that_fits_is_kept() {
    for install in [Install::Auto, Install::Distro, Install::GetDocker, Install::None] {
        for version in [None, Some("20.10"), Some("20.10.24")] {
            let script = ask(install.clone(), version, "plan9", Some("20.10.24+dfsg1"));
            assert!(script.unwrap().is_none(), "{install:?} {version:?}");
        }
    }
    assert!(ask(Install::None, None, "debian", None).unwrap().is_none());
}

#[test]
fn the_package_of_debian_is_installed() {
    let script = text(ask(Install::Auto, None, "ubuntu", None));
    assert!(script.contains("package=docker.io\nwanted=''\nuser=fleet\n"), "{script}");
    let script = text(ask(Install::Distro, Some("20.10"), "debian", Some("28.1.0")));
    assert!(script.contains("\nwanted=20.10\n"));
}

#[test]
fn other_systems_and_other_versions_get_a_way_out() {
    for os in ["fedora", "sles", "alpine", "arch"] {
        let error = ask(Install::Auto, None, os, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Guest);
    }
    for install in [Install::GetDocker, Install::None, Install::Script(PathBuf::from("/x"))] {
        let error = ask(install, Some("28"), "debian", Some("20.10.24")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[test]
fn the_users_script_is_run_as_it_is() {
    assert_eq!(text(ask(Install::Script(PathBuf::from("/x")), None, "arch", None)), "echo mine");
}

#[test]
fn versions_match_by_their_parts() {
    assert!(matches("20.10", "20.10.24+dfsg1"));
    assert!(matches("20.10.24+dfsg1", "20.10.24+dfsg1"));
    assert!(matches("28", "28.5.2"));
    assert!(!matches("20.1", "20.10.24"));
    assert!(!matches("8", "28.5.2"));
}

#[test]
fn an_offline_machine_is_told_so() {
    let error = || Error::guest("could not install the engine");
    assert!(explain(error(), false).hint_text().unwrap().contains("internet = true"));
    assert!(explain(error(), true).hint_text().unwrap().contains("mirror"));
    assert_eq!(explain(Error::interrupted(), false).kind(), ErrorKind::Interrupted);
}

/// Runs the script of apt with stand-ins for the programs it calls.
#[cfg(unix)]
fn run_apt(version: &str, madison: &str) -> (Option<i32>, String, String) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str, body: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let log = dir.path().join("log");
    let note = format!("echo \"$(basename \"$0\") $*\" >>{}", log.display());
    for name in ["apt-get", "systemctl", "usermod"] {
        program(name, &note);
    }
    program("apt-cache", &format!("cat <<'END'\n{madison}\nEND"));
    let script =
        text(ask(Install::Distro, Some(version).filter(|v| !v.is_empty()), "debian", None));
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let output =
        std::process::Command::new("sh").arg("-c").arg(script).env("PATH", path).output().unwrap();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    (output.status.code(), log, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(unix)]
const MADISON: &str =
    " docker.io | 20.10.24+dfsg1-1+deb12u1+b6 | mirror bookworm/main amd64 Packages
 docker.io | 5:26.1.5-1 | mirror backports/main amd64 Packages
 docker.io | 20.1.0-1 | mirror old/main amd64 Packages";

#[cfg(unix)]
#[test]
fn a_pinned_version_is_looked_up() {
    for (wanted, found) in [
        ("20.10", "=20.10.24+dfsg1-1+deb12u1+b6 "),
        ("26.1.5", "=5:26.1.5-1 "),
        ("20.1", "=20.1.0-1 "),
        ("", " "),
    ] {
        let (status, log, stderr) = run_apt(wanted, MADISON);
        assert_eq!((status, stderr.as_str()), (Some(0), ""), "{wanted}");
        let install = log.lines().find(|line| line.contains(" install ")).unwrap();
        assert!(install.contains(&format!(" docker.io{found}apparmor ")), "{install}");
        assert!(install.contains("-o DPkg::Lock::Timeout=300"));
        assert!(log.contains("systemctl enable docker.service\nusermod -aG docker fleet\n"));
    }
}

#[cfg(unix)]
#[test]
fn a_version_that_does_not_exist_lists_those_that_do() {
    let (status, log, stderr) = run_apt("19.03", MADISON);
    assert_eq!(status, Some(100));
    assert!(!log.contains(" install "));
    assert!(
        stderr.starts_with("there is no docker.io 19.03 for this system; it has:\n"),
        "{stderr}"
    );
    assert!(stderr.contains("  20.10.24+dfsg1-1+deb12u1+b6\n"));
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Guest for Recorder {
    fn run<'a>(&'a self, script: &'a Script, _: &'a Cx) -> Answer<'a, GuestOutput> {
        self.0.lock().unwrap().push(script.purpose.to_owned());
        let fails = script.purpose.starts_with("restart");
        Box::pin(async move {
            if fails { Err(Error::guest("failed")) } else { Ok(GuestOutput::default()) }
        })
    }

    fn put<'a>(&'a self, files: &'a [GuestFile], _: &'a Cx) -> Answer<'a, ()> {
        self.0.lock().unwrap().extend(files.iter().map(|file| file.path.clone()));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn configuring_makes_room_writes_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let pki = crate::pki::Pki::open_or_create(&dir.path().join("certs"), "lab-1").unwrap();
    let names = vec![crate::pki::ServerName::Dns("host1".to_owned())];
    let cert = pki.server(&names).unwrap();
    let fleet = crate::config::Fleet::parse(
        "[fleet]\nname = \"lab\"\n[machine.host1]\n",
        "machines.toml",
        &BTreeMap::new(),
    )
    .unwrap();
    let settings = Settings::new(&fleet.machines[0], &pki, names, 0);
    let guest = Recorder::default();
    let cx = Cx::new("/nowhere", Reporter::silent(), CancellationToken::new());
    let facts = GuestFacts::default();
    let error = configure(&guest, &settings, &cert, &facts, &cx).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("daemon.json.before-fleet"));
    let did = guest.0.lock().unwrap().clone();
    assert_eq!(did.first().map(String::as_str), Some("make room for the engine's settings"));
    assert_eq!(did.last().map(String::as_str), Some("restart the engine with its new settings"));
    for path in [super::super::settings::DAEMON_JSON, super::super::settings::DROP_IN] {
        assert!(did.iter().any(|done| done == path), "{path}");
    }
}
