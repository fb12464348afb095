//! Tests of the engine's settings.

use std::net::Ipv4Addr;

use fleet_driver::ErrorKind;

use super::*;
use crate::config::{Availability, EngineSpec, ImageRef, Install};

fn spec() -> Spec {
    Spec {
        name: "host1".to_owned(),
        driver: "qemu".to_owned(),
        image: ImageRef::Name("debian-12".to_owned()),
        cpus: 1,
        memory_mib: 1024,
        disk_mib: 10240,
        address: Ipv4Addr::new(10, 77, 0, 11),
        user: "fleet".to_owned(),
        ports: Vec::new(),
        role: None,
        labels: BTreeMap::new(),
        availability: Availability::Active,
        protected: false,
        engine: EngineSpec {
            install: Install::Auto,
            version: None,
            labels: BTreeMap::from([("site".to_owned(), "lab".to_owned())]),
            registry_mirrors: vec!["https://mirror.example".to_owned()],
            insecure_registries: vec!["10.77.0.1:5000".to_owned()],
            log_driver: Some("json-file".to_owned()),
            log_opts: BTreeMap::from([("max-size".to_owned(), "10m".to_owned())]),
            storage_driver: Some("overlay2".to_owned()),
            env: BTreeMap::from([("HTTPS_PROXY".to_owned(), "http://u:p$w%@px \"x\"".to_owned())]),
        },
        options: toml::Table::new(),
    }
}

fn pki() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&dir.path().join("certs"), "lab-1").unwrap();
    (dir, pki)
}

fn settings(spec: &Spec, pki: &Pki) -> Settings {
    Settings::new(spec, pki, server_names(spec, &[]), 0)
}

fn text<'a>(files: &'a [GuestFile], path: &str) -> &'a str {
    let file = files.iter().find(|file| file.path == path).unwrap();
    std::str::from_utf8(file.content.expose()).unwrap()
}

/// A certificate that ends at a round time.
fn server(settings: &Settings, pki: &Pki) -> ServerCert {
    let ends = time::macros::datetime!(2028-02-29 13:04:05 +01:00);
    ServerCert { ends, ..pki.server(settings.names()).unwrap() }
}

fn daemon(settings: &Settings, pki: &Pki, disk: &OnDisk) -> Value {
    let cert = server(settings, pki);
    let files = settings.files(&cert, disk, Init::Systemd).unwrap();
    serde_json::from_str(text(&files, DAEMON_JSON)).unwrap()
}

/// What fleet keeps in the guest of its own keys.
fn own(settings: &Settings, pki: &Pki) -> String {
    let files = settings.files(&server(settings, pki), &OnDisk::default(), Init::Systemd).unwrap();
    text(&files, OWN_JSON).to_owned()
}

#[test]
fn everything_asked_for_is_in_daemon_json() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    assert_eq!(
        daemon(&settings, &pki, &OnDisk::default()),
        json!({
            "hosts": ["fd://", "tcp://0.0.0.0:2376"],
            "tlsverify": true,
            "tlscacert": "/etc/docker/fleet/ca.pem",
            "tlscert": "/etc/docker/fleet/server.pem",
            "tlskey": "/etc/docker/fleet/server-key.pem",
            "registry-mirrors": ["https://mirror.example"],
            "insecure-registries": ["10.77.0.1:5000"],
            "log-driver": "json-file",
            "log-opts": { "max-size": "10m" },
            "storage-driver": "overlay2",
            "labels": [
                "site=lab",
                format!("fleet.settings={}", settings.digest()),
                "fleet.cert-ends=2028-02-29T12:04:05Z",
            ],
        })
    );
}

#[test]
fn the_guests_own_keys_stay_and_former_ones_of_fleet_go() {
    let (_dir, pki) = pki();
    let mut spec = spec();
    let first = settings(&spec, &pki);
    let disk = |daemon: Value| OnDisk {
        daemon: Some(daemon.to_string()),
        own: Some(own(&first, &pki)),
        ..OnDisk::default()
    };
    let mut merged = daemon(
        &first,
        &pki,
        &OnDisk {
            daemon: Some(r#"{"data-root": "/srv/docker", "log-driver": "local"}"#.to_owned()),
            ..OnDisk::default()
        },
    );
    assert_eq!(merged["data-root"], "/srv/docker");
    assert_eq!(merged["log-driver"], "json-file", "fleet's word counts for what it sets");
    // Somebody changed one of fleet's keys by hand, and fleet wants fewer keys now.
    merged["storage-driver"] = json!("vfs");
    spec.engine.registry_mirrors.clear();
    spec.engine.storage_driver = None;
    let merged = daemon(&settings(&spec, &pki), &pki, &disk(merged));
    assert_eq!(merged.get("registry-mirrors"), None);
    assert_eq!(merged["storage-driver"], "vfs", "no longer fleet's");
    assert_eq!(merged["data-root"], "/srv/docker");
}

#[test]
fn a_damaged_daemon_json_is_not_overwritten() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = pki.server(settings.names()).unwrap();
    for daemon in ["{", "[]"] {
        let disk = OnDisk { daemon: Some(daemon.to_owned()), ..OnDisk::default() };
        let error = settings.files(&cert, &disk, Init::Systemd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    let empty = OnDisk { daemon: Some("\n".to_owned()), ..OnDisk::default() };
    settings.files(&cert, &empty, Init::Systemd).unwrap();
}

#[test]
fn the_digest_shows_every_change() {
    let (_dir, pki) = pki();
    let base = settings(&spec(), &pki);
    assert_eq!(base.digest().len(), 12);
    assert_eq!(base.digest(), settings(&spec(), &pki).digest());
    let change = |change: fn(&mut Spec)| {
        let mut spec = spec();
        change(&mut spec);
        settings(&spec, &pki).digest().to_owned()
    };
    let mut digests = vec![
        base.digest().to_owned(),
        change(|s| s.engine.labels.clear()),
        change(|s| s.engine.registry_mirrors.clear()),
        change(|s| s.engine.insecure_registries.clear()),
        change(|s| s.engine.log_driver = None),
        change(|s| s.engine.log_opts.clear()),
        change(|s| s.engine.storage_driver = None),
        change(|s| s.engine.env.clear()),
        change(|s| s.address = Ipv4Addr::new(10, 77, 0, 99)),
        change(|s| s.name = "other".to_owned()),
        Settings::new(&spec(), &pki, server_names(&spec(), &["192.0.2.1".parse().unwrap()]), 0)
            .digest()
            .to_owned(),
        Settings::new(&spec(), &pki, server_names(&spec(), &[]), 1).digest().to_owned(),
        Settings::new(&spec(), &pki, server_names(&spec(), &[]), 2).digest().to_owned(),
    ];
    let (_other, another) = self::pki();
    digests.push(settings(&spec(), &another).digest().to_owned());
    let all = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), all);
    // What does not concern the engine does not restart it.
    assert_eq!(change(|s| s.memory_mib = 4096), base.digest());
}

#[test]
fn the_end_of_the_certificate_is_told_and_changes_nothing() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let first = pki.server(settings.names()).unwrap();
    let later = ServerCert { ends: first.ends + time::Duration::days(1), ..first.clone() };
    let facts = |own: &str| crate::guest::facts::GuestFacts {
        disk: OnDisk { own: Some(own.to_owned()), ..OnDisk::default() },
        ..Default::default()
    };
    for cert in [&first, &later] {
        let files = settings.files(cert, &OnDisk::default(), Init::Systemd).unwrap();
        let own = text(&files, OWN_JSON);
        assert_eq!(facts(own).settings().as_deref(), Some(settings.digest()));
        let daemon: Value = serde_json::from_str(text(&files, DAEMON_JSON)).unwrap();
        let engine = crate::engine::EngineFacts {
            version: String::new(),
            hostname: String::new(),
            labels: serde_json::from_value(daemon["labels"].clone()).unwrap(),
            swarm: crate::engine::SwarmFacts {
                state: crate::engine::SwarmState::Inactive,
                node_id: None,
                node_addr: None,
                manager: false,
                cluster_id: None,
                managers: Vec::new(),
            },
        };
        assert_eq!(engine.cert_ends(), Some(cert.ends));
        assert_eq!(engine.settings(), Some(settings.digest()));
    }
    // A label of before does not stay beside the new one.
    let disk = OnDisk {
        daemon: Some(
            text(&settings.files(&first, &OnDisk::default(), Init::Systemd).unwrap(), DAEMON_JSON)
                .to_owned(),
        ),
        own: Some(own(&settings, &pki)),
        ..OnDisk::default()
    };
    let labels = daemon(&settings, &pki, &disk)["labels"].clone();
    assert_eq!(labels.as_array().unwrap().len(), 3);
}

#[test]
fn an_engine_lets_in_the_clients_of_both_authorities_during_a_rotation() {
    let (_dir, pki) = pki();
    let before = settings(&spec(), &pki);
    Pki::begin_rotation(pki.dir(), "lab-1").unwrap();
    let pki = Pki::load(pki.dir()).unwrap();
    let during = settings(&spec(), &pki);
    assert_ne!(before.digest(), during.digest());
    let files = during.files(&server(&during, &pki), &OnDisk::default(), Init::Systemd).unwrap();
    assert_eq!(text(&files, "/etc/docker/fleet/ca.pem"), pki.engine_trust());
    assert_eq!(pki.engine_trust().matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn private_files_are_private() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = pki.server(settings.names()).unwrap();
    for file in settings.files(&cert, &OnDisk::default(), Init::Systemd).unwrap() {
        let open = ["/etc/docker/fleet/ca.pem", "/etc/docker/fleet/server.pem", DROP_IN];
        let expected = if open.contains(&file.path.as_str()) { 0o644 } else { 0o600 };
        assert_eq!(file.mode, expected, "{}", file.path);
    }
}

#[test]
fn the_drop_in_starts_the_engine_that_is_there() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = pki.server(settings.names()).unwrap();
    let disk = OnDisk { dockerd: Some("/usr/sbin/dockerd".to_owned()), ..OnDisk::default() };
    let files = settings.files(&cert, &disk, Init::Systemd).unwrap();
    let drop_in = text(&files, DROP_IN);
    let starts: Vec<_> = drop_in.lines().filter(|l| l.starts_with("ExecStart")).collect();
    assert_eq!(
        starts,
        ["ExecStart=", "ExecStart=/usr/sbin/dockerd --containerd=/run/containerd/containerd.sock"]
    );
    assert!(drop_in.ends_with('\n'));
    assert_eq!(
        text(&files, "/etc/docker/fleet/environment").lines().last(),
        Some(r#"HTTPS_PROXY="http://u:p\$w%@px \"x\"""#)
    );
}

#[test]
fn without_systemd_the_engine_opens_its_socket_and_has_the_same_digest() {
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = server(&settings, &pki);
    let own = OnDisk { socket: Socket::Own, ..OnDisk::default() };
    let files = settings.files(&cert, &own, Init::OpenRc).unwrap();
    assert!(files.iter().all(|file| file.path != DROP_IN));
    let found: Value = serde_json::from_str(text(&files, DAEMON_JSON)).unwrap();
    let mut expected = daemon(&settings, &pki, &OnDisk::default());
    expected["hosts"] = json!(["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"]);
    assert_eq!(found, expected);
    // A label that says so is nobody's socket.
    let mut spec = spec();
    spec.engine.labels.insert("at".to_owned(), "fd://".to_owned());
    let files = self::settings(&spec, &pki).files(&cert, &own, Init::OpenRc).unwrap();
    assert!(text(&files, OWN_JSON).contains("at=fd://"));
}

/// Runs the first boot's script where OpenRC is.
#[cfg(unix)]
#[test]
fn the_first_boot_knows_openrc() {
    use crate::guest::install::tests::machine::{Machine, SHELLS};
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = pki.server(settings.names()).unwrap();
    let first = settings.first_boot(&cert).unwrap();
    for shell in SHELLS {
        let machine = Machine::new(&[]);
        machine.write("run/openrc/softlevel", "default");
        let Some(ended) = machine.run(shell, first.early.expose()) else { continue };
        assert_eq!(ended.well().log, "", "systemd is not asked");
        std::fs::remove_file(machine.at("etc/docker/daemon.json")).unwrap();
        machine.run(shell, first.early.expose()).unwrap().well();
        let found: Value = serde_json::from_str(&machine.read("etc/docker/daemon.json")).unwrap();
        assert_eq!(found, Value::Object(settings.own(&cert, Socket::Own).unwrap()));
        assert_eq!(machine.read("etc/conf.d/docker").matches("# Added by fleet").count(), 1);
        assert!(!machine.at("etc/systemd").exists());
    }
}

#[test]
fn names_are_the_machines_and_loopback() {
    let spec = spec();
    let names: Vec<String> =
        server_names(&spec, &["127.0.0.1".parse().unwrap(), spec.address.into()])
            .iter()
            .map(ToString::to_string)
            .collect();
    assert_eq!(names, ["host1", "10.77.0.11", "127.0.0.1", "localhost"]);
}

/// Runs the first boot's script in a folder that stands for the guest's root.
#[cfg(unix)]
#[test]
fn the_first_boot_merges_into_what_the_image_has() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, pki) = pki();
    let settings = settings(&spec(), &pki);
    let cert = pki.server(settings.names()).unwrap();
    let first = settings.first_boot(&cert).unwrap();
    assert!(first.files.iter().all(|f| f.path != DAEMON_JSON && f.path != DROP_IN));
    let python = which::which("python3").is_ok();
    for before in [None, Some(r#"{"data-root": "/srv", "hosts": ["unix://"]}"#)] {
        if before.is_some() && !python {
            continue;
        }
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(at("/etc/docker")).unwrap();
        if let Some(before) = before {
            std::fs::write(at(DAEMON_JSON), before).unwrap();
        }
        let script = first
            .early
            .expose()
            .replace("/etc/", &format!("{}/etc/", root.path().display()))
            // The values themselves speak of the guest's own paths.
            .replace(&format!("\": \"{}/etc/", root.path().display()), "\": \"/etc/")
            .replace("systemctl", ":");
        for _ in 0..2 {
            let done = std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&done.stderr), "");
            assert!(done.status.success());
        }
        let merged: Value =
            serde_json::from_str(&std::fs::read_to_string(at(DAEMON_JSON)).unwrap()).unwrap();
        let mut expected = settings.own(&cert, Socket::Handed).unwrap();
        if let Some(before) = before {
            expected.insert("data-root".to_owned(), json!("/srv"));
            assert_eq!(
                std::fs::read_to_string(at("/etc/docker/daemon.json.before-fleet")).unwrap(),
                before
            );
        }
        assert_eq!(merged, Value::Object(expected));
        assert!(std::fs::read_to_string(at(DROP_IN)).unwrap().contains("ExecStart=dockerd "));
        let mode = |path: &str| std::fs::metadata(at(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(FLEET_DIR), mode(DAEMON_JSON), mode(OWN_JSON)), (0o700, 0o600, 0o600));
    }
}
