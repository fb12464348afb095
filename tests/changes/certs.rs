//! Certificates that follow addresses, end, and are replaced.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fleet::engine::Engine;
use fleet::pki::Pki;
use fleet_driver::Power;

use super::made;
use crate::support::world::World;

const ALL: [&str; 3] = ["host1", "worker-1", "worker-2"];

async fn world() -> World {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world
}

fn cert(world: &World, name: &str) -> String {
    world.sim.file(name, "/etc/docker/fleet/server.pem").unwrap()
}

#[tokio::test]
async fn another_address_gets_another_certificate() {
    let world = world().await;
    let before = cert(&world, "worker-1");
    let moved = SocketAddr::from(([127, 0, 0, 2], world.sim.engine("worker-1").port()));
    world.fake.endpoints("worker-1", world.sim.ssh("worker-1"), moved);
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_ne!(cert(&world, "worker-1"), before);
    world.engine_at(moved).facts(&crate::sim::cx()).await.unwrap();
    assert_eq!(made(&world, &ALL), [(1, 1); 3]);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_renewed() {
    let world = world().await;
    let before = ALL.map(|name| cert(&world, name));
    world.sim.rewrite("worker-1", "/etc/docker/daemon.json", |text| {
        let (head, tail) = text.split_once("fleet.cert-ends=").unwrap();
        let soon = time::OffsetDateTime::now_utc() + time::Duration::days(10);
        format!("{head}fleet.cert-ends={}{}", soon.date(), &tail[10..])
    });
    world.sim.restart_engine("worker-1");
    world.until("it is up", |w| w.sim.runs("worker-1").is_some()).await;
    let planned = world.fleet(&["plan", "--exit-code"]).await.exits(2).stdout;
    assert!(planned.contains("the certificate of its engine ends on"), "{planned}");
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    let after = ALL.map(|name| cert(&world, name));
    assert_eq!([0, 1, 2].map(|n| before[n] == after[n]), [true, false, true]);
}

#[tokio::test]
async fn a_client_certificate_that_ends_soon_is_renewed() {
    let world = world().await;
    let certs = world.dir().join(".fleet/certs");
    let read = |name: &str| std::fs::read_to_string(certs.join(name)).unwrap();
    let ca_key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(300);
    params.not_after = now + time::Duration::days(3);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let soon = params.signed_by(&key, &issuer).unwrap().pem();
    std::fs::write(certs.join("cert.pem"), &soon).unwrap();
    std::fs::write(certs.join("key.pem"), key.serialize_pem()).unwrap();
    world.fleet(&["up"]).await.exits(0).says("The client certificate was renewed");
    assert_ne!(read("cert.pem"), soon);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(world.sim.most_engines_down(), 0);
    // By hand, without an engine being touched.
    let before = read("cert.pem");
    world.fleet(&["regenerate-certs", "--client", "worker-1"]).await.exits(0);
    assert_ne!(read("cert.pem"), before);
    world.fleet(&["ls"]).await.exits(0);
}

#[tokio::test]
async fn certificates_are_made_anew_for_those_that_are_named() {
    let world = world().await;
    let before = ALL.map(|name| cert(&world, name));
    world.fleet(&["regenerate-certs", "worker-2"]).await.exits(0);
    let after = ALL.map(|name| cert(&world, name));
    assert_eq!([0, 1, 2].map(|n| before[n] == after[n]), [true, true, false]);
    world.fleet(&["regenerate-certs", "--yes"]).await.exits(0);
    let last = ALL.map(|name| cert(&world, name));
    assert_eq!([0, 1, 2].map(|n| last[n] == after[n]), [false; 3]);
    assert_eq!(world.sim.most_engines_down(), 1);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["regenerate-certs", "wroker-1"]).await.exits(5).says("worker-1");
    world.fleet(&["regenerate-certs", "--ca", "worker-1"]).await.exits(2);
}

/// Asks all engines with the certificates in a folder; tells who was refused.
async fn asked(world: &World, certs: &Path) -> Vec<String> {
    let mut refused = Vec::new();
    let Ok(pki) = Pki::load(certs) else { return vec!["the folder is not whole".to_owned()] };
    for name in ALL {
        let engine = Engine::new(world.sim.engine(name), &pki).unwrap();
        let cx = crate::sim::cx().within(Duration::from_secs(5));
        match engine.facts(&cx).await {
            Err(error) if error.kind() == fleet_driver::ErrorKind::Conflict => {
                refused.push(format!("{name}: {error}"));
            }
            // One that is being restarted.
            Ok(_) | Err(_) => {}
        }
    }
    refused
}

#[tokio::test]
async fn the_authority_is_replaced_and_nobody_is_locked_out() {
    let world = world().await;
    let certs = world.dir().join(".fleet/certs");
    let copied = world.dir().join("copied");
    copy(&certs, &copied);
    let before = std::fs::read(certs.join("ca.pem")).unwrap();
    let rotation = world.child(&["regenerate-certs", "--ca", "--yes"]);
    tokio::pin!(rotation);
    let mut polls = 0;
    let done = loop {
        let fresh = asked(&world, &certs).await;
        assert_eq!(fresh, Vec::<String>::new(), "at poll {polls}");
        if !certs.join("ca-old.pem").exists() && polls > 0 {
            // The old one may count no more.
        } else {
            let old = asked(&world, &copied).await;
            assert!(old.is_empty() || !certs.join("ca-old.pem").exists(), "{old:?}");
        }
        polls += 1;
        tokio::select! {
            done = &mut rotation => break done,
            () = crate::support::sim::nap(Duration::from_millis(5)) => {}
        }
    };
    done.exits(0);
    assert_ne!(std::fs::read(certs.join("ca.pem")).unwrap(), before);
    assert_eq!(asked(&world, &certs).await, Vec::<String>::new());
    assert_eq!(asked(&world, &copied).await.len(), 3, "the old one counts no more");
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(world.sim.most_engines_down(), 1);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_rotation_that_was_killed_is_finished_by_up() {
    let world = world().await;
    let certs = world.dir().join(".fleet/certs");
    for point in [8, 30] {
        let killed = world.killed_at_guest(point, &["regenerate-certs", "--ca", "--yes"]).await;
        assert!(killed.killed(), "{killed:?}");
        assert_eq!(asked(&world, &certs).await, Vec::<String>::new());
    }
    world.fleet(&["up"]).await.exits(0);
    assert!(!certs.join("ca-old.pem").exists());
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(asked(&world, &certs).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_rotation_waits_for_a_machine_that_is_off() {
    let world = world().await;
    let certs = world.dir().join(".fleet/certs");
    world.fake.power("worker-2", Power::Stopped);
    world.fleet(&["regenerate-certs", "--ca", "--yes"]).await;
    world.fleet(&["up"]).await.exits(0);
    assert!(!certs.join("ca-old.pem").exists());
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(asked(&world, &certs).await, Vec::<String>::new());
}
