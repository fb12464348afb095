//! Tests of the phases of a rotation, as the folder shows them.

use super::*;

fn file(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn the_phases_follow_each_other() {
    let (_home, before) = made();
    let dir = before.dir();
    assert_eq!(before.engine_trust(), before.ca());
    assert_eq!(Pki::finish_rotation(dir, "lab-1").unwrap(), Finished::Before);

    assert_eq!(Pki::begin_rotation(dir, "lab-1").unwrap(), Begun::Now);
    let during = Pki::open_or_create(dir, "lab-1").unwrap();
    assert!(during.rotating() && !during.renewed());
    assert_ne!(during.ca(), before.ca());
    assert_eq!(during.engine_trust(), format!("{}{}", during.ca(), before.ca()));
    assert_eq!(file(dir, CA_FILE), during.engine_trust());
    assert_eq!(file(dir, CA_OLD_FILE), before.ca());
    assert_ne!(during.ca_key, before.ca_key);
    assert_eq!((&during.cert, &during.key), (&before.cert, &before.key));
    assert_eq!(during.trust_der().len(), 2);

    // Again: nothing changes.
    assert_eq!(Pki::begin_rotation(dir, "lab-1").unwrap(), Begun::Before);
    let again = Pki::open_or_create(dir, "lab-1").unwrap();
    assert_eq!(again.engine_trust(), during.engine_trust());
    assert_eq!(again.fingerprint(), during.fingerprint());

    assert_eq!(Pki::finish_rotation(dir, "lab-1").unwrap(), Finished::Now);
    let after = Pki::open_or_create(dir, "lab-1").unwrap();
    assert!(!after.rotating() && !after.renewed());
    assert_eq!(after.ca(), during.ca());
    assert_eq!((file(dir, CA_FILE).as_str(), after.engine_trust()), (after.ca(), after.ca()));
    assert_ne!(after.cert, before.cert);
    assert_ne!(after.key, before.key);
    assert!(!dir.join(CA_OLD_FILE).exists() && !dir.join(CA_CROSS_FILE).exists());
    assert_eq!(Pki::finish_rotation(dir, "lab-1").unwrap(), Finished::Before);

    let mut phases = [before.fingerprint(), during.fingerprint(), after.fingerprint()];
    phases.sort();
    assert!(phases.windows(2).all(|two| two[0] != two[1]), "each has its own: {phases:?}");
}

#[test]
fn without_certificates_there_is_nothing_to_replace() {
    let home = tempfile::tempdir().unwrap();
    let error = Pki::begin_rotation(&home.path().join("certs"), "lab-1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_lost_key_is_replaced_too() {
    let (_home, before) = made();
    std::fs::remove_file(before.dir().join(CA_KEY_FILE)).unwrap();
    assert_eq!(Pki::begin_rotation(before.dir(), "lab-1").unwrap(), Begun::Now);
    let during = Pki::open_or_create(before.dir(), "lab-1").unwrap();
    assert_eq!(during.cert, before.cert);
    let server = during.server(&names()).unwrap();
    assert_eq!(server.cert.matches("BEGIN CERTIFICATE").count(), 1, "nobody vouches for it");
}

#[test]
fn the_former_authoritys_client_certificate_is_used_until_its_end() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("certs");
    for (age, renewed) in
        [(LEAF_LIFE - Duration::days(1), false), (LEAF_LIFE + Duration::days(1), true)]
    {
        life::let_client_age(&dir, age);
        assert_eq!(Pki::begin_rotation(&dir, "lab-1").unwrap(), Begun::Now);
        // Renewed by the new authority, it would be refused by engines of the old one.
        if !renewed {
            assert!(!Pki::load(&dir).unwrap().client_due(OffsetDateTime::now_utc()));
        }
        let pki = Pki::open_or_create(&dir, "lab-1").unwrap();
        assert_eq!(pki.renewed(), renewed);
        assert_eq!(pki.client_of, if renewed { Issuer::Current } else { Issuer::Former });
        assert_eq!(Pki::finish_rotation(&dir, "lab-1").unwrap(), Finished::Now);
    }
}

#[test]
fn files_that_contradict_each_other_are_told() {
    let (_other_home, other) = made();
    let says = |change: &dyn Fn(&Path)| {
        let (_home, pki) = made();
        Pki::begin_rotation(pki.dir(), "lab-1").unwrap();
        change(pki.dir());
        let error = Pki::open_or_create(pki.dir(), "lab-1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(Pki::load(pki.dir()).unwrap_err().message(), error.message());
        error.message().to_owned()
    };
    let contradicts = "`ca.pem` of the fleet's certificates does not go with `ca-old.pem`";
    assert_eq!(
        says(&|dir| std::fs::remove_file(dir.join(CA_OLD_FILE)).unwrap()),
        "`ca-old.pem` is missing from the fleet's certificates"
    );
    assert_eq!(
        says(&|dir| std::fs::write(dir.join(CA_OLD_FILE), other.ca()).unwrap()),
        contradicts
    );
    assert_eq!(says(&|dir| std::fs::write(dir.join(CA_FILE), other.ca()).unwrap()), contradicts);
    assert_eq!(
        says(&|dir| std::fs::write(dir.join(CA_CROSS_FILE), "rubbish").unwrap()),
        "`ca-cross.pem` of the fleet's certificates is not a certificate"
    );
}

#[test]
fn openssl_accepts_the_new_engines_with_what_old_copies_trust() {
    let Ok(openssl) = which::which("openssl") else {
        return;
    };
    let (home, before) = made();
    Pki::begin_rotation(before.dir(), "lab-1").unwrap();
    let during = Pki::open_or_create(before.dir(), "lab-1").unwrap();
    let server = home.path().join("server.pem");
    std::fs::write(&server, during.server(&names()).unwrap().cert).unwrap();
    let trust = home.path().join("trust.pem");
    for trusted in [before.ca(), during.engine_trust(), during.ca()] {
        std::fs::write(&trust, trusted).unwrap();
        let output = Command::new(&openssl)
            .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
            .arg(&trust)
            .arg("-untrusted")
            .args([&server, &server])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
