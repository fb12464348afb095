//! Plays the replacement of a fleet's authority against two engines, over real TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::pki::{Begun, CA_FILE, CA_KEY_FILE, CERT_FILE, Finished, KEY_FILE};

/// The folder of a fleet, and copies of it that a user made.
struct Lab {
    home: tempfile::TempDir,
    dir: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("certs");
        Pki::open_or_create(&dir, "lab-1").unwrap();
        Self { home, dir }
    }

    /// An engine as `fleet up` configures it now.
    async fn configured(&self) -> FakeEngine {
        let pki = Pki::open_or_create(&self.dir, "lab-1").unwrap();
        let cert = pki.server(&[ip("127.0.0.1")]).unwrap();
        let (key, trust) = (cert.key.expose(), pki.engine_trust());
        FakeEngine::start(&cert.cert, key, trust, always(INFO_28)).await
    }

    /// Copies what a Docker client needs.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.home.path().join(name);
        std::fs::create_dir(&to).unwrap();
        for file in [CA_FILE, CERT_FILE, KEY_FILE] {
            std::fs::copy(self.dir.join(file), to.join(file)).unwrap();
        }
        to
    }

    /// Checks that fleet itself, and a Docker client that reads the folder now, reach
    /// every engine.
    async fn all_reached(&self, engines: &[FakeEngine; 2], when: &str) {
        let pki = Pki::load(&self.dir).unwrap();
        for engine in engines {
            Engine::new(engine.address, &pki).unwrap().facts(&cx()).await.expect(when);
        }
        assert_eq!(reached(&self.dir, engines).await, [true; 2], "{when}");
    }
}

/// Which engines a Docker client reaches that uses the three files of a folder.
async fn reached(folder: &Path, engines: &[FakeEngine; 2]) -> [bool; 2] {
    let [one, two] = engines.each_ref().map(|engine| docker(folder, engine.address));
    [one.await, two.await]
}

/// Asks as a Docker client does, without any of the program's code.
async fn docker(folder: &Path, address: SocketAddr) -> bool {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(&read(CA_FILE)) {
        roots.add(ca.unwrap()).unwrap();
    }
    let cert = CertificateDer::from_pem_slice(&read(CERT_FILE)).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read(KEY_FILE)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], key)
        .unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let Ok(mut tls) = connector.connect(address.ip().into(), tcp).await else {
        return false;
    };
    let mut answer = [0; 12];
    let asked = tls.write_all(b"GET /info HTTP/1.1\r\nHost: engine\r\n\r\n").await;
    asked.is_ok() && tls.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/1.1 200"
}

#[tokio::test]
async fn replacing_the_authority_locks_nobody_out() {
    let lab = Lab::new();
    let mut engines = [lab.configured().await, lab.configured().await];
    let early = lab.copy("early");
    lab.all_reached(&engines, "before").await;

    assert_eq!(Pki::begin_rotation(&lab.dir, "lab-1").unwrap(), Begun::Now);
    let middle = lab.copy("middle");
    for done in 0..=2 {
        if done > 0 {
            engines[done - 1] = lab.configured().await;
        }
        let when = format!("begun, {done} engines configured");
        lab.all_reached(&engines, &when).await;
        for copy in [&early, &middle] {
            assert_eq!(reached(copy, &engines).await, [true; 2], "{when}");
        }
    }

    assert_eq!(Pki::finish_rotation(&lab.dir, "lab-1").unwrap(), Finished::Now);
    let late = lab.copy("late");
    for done in 0..=2 {
        if done > 0 {
            engines[done - 1] = lab.configured().await;
        }
        let when = format!("finished, {done} engines configured");
        lab.all_reached(&engines, &when).await;
        assert_eq!(reached(&late, &engines).await, [true; 2], "{when}");
        // The former authority's client certificate ends with each engine's last pass.
        for copy in [&early, &middle] {
            assert_eq!(reached(copy, &engines).await, [done < 1, done < 2], "{when}");
        }
    }
}

#[tokio::test]
async fn without_the_old_key_copies_end_with_the_first_pass() {
    let lab = Lab::new();
    let mut engines = [lab.configured().await, lab.configured().await];
    let early = lab.copy("early");
    std::fs::remove_file(lab.dir.join(CA_KEY_FILE)).unwrap();
    assert_eq!(Pki::begin_rotation(&lab.dir, "lab-1").unwrap(), Begun::Now);
    let middle = lab.copy("middle");
    engines[0] = lab.configured().await;
    lab.all_reached(&engines, "one engine configured").await;
    assert_eq!(reached(&early, &engines).await, [false, true]);
    assert_eq!(reached(&middle, &engines).await, [true; 2], "it knows both authorities");
}

#[tokio::test]
async fn an_engine_that_was_left_out_is_out_of_reach_until_it_is_configured() {
    let lab = Lab::new();
    let mut engines = [lab.configured().await, lab.configured().await];
    Pki::begin_rotation(&lab.dir, "lab-1").unwrap();
    engines[0] = lab.configured().await;
    Pki::finish_rotation(&lab.dir, "lab-1").unwrap();
    assert_eq!(reached(&lab.dir, &engines).await, [true, false]);
    let pki = Pki::load(&lab.dir).unwrap();
    let error = Engine::new(engines[1].address, &pki).unwrap().facts(&cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint_text().unwrap().contains("`fleet up`"));
    engines[1] = lab.configured().await;
    lab.all_reached(&engines, "configured over SSH").await;
}
