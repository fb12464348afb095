//! Kills each change before each of its file operations.

use super::*;
use crate::pki::files::{self, Contents};

const FLEET: &str = "lab-1";

struct Scenario {
    name: &'static str,
    set_up: fn(&Path),
    run: fn(&Path) -> Result<()>,
    /// The names in the folder afterwards.
    leaves: &'static [&'static str],
}

const USUAL: &[&str] = &["ca-key.pem", "ca.pem", "cert.pem", "key.pem"];
const ROTATING: &[&str] =
    &["ca-cross.pem", "ca-key.pem", "ca-old.pem", "ca.pem", "cert.pem", "key.pem"];

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "create", set_up: |_| (), run: open, leaves: USUAL },
    Scenario {
        name: "renew",
        set_up: |dir| life::let_client_age(dir, LEAF_LIFE - LEAF_DUE + Duration::days(1)),
        run: open,
        leaves: USUAL,
    },
    Scenario {
        name: "renew what has expired",
        set_up: |dir| life::let_client_age(dir, LEAF_LIFE + Duration::days(1)),
        run: open,
        leaves: USUAL,
    },
    Scenario {
        name: "begin",
        set_up: |dir| open(dir).unwrap(),
        run: |dir| Pki::begin_rotation(dir, FLEET).map(drop),
        leaves: ROTATING,
    },
    Scenario {
        name: "finish",
        set_up: |dir| {
            open(dir).unwrap();
            Pki::begin_rotation(dir, FLEET).unwrap();
        },
        run: |dir| Pki::finish_rotation(dir, FLEET).map(drop),
        leaves: USUAL,
    },
];

fn open(dir: &Path) -> Result<()> {
    Pki::open_or_create(dir, FLEET).map(drop)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether there is nothing that others may read.
fn private(dir: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let inside = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        mode(dir) == 0o700
            && inside
                .into_iter()
                .all(|path| if path.is_dir() { private(&path) } else { mode(&path) == 0o600 })
    }
    #[cfg(not(unix))]
    dir.exists()
}

/// The files as a Docker client finds them, which knows of no half-done change; tells
/// whether certificate and key go together.
fn docker_pair(dir: &Path) -> bool {
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let (cert, key) = (text(CERT_FILE), Secret::new(text(KEY_FILE)));
    check::pair(dir, (&cert, CERT_FILE), (&key, KEY_FILE)).is_ok()
}

/// Whether a Docker client accepts the engines that trust it.
fn docker_is_let_in(dir: &Path, engines: &Contents) -> bool {
    let cert = std::fs::read_to_string(dir.join(CERT_FILE)).unwrap();
    let trusted = check::certificates(engines.ca.as_deref().unwrap());
    check::client(dir, &trusted, &cert).is_ok()
}

#[test]
fn a_change_that_is_killed_counts_fully_or_not_at_all() {
    for scenario in SCENARIOS {
        let home = tempfile::tempdir().unwrap();
        let start = home.path().join("start");
        std::fs::create_dir(&start).unwrap();
        (scenario.set_up)(&start);
        let before = files::read(&start).unwrap();
        let (mut kept, mut changed, mut torn) = (0, 0, 0);
        for operations in 0.. {
            let at = format!("{} killed after {operations}", scenario.name);
            let dir = home.path().join(format!("{operations}"));
            copy(&start, &dir);
            let killed = fuse::after(operations, || (scenario.run)(&dir)).is_none();
            assert!(private(&dir), "{at}");

            // A reader at that moment sees all of the change or nothing of it.
            let seen = files::read(&dir).unwrap();
            let new = seen != before;
            *(if new { &mut changed } else { &mut kept }) += 1;
            match Pki::load(&dir) {
                Ok(pki) => assert_eq!(pki.cert, *seen.cert.as_ref().unwrap(), "{at}"),
                Err(error) if !new && scenario.name == "create" => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{at}");
                }
                Err(error) => {
                    assert!(!new && scenario.name == "renew what has expired", "{at}: {error}");
                    assert_eq!(error.hint_text(), Some("`fleet up` renews it"), "{at}");
                }
            }
            if scenario.name != "create" {
                torn += usize::from(!docker_pair(&dir));
                // Engines trust the authorities of before while fleet changes the folder.
                assert!(
                    scenario.name.starts_with("renew what") || docker_is_let_in(&dir, &before),
                    "{at}"
                );
            }

            // The next run finishes it, also if it is killed itself a few times.
            for more in 0.. {
                let dir = home.path().join(format!("{operations}-{more}"));
                copy(&home.path().join(format!("{operations}")), &dir);
                let opened = fuse::after(more, || Pki::open_or_create(&dir, FLEET));
                let pki = Pki::open_or_create(&dir, FLEET).unwrap();
                let after = files::read(&dir).unwrap();
                if new || !scenario.name.starts_with("renew") && scenario.name != "create" {
                    assert_eq!(after, seen, "{at}, then after {more}: what counted stays");
                }
                let expected = if pki.rotating() { ROTATING } else { USUAL };
                assert_eq!(names(&dir), expected, "{at}, then after {more}");
                assert!(private(&dir), "{at}");
                assert!(docker_pair(&dir), "{at}");
                std::fs::remove_dir_all(&dir).unwrap();
                if opened.is_some() {
                    break;
                }
            }

            // And so does the same command again.
            (scenario.run)(&dir).unwrap();
            assert_eq!(names(&dir), scenario.leaves, "{at}");
            Pki::load(&dir).unwrap();
            if !killed {
                break;
            }
        }
        assert!(kept > 2 && changed > 2, "{}: {kept} before, {changed} after", scenario.name);
        // Between two renamings there is no way around it.
        assert!(torn <= 1, "{}: {torn}", scenario.name);
    }
}

#[test]
fn a_reader_never_sees_half_a_change() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("certs");
    open(&dir).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                Pki::load(&dir).unwrap();
                reads += 1;
            }
            reads
        });
        for _ in 0..20 {
            assert_eq!(Pki::begin_rotation(&dir, FLEET).unwrap(), Begun::Now);
            assert_eq!(Pki::finish_rotation(&dir, FLEET).unwrap(), Finished::Now);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_reader_looks_until_nothing_moves() {
    let mut sights = ["old", "torn", "new", "new", "newer"].into_iter();
    assert_eq!(files::settled(|| Ok(sights.next().unwrap())).unwrap(), "new");
    // It does not look for ever.
    let mut sights = 0..100;
    files::settled(|| Ok(sights.next().unwrap())).unwrap();
    assert!(sights.next().unwrap() < 20);
}
