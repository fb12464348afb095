//! The store by itself, and images that are brought in.

use super::*;

fn host(dir: &Path) -> Host {
    Host::captured(dir, &[("FLEET_CACHE", "cache")])
}

fn new(dir: &Path, name: &str, content: &[u8]) -> New {
    let disk = dir.join("made.qcow2");
    std::fs::write(&disk, content).unwrap();
    New {
        name: name.to_owned(),
        disk,
        sha256: promise(content).hex().to_owned(),
        size_mib: 3,
        source: Source::Built { suite: "bookworm".to_owned() },
        distribution: None,
        engine: Some("20.10.24".to_owned()),
    }
}

#[test]
fn an_image_is_found_by_its_name_and_machines_keep_the_one_they_have() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&host(dir.path()));
    let wanted = ImageRef::Name("debian-12".to_owned());
    assert_eq!(images.find(&wanted).unwrap(), None);
    images.store.admit(new(dir.path(), "debian-12", b"one")).unwrap();
    let first = images.find(&wanted).unwrap().unwrap();
    images.store.admit(new(dir.path(), "debian-12", b"another")).unwrap();
    let second = images.find(&wanted).unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(std::fs::read(&first.path).unwrap(), b"one", "an overlay may be on it");
    let list = images.list().unwrap();
    assert_eq!((list.len(), list[0].older_bytes), (1, 3));
    assert_eq!(images.store.remove_older("debian-12").unwrap(), 3);
    assert!(!first.path.exists() && second.path.exists());
}

#[test]
fn an_image_that_was_changed_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&host(dir.path()));
    let entry = images.store.admit(new(dir.path(), "debian-12", b"one")).unwrap();
    let disk = images.store.disk(&entry);
    std::fs::remove_file(&disk).unwrap();
    std::fs::write(&disk, b"longer").unwrap();
    let error = images.find(&ImageRef::Name("debian-12".to_owned())).unwrap_err();
    assert!(error.message().contains("was changed"), "{error}");
    assert!(images.list().unwrap()[0].problem.is_some());
}

#[tokio::test]
async fn a_name_that_no_distribution_has_says_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&host(dir.path()));
    let error = images.ensure(&ImageRef::Name("hanna".to_owned()), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint_text().unwrap().contains("debian-12"), "{error:?}");
    assert!(images.how(&ImageRef::Name("hanna".to_owned())).contains("nothing"));
}

#[tokio::test]
async fn two_fleets_do_not_work_on_one_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("images"));
    let held = lock::take(&store, "debian-12", &cx()).await.unwrap();
    lock::take(&store, "debian-13", &cx()).await.unwrap();
    let hasty = cx().within(Duration::from_millis(80));
    let error = lock::take(&store, "debian-12", &hasty).await.unwrap_err();
    assert!(error.message().contains("another fleet"), "{error}");
    drop(held);
    lock::take(&store, "debian-12", &cx()).await.unwrap();
}

#[tokio::test]
async fn a_file_is_brought_in_and_an_overlay_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = qcow2(dir.path()).await else { return };
    let images = Images::open(&host(dir.path()));
    let bring = async |name: &str, file: &str, digest: Option<&str>| {
        images.import(name, file, digest, Existing::Keep, &cx()).await
    };
    let digest = promise(&image);
    let got = bring("mine", "small.qcow2", Some(digest.hex())).await.unwrap();
    assert!(matches!(&got, Got::New(entry) if entry.sha256 == digest.hex()));
    assert_eq!(
        bring("mine", "small.qcow2", None).await.unwrap(),
        Got::Already(got.entry().clone())
    );
    let file = images.find(&ImageRef::Name("mine".to_owned())).unwrap().unwrap();
    assert_eq!(file.size_mib, 3);

    std::fs::write(dir.path().join("plain.raw"), vec![7; 2 << 20]).unwrap();
    let raw = bring("raw", "plain.raw", None).await.unwrap();
    assert_eq!(raw.entry().size_mib, 2);
    assert!(std::fs::read(images.store.disk(raw.entry())).unwrap().starts_with(b"QFI\xfb"));

    let overlay = fleet_driver::run::Cmd::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "small.qcow2", "over.qcow2"])
        .cwd(dir.path());
    cx().run(&overlay).await.unwrap();
    for (file, digest, kind) in [
        ("over.qcow2", None, ErrorKind::Conflict),
        ("absent.qcow2", None, ErrorKind::NotFound),
        ("small.qcow2", Some("0".repeat(64)), ErrorKind::Conflict),
        ("small.qcow2", Some("xyz".to_owned()), ErrorKind::Config),
        ("https://127.0.0.1:1/no-digest", None, ErrorKind::Config),
    ] {
        let error = bring("other", file, digest.as_deref()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{file}: {error}");
        assert_eq!(images.find(&ImageRef::Name("other".to_owned())).unwrap(), None);
    }
    assert!(!images.store.work("other").join("import").exists(), "nothing is half made");
    let error = bring("No Name", "small.qcow2", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn an_image_by_path_is_looked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = qcow2(dir.path()).await else { return };
    let images = Images::open(&host(dir.path()));
    let path = dir.path().join("small.qcow2");
    let wanted = ImageRef::Path(path.clone());
    assert_eq!(images.find(&wanted).unwrap(), None);
    let file = images.ensure(&wanted, &cx()).await.unwrap();
    assert_eq!(file.path, path, "used where it lies");
    assert_eq!(file.sha256, promise(&image).hex());
    assert_eq!(images.find(&wanted).unwrap(), Some(file));
    std::fs::write(&path, b"changed").unwrap();
    assert_eq!(images.find(&wanted).unwrap(), None);
    let error = images.ensure(&wanted, &cx()).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("fleet image import"), "{error:?}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(images.ensure(&wanted, &cx()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn removing_what_is_not_there_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&host(dir.path()));
    let error = images.remove("debian-12", &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    images.store.admit(new(dir.path(), "debian-12", b"one")).unwrap();
    images.remove("debian-12", &cx()).await.unwrap();
    assert!(images.list().unwrap().is_empty());
}

#[test]
fn lists_of_digests_are_read() {
    let (a, b) = ("a".repeat(64), "b".repeat(128));
    let list = format!("{a} *one.img\n{b}  ./folder/two.qcow2\nshort  three.img\n");
    let read = |file| super::super::digest::in_list(&list, file);
    assert_eq!(read("one.img").unwrap(), Promise::Sha256(a));
    assert_eq!(read("two.qcow2").unwrap(), Promise::Sha512(b));
    assert!(read("three.img").is_err());
    assert!(read("img").is_err());
}
