//! Tests of the records.

use super::*;

/// The records of the fleet in `home`; what is kept elsewhere lies beside it.
fn open(home: &Path) -> Result<Store> {
    Store::open(home, &Keep::new(&home.join("data")))
}

fn record() -> Record {
    Record {
        driver: "fake".to_owned(),
        address: Ipv4Addr::new(10, 77, 0, 11),
        image_sha256: "ab".to_owned(),
        user: "fleet".to_owned(),
        host_key: "ssh-ed25519 AAAA".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        settled: false,
        manager: false,
        protected: false,
        cert_serial: 0,
    }
}

#[test]
fn what_is_put_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path()).unwrap();
    let _lock = store.lock("lab", "up").unwrap();
    store.put("lab", "host1", record()).unwrap();
    let again = open(home.path()).unwrap();
    assert_eq!(again.record("host1"), Some(&record()));
    assert_eq!(again.fleet_id("lab"), store.fleet_id("lab"));
    assert_eq!(again.addresses()["host1"], Ipv4Addr::new(10, 77, 0, 11));
}

#[test]
fn the_id_is_the_same_after_every_record_was_lost() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path()).unwrap();
    let before = store.fleet_id("lab");
    let _lock = store.lock("lab", "up").unwrap();
    store.put("lab", "host1", record()).unwrap();
    store.clear("lab").unwrap();
    assert!(!home.path().join(".fleet").exists());
    assert_eq!(open(home.path()).unwrap().fleet_id("lab"), before);
}

#[test]
fn a_second_holder_is_told_who_holds_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path()).unwrap();
    let lock = store.lock("lab", "fleet up").unwrap();
    let error = open(home.path()).unwrap().lock("lab", "fleet down").unwrap_err();
    assert!(error.to_string().contains("`fleet up`"), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(lock);
    open(home.path()).unwrap().lock("lab", "fleet down").unwrap();
}

#[test]
fn a_damaged_file_is_an_error_and_stays() {
    let home = tempfile::tempdir().unwrap();
    private_dir(&home.path().join(".fleet")).unwrap();
    let path = home.path().join(".fleet/state.toml");
    std::fs::write(&path, "format = ").unwrap();
    let error = open(home.path()).unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Conflict);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "format = ");
}

#[test]
fn a_copy_of_another_fleets_records_is_refused_and_a_moved_one_accepted() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    let mut store = open(&a).unwrap();
    let lock = store.lock("lab", "up").unwrap();
    store.put("lab", "host1", record()).unwrap();
    drop(lock);
    let id = store.fleet_id("lab");
    std::fs::create_dir_all(b.join(".fleet")).unwrap();
    std::fs::copy(a.join(".fleet/state.toml"), b.join(".fleet/state.toml")).unwrap();
    assert!(open(&b).is_err());
    std::fs::remove_dir_all(&a).unwrap();
    assert_eq!(open(&b).unwrap().fleet_id("lab"), id);
}

#[cfg(unix)]
#[test]
fn what_is_written_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    write_atomically(&path, b"x").unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
