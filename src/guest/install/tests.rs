//! Tests of the scripts that install and configure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use fleet_driver::event::Reporter;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::guest::os::OsRelease;
use crate::guest::{GuestFile, GuestOutput};

#[cfg(unix)]
pub(in crate::guest) mod machine;
#[cfg(unix)]
mod managers;
#[cfg(unix)]
mod openrc;
#[cfg(unix)]
mod scripts;

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

/// The script for a system that says this of itself.
pub(crate) fn script_for(os_release: &str, version: Option<&str>) -> Result<String> {
    let facts = GuestFacts { os: OsRelease::parse(os_release), ..GuestFacts::default() };
    let script = super::install(&engine(Install::Distro, version), None, &facts, "fleet")?;
    Ok(script.expect("no engine is there").text.expose().clone())
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
    assert!(script.contains("\npackage=docker.io\nothers="), "{script}");
    assert!(script.contains("\nwanted=''\n") && script.contains("\nuser=fleet\n"), "{script}");
    let script = text(ask(Install::Distro, Some("20.10"), "debian", Some("28.1.0")));
    assert!(script.contains("\nwanted=20.10\n"));
}

#[test]
fn other_systems_and_other_versions_get_a_way_out() {
    let error = ask(Install::Auto, None, "plan9", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
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
fn what_the_guest_says_of_its_init_counts() {
    for (init, line) in [(None, "init=openrc"), (Some(Init::Systemd), "init=systemd")] {
        let facts = GuestFacts { init, ..guest("alpine", None) };
        let script = super::install(&engine(Install::Auto, None), None, &facts, "fleet");
        assert!(text(script).lines().any(|found| found == line), "{line}");
    }
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

/// As far as the shell's critic is on this computer.
#[cfg(unix)]
#[test]
fn no_script_for_guests_is_criticised() {
    use std::io::Write as _;
    let Ok(critic) = which::which("shellcheck") else { return };
    let mut scripts: Vec<String> = crate::guest::source::tests::RECORDED
        .iter()
        .filter_map(|(_, os)| script_for(os, Some("28")).ok())
        .collect();
    scripts.push(text(ask(Install::GetDocker, None, "debian", None)));
    scripts.push(prepare().text.expose().clone());
    scripts.push(super::super::facts::script().text.expose().clone());
    scripts.push(super::super::seed::scrub().text.expose().clone());
    scripts.push(super::super::seed::last("fleet").unwrap());
    scripts.push(firewall("10.77.0.0/24").unwrap().text.expose().clone());
    for init in [Init::Systemd, Init::OpenRc] {
        scripts.push(apply(init).unwrap().text.expose().clone());
    }
    scripts.sort();
    scripts.dedup();
    for script in scripts {
        let mut child = std::process::Command::new(&critic)
            .args(["--shell=sh", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
