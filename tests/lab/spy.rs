//! Looks over the shoulder of a run: no key and no token may show in any process's
//! command line, nor in what the run wrote down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::harness::{Lab, pause};

/// Watches all command lines of this host until it is asked.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
    dir: PathBuf,
}

impl Watch {
    pub fn start(dir: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::Relaxed) {
                seen.extend(command_lines());
                pause(Duration::from_millis(20));
            }
            seen
        });
        Self { stop, thread, dir: dir.to_owned() }
    }

    /// Ends the watch and fails if anything secret was seen.
    pub fn found_nothing(self, lab: &Lab) {
        self.stop.store(true, Ordering::Relaxed);
        let lines = self.thread.join().expect("the watch does not panic");
        assert!(lines.iter().any(|line| line.contains("qemu-system")), "the watch saw nothing");
        let secrets = secrets(&self.dir);
        assert!(secrets.len() >= 4, "the watch knows too few secrets: {}", secrets.len());
        let clean = |place: &str, text: &str| {
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "a secret shows in {place}");
            }
        };
        for line in &lines {
            clean("a command line", line);
        }
        let mut logs = 0;
        for log in std::fs::read_dir(self.dir.join(".fleet/log")).expect("the run kept a log") {
            let path = log.expect("a log").path();
            clean("the log of the run", &std::fs::read_to_string(path).expect("a log"));
            logs += 1;
        }
        assert!(logs > 0);
        clean("what `fleet` printed", &lab.printed());
    }
}

/// The lines of every private key of the fleet, and the marks of what is never
/// written down.
fn secrets(dir: &Path) -> Vec<String> {
    let mut secrets = vec!["SWMTKN-".to_owned(), "PRIVATE KEY-----".to_owned()];
    for file in [".fleet/ssh/id_ed25519", ".fleet/certs/key.pem", ".fleet/certs/ca-key.pem"] {
        let text = std::fs::read_to_string(dir.join(file)).expect(file);
        let body = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 24);
        secrets.extend(body.map(str::to_owned));
    }
    // The first line of every OpenSSH key is the same and says nothing.
    secrets.retain(|line| !line.starts_with("b3BlbnNzaC1rZXktdjE"));
    secrets
}

fn command_lines() -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}
