//! Tests of how long certificates live, and of their renewal.

use super::*;

/// Makes certificates in `dir`, the client's as if it had been issued that long ago.
pub(super) fn let_client_age(dir: &Path, age: Duration) {
    let pki = Pki::open_or_create(dir, "lab-1").unwrap();
    let issued = OffsetDateTime::now_utc() - age;
    let old = issue::client(&pki.ca, pki.ca_key.as_ref().unwrap(), "lab-1", issued).unwrap();
    put(dir, CERT_FILE, &old.cert);
    put(dir, KEY_FILE, old.key.expose());
}

/// Writes into a file that is there, and so keeps its mode.
fn put(dir: &Path, name: &str, text: &str) {
    assert!(dir.join(name).exists());
    std::fs::write(dir.join(name), text).unwrap();
}

/// Certificates whose client's was issued that long ago.
fn aged(age: Duration) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("certs");
    let_client_age(&dir, age);
    (home, dir)
}

/// Certificates of an authority that was made that long ago.
fn elderly(age: Duration) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("certs");
    Pki::open_or_create(&dir, "lab-1").unwrap();
    let then = OffsetDateTime::now_utc() - age;
    let ca = issue::authority("lab-1", then).unwrap();
    put(&dir, CA_FILE, &ca.cert);
    put(&dir, CA_KEY_FILE, ca.key.expose());
    let client = issue::client(&ca.cert, &ca.key, "lab-1", OffsetDateTime::now_utc()).unwrap();
    put(&dir, CERT_FILE, &client.cert);
    put(&dir, KEY_FILE, client.key.expose());
    (home, dir)
}

fn about(found: OffsetDateTime, wanted: OffsetDateTime) -> bool {
    (found - wanted).abs() < Duration::hours(1)
}

#[test]
fn certificates_live_as_long_as_they_should() {
    let (_home, pki) = made();
    let now = OffsetDateTime::now_utc();
    assert!(about(pki.ca_expires(), now + CA_LIFE));
    assert!(about(pki.client_expires(), now + LEAF_LIFE));
    let server = pki.server(&names()).unwrap();
    assert!(about(server.ends, now + LEAF_LIFE));
    assert_eq!(check::not_after(&server.cert), Some(server.ends));
}

#[test]
fn a_client_certificate_is_renewed_when_it_is_due() {
    let young = LEAF_LIFE - LEAF_DUE - Duration::days(1);
    for (age, renewed) in [(young, false), (young + Duration::days(2), true)] {
        let (_home, dir) = aged(age);
        let now = OffsetDateTime::now_utc();
        let before = Pki::load(&dir).unwrap();
        assert_eq!(before.client_due(now), renewed);
        assert!(!before.renewed(), "a reader writes nothing");
        let after = Pki::open_or_create(&dir, "lab-1").unwrap();
        assert_eq!((after.renewed(), after.client_due(now)), (renewed, false));
        assert_eq!(after.cert != before.cert, renewed);
        assert_eq!(after.key != before.key, renewed, "a new certificate has a new key");
        assert_eq!(after.ca, before.ca);
        assert_eq!(after.fingerprint(), before.fingerprint(), "no engine is restarted for it");
        assert!(!Pki::open_or_create(&dir, "lab-1").unwrap().renewed());
    }
}

#[test]
fn an_expired_client_certificate_is_renewed_by_the_writer_only() {
    let (_home, dir) = aged(LEAF_LIFE + Duration::days(1));
    let error = Pki::load(&dir).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().starts_with("`cert.pem` of the fleet's certificates expired on"));
    assert_eq!(error.hint_text(), Some("`fleet up` renews it"));
    // Without the authority's own key nobody can.
    let ca_key = std::fs::read_to_string(dir.join(CA_KEY_FILE)).unwrap();
    std::fs::remove_file(dir.join(CA_KEY_FILE)).unwrap();
    let error = Pki::open_or_create(&dir, "lab-1").unwrap_err();
    assert_eq!(error.message(), "`ca-key.pem` is missing from the fleet's certificates");
    std::fs::write(dir.join(CA_KEY_FILE), ca_key).unwrap();
    assert!(Pki::open_or_create(&dir, "lab-1").unwrap().renewed());
    Pki::load(&dir).unwrap();
}

#[test]
fn a_client_certificate_of_another_authority_is_issued_anew() {
    let (_home, pki) = made();
    let (_other_home, other) = made();
    put(pki.dir(), CERT_FILE, &other.cert);
    put(pki.dir(), KEY_FILE, other.key.expose());
    assert!(Pki::load(pki.dir()).unwrap_err().message().contains("is not good under `ca.pem`"));
    let after = Pki::open_or_create(pki.dir(), "lab-1").unwrap();
    assert!(after.renewed());
    assert_eq!(after.ca, pki.ca);
}

#[test]
fn nothing_outlives_the_authority() {
    let (_home, dir) = elderly(CA_LIFE - Duration::days(30));
    let now = OffsetDateTime::now_utc();
    let pki = Pki::open_or_create(&dir, "lab-1").unwrap();
    assert!(pki.ca_due(now));
    assert_eq!(pki.client_expires(), pki.ca_expires());
    let ends = pki.server(&names()).unwrap().ends;
    assert_eq!(ends, pki.ca_expires());
    // A new certificate would end on the same day: there is nothing to be gained.
    assert!(!pki.client_due(now) && !pki.due(ends, now) && !pki.renewed());
    assert!(pki.due(ends - Duration::days(1), now));
}

#[test]
fn an_authority_is_due_in_its_last_year() {
    for (left, due) in [(Duration::days(366), false), (Duration::days(364), true)] {
        let (_home, dir) = elderly(CA_LIFE - left);
        let pki = Pki::open_or_create(&dir, "lab-1").unwrap();
        assert_eq!(pki.ca_due(OffsetDateTime::now_utc()), due);
    }
}

#[test]
fn an_expired_authority_is_replaced_by_a_rotation() {
    let (_home, dir) = elderly(CA_LIFE + Duration::days(1));
    for result in [Pki::load(&dir), Pki::open_or_create(&dir, "lab-1")] {
        assert!(result.unwrap_err().message().contains("`ca.pem`"));
    }
    assert_eq!(Pki::begin_rotation(&dir, "lab-1").unwrap(), Begun::Now);
    let pki = Pki::open_or_create(&dir, "lab-1").unwrap();
    assert!(pki.rotating() && pki.renewed(), "its client certificate ended with it");
    assert!(!dir.join(CA_CROSS_FILE).exists(), "it cannot vouch for anybody any more");
    assert_eq!(Pki::finish_rotation(&dir, "lab-1").unwrap(), Finished::Now);
    Pki::load(&dir).unwrap();
}
