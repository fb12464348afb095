//! Tests of the client against a pretended engine.

#[expect(unreachable_pub, reason = "it serves the integration tests too")]
#[path = "../../tests/support/engine.rs"]
mod fake;
mod rotation;
mod swarm;

use fleet_driver::ErrorKind;
use fleet_driver::event::Reporter;
use tokio_util::sync::CancellationToken;

use self::fake::{FakeEngine, Reply, Request};
use super::*;
use crate::config::{Availability, Role};
use crate::pki::ServerName;

const INFO_20_10: &str = include_str!("../../tests/data/engine/info-20.10.json");
const INFO_28: &str = include_str!("../../tests/data/engine/info-28.json");
const NODES: &str = include_str!("../../tests/data/engine/nodes-20.10.json");

fn cx() -> Cx {
    Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
        .within(Duration::from_secs(20))
}

fn pki() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&dir.path().join("certs"), "lab-1").unwrap();
    (dir, pki)
}

fn ip(text: &str) -> ServerName {
    ServerName::Ip(text.parse().unwrap())
}

/// An engine with a certificate for `name`, and a client of it.
async fn engine(
    pki: &Pki,
    name: &str,
    handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (FakeEngine, Engine) {
    let cert = pki.server(&[ip(name)]).unwrap();
    let fake = FakeEngine::start(&cert.cert, cert.key.expose(), pki.ca(), handler).await;
    let engine = Engine::new(fake.address, pki).unwrap();
    (fake, engine)
}

fn always(text: &str) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    let text = text.to_owned();
    move |_| (200, text.clone())
}

#[tokio::test]
async fn an_old_engine_is_understood() {
    let (_dir, pki) = pki();
    let (fake, engine) = engine(&pki, "127.0.0.1", always(INFO_20_10)).await;
    let facts = engine.facts(&cx()).await.unwrap();
    assert_eq!((facts.version.as_str(), facts.hostname.as_str()), ("20.10.24+dfsg1", "host1"));
    assert_eq!(facts.settings(), Some("0123456789ab"));
    assert_eq!(facts.label("site"), Some("lab"));
    assert_eq!(
        facts.swarm,
        SwarmFacts {
            state: SwarmState::Active,
            node_id: Some("x4tyx1vmh3c7v9lkkj2yrtm0r".to_owned()),
            node_addr: Some("10.77.0.11".to_owned()),
            manager: true,
            cluster_id: Some("qv2ssz1aoyhv1wuqzcdg3z0n5".to_owned()),
            managers: vec!["10.77.0.11:2377".to_owned()],
        }
    );
    assert_eq!(fake.lines(), ["GET /info"], "one call, without a version");
}

#[tokio::test]
async fn a_new_engine_is_understood() {
    let (_dir, pki) = pki();
    let (_fake, engine) = engine(&pki, "127.0.0.1", always(INFO_28)).await;
    let facts = engine.facts(&cx()).await.unwrap();
    assert_eq!(facts.version, "28.5.2");
    assert_eq!(facts.swarm.state, SwarmState::Inactive);
    assert_eq!((facts.swarm.node_id, facts.swarm.cluster_id), (None, None));
}

#[tokio::test]
async fn nodes_are_understood() {
    let (_dir, pki) = pki();
    let (_fake, engine) = engine(&pki, "127.0.0.1", always(NODES)).await;
    let nodes = engine.nodes(&cx()).await.unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(nodes[0].leader && nodes[0].ready && nodes[0].reachable);
    assert_eq!((nodes[0].role, nodes[0].labels["disk"].as_str()), (Role::Manager, "ssd"));
    assert_eq!(nodes[0].engine, "20.10.24+dfsg1");
    assert_eq!((nodes[1].role, nodes[1].availability), (Role::Worker, Availability::Drain));
    assert_eq!(nodes[1].state, "down: heartbeat failure");
    assert!(!nodes[1].ready && !nodes[1].leader);
}

#[tokio::test]
async fn a_certificate_for_another_address_is_refused() {
    let (_dir, pki) = pki();
    let (fake, engine) = engine(&pki, "10.77.0.11", always(INFO_28)).await;
    let error = engine.facts(&cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "could not ask the engine: the engine's certificate is not for this address"
    );
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn an_engine_of_another_fleet_is_refused() {
    let (_dir, ours) = pki();
    let (_other_dir, theirs) = pki();
    let cert = theirs.server(&[ip("127.0.0.1")]).unwrap();
    let fake = FakeEngine::start(&cert.cert, cert.key.expose(), ours.ca(), always(INFO_28)).await;
    let error = Engine::new(fake.address, &ours).unwrap().facts(&cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().ends_with("the engine's certificate is not of this fleet"));
    assert!(error.hint_text().unwrap().contains("`fleet up`"));
}

#[tokio::test]
async fn a_client_of_another_fleet_is_refused() {
    let (_dir, ours) = pki();
    let (_other_dir, theirs) = pki();
    let cert = ours.server(&[ip("127.0.0.1")]).unwrap();
    let fake = FakeEngine::start(&cert.cert, cert.key.expose(), theirs.ca(), always(INFO_28)).await;
    let error = Engine::new(fake.address, &ours).unwrap().facts(&cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().ends_with("refuses the fleet's client certificate"), "{error}");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn silence_passes() {
    let (_dir, pki) = pki();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let engine = Engine::new(address, &pki).unwrap();
    // Connected, but nobody speaks: as behind a forwarded port whose guest still boots.
    let error = engine.facts(&cx().within(Duration::from_millis(200))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    // Nobody is there at all.
    drop(listener);
    let error = engine.facts(&cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
}

#[tokio::test]
async fn a_connection_that_is_cut_passes() {
    let (_dir, pki) = pki();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Engine::new(listener.local_addr().unwrap(), &pki).unwrap();
    let cut = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            drop(tcp);
        }
    });
    let error = engine.facts(&cx()).await.unwrap_err();
    cut.abort();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
}

#[tokio::test]
async fn something_else_on_the_port_is_said_so() {
    use tokio::io::AsyncWriteExt;
    let (_dir, pki) = pki();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Engine::new(listener.local_addr().unwrap(), &pki).unwrap();
    let plain = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            drop(tcp.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await);
        }
    });
    let error = engine.facts(&cx()).await.unwrap_err();
    plain.abort();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().ends_with("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_the_guests_fault() {
    let (_dir, pki) = pki();
    let (_fake, engine) = engine(&pki, "127.0.0.1", always("<html>")).await;
    assert_eq!(engine.facts(&cx()).await.unwrap_err().kind(), ErrorKind::Guest);
}

#[tokio::test]
async fn ctrl_c_ends_a_call() {
    let (_dir, pki) = pki();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Engine::new(listener.local_addr().unwrap(), &pki).unwrap();
    let cancel = CancellationToken::new();
    let cx = Cx::new("/nowhere", Reporter::silent(), cancel.clone());
    let (result, ()) = tokio::join!(engine.facts(&cx), async { cancel.cancel() });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn tokens_and_unlock_keys_are_blanked() {
    let text = "bad token \"SWMTKN-1-49nj1-8vxv\", key SWMKEY-1-7c37+/=, SWMTKN-x";
    assert_eq!(failure::redact(text), "bad token \"[redacted]\", key [redacted], [redacted]");
    assert_eq!(failure::redact("nothing"), "nothing");
}
