//! Which QEMU processes are ours, read from `/proc` (proc(5)).
//!
//! A process is a machine's if its words hold the machine's UUID after `-uuid`.
//! A number in a pid file proves nothing: it may long be another program's.

use std::fs;
use std::path::Path;

use fleet_driver::MachineId;

use crate::folder::{Folder, PID};

/// Goes before the id in the SMBIOS string by which a machine's process, and the
/// guest itself, can be recognised.
pub(crate) const MARK: &str = "type=11,value=fleet:";

/// A running QEMU process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process id.
    pub(crate) pid: u32,
}

impl Process {
    /// Finds the process of a machine, through its pid file or, if that is of no
    /// help, among all processes.
    pub(crate) fn of(id: &MachineId, folder: &Folder) -> Option<Self> {
        let uuid = id.uuid();
        let noted = fs::read_to_string(folder.file(PID)).ok();
        let noted = noted.and_then(|text| text.trim().parse().ok());
        noted
            .into_iter()
            .chain(pids())
            .find(|pid| is_machine(&words(*pid), &uuid))
            .map(|pid| Self { pid })
    }

    /// Whether it still runs and still is the machine's.
    pub(crate) fn is(self, id: &MachineId) -> bool {
        is_machine(&words(self.pid), &id.uuid())
    }

    /// Whether it has the file open.
    pub(crate) fn holds(self, file: &Path) -> bool {
        let Ok(file) = fs::canonicalize(file) else {
            return false;
        };
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == file)
    }
}

/// The machines of `fleet` that run, whether their folders exist or not.
pub(crate) fn running(fleet: &str) -> Vec<MachineId> {
    pids().filter_map(|pid| marked(&words(pid))).filter(|id| id.fleet() == fleet).collect()
}

/// The ids of all processes.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The words of a process's command line; none if it has ended, also while nobody
/// has collected its status yet.
fn words(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    bytes.split(|b| *b == 0).map(word).collect()
}

fn is_machine(words: &[String], uuid: &str) -> bool {
    is_qemu(words) && words.windows(2).any(|pair| pair[0] == "-uuid" && pair[1] == uuid)
}

/// The machine whose mark is among the words, if its UUID is there too.
fn marked(words: &[String]) -> Option<MachineId> {
    let mark = words.iter().find_map(|word| word.strip_prefix(MARK))?;
    let (fleet, machine) = mark.split_once('/')?;
    let id = MachineId::new(fleet, machine);
    is_machine(words, &id.uuid()).then_some(id)
}

fn is_qemu(words: &[String]) -> bool {
    let program = words.first().map(Path::new).and_then(Path::file_name);
    program.is_some_and(|name| name.to_string_lossy().starts_with("qemu-system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(id: &MachineId, program: &str) -> Vec<String> {
        let mark = format!("{MARK}{id}");
        let words = [program, "-smbios", &mark, "-uuid", &id.uuid()];
        words.map(str::to_owned).into()
    }

    #[test]
    fn a_machine_is_known_by_mark_and_uuid() {
        let id = MachineId::new("lab-1", "host1");
        let words = words_of(&id, "/usr/bin/qemu-system-x86_64");
        assert_eq!(marked(&words), Some(id.clone()));
        assert!(is_machine(&words, &id.uuid()));
        assert!(!is_machine(&words, &MachineId::new("lab-1", "host2").uuid()));
    }

    #[test]
    fn a_program_that_only_speaks_of_a_machine_is_not_one() {
        let id = MachineId::new("lab-1", "host1");
        assert!(!is_machine(&words_of(&id, "/usr/bin/pgrep"), &id.uuid()));
        let mut words = words_of(&id, "qemu-system-x86_64");
        words.pop();
        assert_eq!(marked(&words), None);
    }

    #[test]
    fn a_stale_pid_file_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cx = fleet_driver::Cx::new(
            dir.path(),
            fleet_driver::event::Reporter::silent(),
            tokio_util::sync::CancellationToken::new(),
        );
        let id = MachineId::new("lab-none", "host1");
        let folder = Folder::new(&id, &cx);
        folder.make().unwrap();
        folder.write(PID, std::process::id().to_string().as_bytes()).unwrap();
        assert_eq!(Process::of(&id, &folder), None);
    }

    #[test]
    fn open_files_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.iso");
        let file = fs::File::create(&path).unwrap();
        let this = Process { pid: std::process::id() };
        assert!(this.holds(&path));
        drop(file);
        assert!(!this.holds(&path));
    }
}
