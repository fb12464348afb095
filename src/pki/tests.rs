//! Tests of the certificates.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use fleet_driver::ErrorKind;

use super::*;

pub(super) mod fuse;
mod kill;
mod life;
mod rotation;

fn names() -> Vec<ServerName> {
    vec![
        ServerName::Dns("host1".to_owned()),
        ServerName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ServerName::Ip("10.77.0.11".parse().unwrap()),
    ]
}

fn made() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&dir.path().join("certs"), "lab-1").unwrap();
    (dir, pki)
}

#[test]
fn opening_twice_changes_nothing() {
    let (_dir, first) = made();
    let second = Pki::open_or_create(first.dir(), "lab-1").unwrap();
    assert_eq!((&first.ca, &first.cert, &first.key), (&second.ca, &second.cert, &second.key));
    assert_eq!(first.fingerprint().len(), 64);
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert!(!first.renewed() && !second.renewed() && !second.rotating());
}

#[cfg(unix)]
#[test]
fn everything_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, pki) = made();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(pki.dir()), 0o700);
    for name in [CA_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE] {
        assert_eq!(mode(&pki.dir().join(name)), 0o600, "{name}");
    }
}

#[test]
fn what_is_missing_is_made_again() {
    let (_dir, pki) = made();
    let dir = pki.dir();
    let remove = |names: &[&str]| {
        for name in names {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
    };
    remove(&[CERT_FILE]);
    let after = Pki::open_or_create(dir, "lab-1").unwrap();
    assert_eq!(after.ca, pki.ca, "the authority must survive");
    assert!(!after.renewed(), "it was made, not renewed");
    remove(&[CERT_FILE, KEY_FILE]);
    assert_eq!(Pki::open_or_create(dir, "lab-1").unwrap().ca, pki.ca);
    remove(&[CERT_FILE, KEY_FILE, CA_FILE]);
    assert_ne!(Pki::open_or_create(dir, "lab-1").unwrap().ca, pki.ca);
    // A key that was about to be written does not stay.
    std::fs::write(dir.join(".tmp-abc"), "half a key").unwrap();
    Pki::open_or_create(dir, "lab-1").unwrap();
    assert!(!dir.join(".tmp-abc").exists());
}

const BAD_CA_KEY: &str = "`ca-key.pem` of the fleet's certificates does not belong to `ca.pem`";

#[test]
fn damage_names_the_file_and_the_way_out() {
    let (_other_dir, other) = made();
    for (file, content, says) in [
        (
            CA_FILE,
            "rubbish".to_owned(),
            "`ca.pem` of the fleet's certificates is not a certificate",
        ),
        (
            CERT_FILE,
            "rubbish".to_owned(),
            "`cert.pem` of the fleet's certificates is not a certificate",
        ),
        (
            KEY_FILE,
            "rubbish".to_owned(),
            "`key.pem` of the fleet's certificates is not a private key",
        ),
        (
            KEY_FILE,
            other.key.expose().clone(),
            "`key.pem` of the fleet's certificates does not belong to `cert.pem`",
        ),
        (CA_KEY_FILE, other.ca_key.as_ref().unwrap().expose().clone(), BAD_CA_KEY),
        (CA_FILE, other.ca.clone(), "`cert.pem` of the fleet's certificates is not good under"),
    ] {
        let (_dir, pki) = made();
        std::fs::write(pki.dir().join(file), &content).unwrap();
        // Another authority is no reason to issue anything by it: its key is not here.
        let opening = if says.ends_with("not good under") { BAD_CA_KEY } else { says };
        for (result, says) in
            [(Pki::open_or_create(pki.dir(), "lab-1"), opening), (Pki::load(pki.dir()), says)]
        {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{file}");
            assert!(error.to_string().starts_with(says), "{error}");
            assert!(error.hint_text().unwrap().contains("`fleet up`"));
            assert!(!format!("{error:?}").contains("PRIVATE KEY"));
        }
    }
}

#[test]
fn a_missing_file_is_told_from_a_fleet_without_certificates() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Pki::load(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    let (_dir, pki) = made();
    // A reader does without the authority's key; a writer does not.
    std::fs::remove_file(pki.dir().join(CA_KEY_FILE)).unwrap();
    let read_only = Pki::load(pki.dir()).unwrap();
    assert_eq!(read_only.server(&names()).unwrap_err().kind(), ErrorKind::Conflict);
    let error = Pki::open_or_create(pki.dir(), "lab-1").unwrap_err();
    assert_eq!(error.message(), "`ca-key.pem` is missing from the fleet's certificates");
    // The authority is gone, but something it signed is there.
    std::fs::remove_file(pki.dir().join(CA_FILE)).unwrap();
    let error = Pki::open_or_create(pki.dir(), "lab-1").unwrap_err();
    assert_eq!(error.message(), "`ca.pem` is missing from the fleet's certificates");
}

#[test]
fn keys_never_show() {
    let (_dir, pki) = made();
    let server = pki.server(&names()).unwrap();
    assert!(!format!("{pki:?} {server:?}").contains("PRIVATE KEY"));
}

#[test]
fn a_name_that_cannot_stand_in_a_certificate_is_refused() {
    let (_dir, pki) = made();
    let error = pki.server(&[ServerName::Dns("höst".to_owned())]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn openssl_agrees() {
    let Ok(openssl) = which::which("openssl") else {
        return;
    };
    let (_dir, pki) = made();
    let server = pki.server(&names()).unwrap();
    let path = pki.dir().join("server.pem");
    std::fs::write(&path, &server.cert).unwrap();
    let verify = |purpose: &str, file: &Path| {
        let output = Command::new(&openssl)
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .arg(pki.dir().join(CA_FILE))
            .arg(file)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(verify("sslserver", &path), (true, String::new()));
    assert_eq!(verify("sslclient", &pki.dir().join(CERT_FILE)), (true, String::new()));
    // Neither may be used for the other's purpose.
    assert!(!verify("sslclient", &path).0);
    assert!(!verify("sslserver", &pki.dir().join(CERT_FILE)).0);
    let text = Command::new(&openssl)
        .args(["x509", "-noout", "-text", "-in"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("DNS:host1, IP Address:127.0.0.1, IP Address:10.77.0.11"), "{text}");
    assert!(text.contains("ASN1 OID: prime256v1"));
}
