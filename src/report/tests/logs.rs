//! Logs on disk, and the pump that writes them.

use std::fs;
use std::io::Write;
use std::time::Duration;

use fleet_driver::Level;
use fleet_driver::event::Reporter;

use super::{run, waiting};
use crate::host::Host;
use crate::report::{Mode, log, open};

#[tokio::test]
async fn a_run_is_logged_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log");
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Quiet, Some(&logs)).unwrap();
    for second in 0..1000 {
        reporter.about("host1").send(waiting("SSH", second));
    }
    drop(reporter);
    let path = reports.finish().await.expect("there is a log");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().last().unwrap().contains(r#""elapsed":999.0"#));
    assert_eq!(host.printed(), (String::new(), String::new()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_last_twenty_logs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=28 {
        fs::write(folder.path().join(format!("2026-02-{day:02}T00-00-00.jsonl")), "").unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Quiet, Some(folder.path())).unwrap();
    drop(reporter);
    let new = reports.finish().await.unwrap();
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    assert_eq!(left.len(), 21);
    assert!(left.contains(&new) && left.contains(&folder.path().join("notes.txt")));
    assert!(left[0].ends_with("2026-02-10T00-00-00.jsonl"), "{left:?}");
}

#[tokio::test]
async fn two_logs_of_one_second_are_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::captured("/", &[]);
    let mut paths = Vec::new();
    for _ in 0..3 {
        let (reporter, reports) = open(&host, Mode::Quiet, Some(folder.path())).unwrap();
        drop(reporter);
        paths.push(reports.finish().await.unwrap());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    fs::write(&file, "not a folder").unwrap();
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Plain, Some(&file)).unwrap();
    reporter.note(Level::Info, "It runs.");
    drop(reporter);
    assert_eq!(reports.finish().await, None);
    let (_, err) = host.printed();
    assert!(err.starts_with("note: It runs.\nwarning: the log is not complete: "), "{err}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_does_not_end_the_run() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    (&full).write_all(b"x").expect_err("this file is always full");
    let mut log = log::Log::on(full);
    for event in run() {
        log.event(&event);
    }
    assert!(log.close().trouble.is_some_and(|trouble| trouble.contains("space")));
}

#[tokio::test]
async fn a_forgotten_sender_is_not_waited_for() {
    let host = Host::captured("/", &[]);
    let (reporter, mut reports) = open(&host, Mode::Quiet, None).unwrap();
    reports.patience = Duration::from_millis(20);
    let forgotten: Reporter = reporter.about("host1");
    drop(reporter);
    assert_eq!(reports.finish().await, None);
    drop(forgotten);
}
