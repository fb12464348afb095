//! Which QEMU processes are ours, read from `/proc` (proc(5)).
//!
//! A process is a machine's if its words hold the machine's UUID after `-uuid`.
//! A number in a pid file proves nothing: it may long be another program's. Where its
//! machine lives is told by the disk that it has open, wherever that was moved, and
//! before it has opened one by its working folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fleet_driver::{Cx, Error, MachineId, Result, wait};

use crate::emulator::IMG;
use crate::folder::{DISK, Folder, PID};

/// Goes before the id in the SMBIOS string by which a machine's process, and the
/// guest itself, can be recognised.
pub(crate) const MARK: &str = "type=11,value=fleet:";

/// What the kernel adds to the path of a file that was removed.
const REMOVED: &str = " (deleted)";

/// A running QEMU process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process id.
    pub(crate) pid: u32,
}

/// Where a process's machine lives.
#[derive(Debug, PartialEq, Eq)]
enum Home {
    /// In this folder.
    At(PathBuf),
    /// It was in this folder, which or whose disk was removed.
    Was(PathBuf),
    /// The kernel does not tell.
    Unknown,
}

impl Process {
    /// Finds the process of a machine, through its pid file or, if that is of no
    /// help, among all processes.
    ///
    /// A process of the same machine in another data folder is not meant; see
    /// [`Process::elsewhere`].
    pub(crate) fn of(id: &MachineId, folder: &Folder) -> Option<Self> {
        let found = Self::any(id, folder);
        found.filter(|process| process.abroad(folder).is_none())
    }

    /// The process of a machine of this id that lives in another data folder, and where.
    pub(crate) fn elsewhere(id: &MachineId, folder: &Folder) -> Option<(Self, PathBuf)> {
        let process = Self::any(id, folder)?;
        Some((process, process.abroad(folder)?))
    }

    /// Fails if a machine of this id runs in another data folder, where it must not be
    /// disturbed from here.
    ///
    /// # Errors
    /// `Conflict`, naming that folder.
    pub(crate) fn must_be_here(id: &MachineId, folder: &Folder) -> Result<()> {
        match Self::elsewhere(id, folder) {
            None => Ok(()),
            Some((process, place)) => {
                Err(Error::conflict("the machine runs from another data folder")
                    .with("process", process.pid)
                    .with("folder", place.display())
                    .hint("set FLEET_DATA to the data folder that it was made in"))
            }
        }
    }

    fn any(id: &MachineId, folder: &Folder) -> Option<Self> {
        let uuid = id.uuid();
        let noted = fs::read_to_string(folder.file(PID)).ok();
        let noted = noted.and_then(|text| text.trim().parse().ok());
        noted
            .into_iter()
            .chain(pids())
            .find(|pid| is_machine(&words(*pid), &uuid))
            .map(|pid| Self { pid })
    }

    /// Where it lives, if that is outside of the folder in which `folder`'s fleet is.
    fn abroad(self, folder: &Folder) -> Option<PathBuf> {
        let root = folder.path().ancestors().nth(2).map(real)?;
        match self.home() {
            // The same file may have another path where the process looks from.
            Home::At(place) if !place.starts_with(&root) && !self.has_disk_of(folder) => {
                Some(place)
            }
            Home::At(_) | Home::Was(_) | Home::Unknown => None,
        }
    }

    fn has_disk_of(self, folder: &Folder) -> bool {
        let Ok(disk) = fs::metadata(folder.file(DISK)) else {
            return false;
        };
        let same = |file: fs::Metadata| (file.dev(), file.ino()) == (disk.dev(), disk.ino());
        self.open().any(|fd| fs::metadata(fd).is_ok_and(same))
    }

    /// The kernel's links to the files that it has open.
    fn open(self) -> impl Iterator<Item = PathBuf> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid));
        open.into_iter().flatten().flatten().map(|entry| entry.path())
    }

    /// Whether the disk that it runs on was removed.
    pub(crate) fn lost_its_disk(self) -> bool {
        matches!(self.home(), Home::Was(_))
    }

    fn home(self) -> Home {
        let links = self.open().filter_map(|fd| fs::read_link(fd).ok());
        let disk = links.map(Home::of).find_map(|home| match home {
            Home::At(file) if file.ends_with(DISK) => Some(Home::At(file.parent()?.to_owned())),
            Home::Was(file) if file.ends_with(DISK) => Some(Home::Was(file.parent()?.to_owned())),
            _ => None,
        });
        disk.unwrap_or_else(|| match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(cwd) if cwd != Path::new("/") => Home::of(cwd),
            _ => Home::Unknown,
        })
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
        self.open().filter_map(|fd| fs::read_link(fd).ok()).any(|target| target == file)
    }
}

impl Home {
    /// Reads a link of the kernel's.
    fn of(link: PathBuf) -> Self {
        match link.to_string_lossy().strip_suffix(REMOVED) {
            Some(path) => Self::Was(path.into()),
            None => Self::At(link),
        }
    }
}

/// A path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    known
        .and_then(|(above, real)| Some(real.join(path.strip_prefix(above).ok()?)))
        .unwrap_or_else(|| path.to_owned())
}

/// Waits until no `qemu-img` is at work in a folder, as one may be that was started for a
/// `fleet` which was killed since.
///
/// # Errors
/// `Driver` at the deadline, `Interrupted`.
pub(crate) async fn nobody_works_in(folder: &Folder, cx: &Cx) -> Result<()> {
    let hint = "it may be waiting for a disk that does not answer";
    wait::until(cx, "`qemu-img`, which an earlier run has left at work", hint, || async {
        let place = real(folder.path());
        let here = |pid: u32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == place)
                && words(pid).first().is_some_and(|word| Path::new(word).ends_with(IMG))
        };
        match pids().find(|pid| here(*pid)) {
            None => Ok(()),
            Some(pid) => Err(Error::busy("it has not ended").with("process", pid)),
        }
    })
    .await
}

/// The machines that run, whether their folders exist or not: those of one fleet,
/// wherever they live, or all of this user's that live below `root`.
pub(crate) fn running(root: &Path, fleet: Option<&str>) -> Vec<MachineId> {
    let root = real(root);
    let user = fs::metadata("/proc/self").map(|me| me.uid()).ok();
    let below = |pid: u32| match (Process { pid }).home() {
        Home::At(place) | Home::Was(place) => place.starts_with(&root),
        Home::Unknown => false,
    };
    let known = |pid: u32| {
        let id = marked(&words(pid))?;
        let meant = match fleet {
            Some(fleet) => id.fleet() == fleet,
            None => owner(pid) == user && below(pid),
        };
        meant.then_some(id)
    };
    pids().filter_map(known).collect()
}

fn owner(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).map(|process| process.uid()).ok()
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
        folder.make(&cx).unwrap();
        folder.write(PID, std::process::id().to_string().as_bytes()).unwrap();
        assert_eq!(Process::of(&id, &folder), None);
    }

    // One test, since all tests of a process share its open files.
    #[test]
    fn a_home_is_told_by_the_open_disk() {
        let dir = tempfile::tempdir().unwrap();
        let cx = fleet_driver::Cx::new(
            dir.path().join("machines"),
            fleet_driver::event::Reporter::silent(),
            tokio_util::sync::CancellationToken::new(),
        );
        let folder = Folder::new(&MachineId::new("lab-none", "host1"), &cx);
        folder.make(&cx).unwrap();
        let path = real(dir.path());
        let this = Process { pid: std::process::id() };
        // Without a disk it is the working folder.
        assert_eq!(this.home(), Home::At(real(&std::env::current_dir().unwrap())));

        let file = fs::File::create(path.join(DISK)).unwrap();
        assert_eq!(this.home(), Home::At(path.clone()));
        assert!(!this.lost_its_disk());
        assert_eq!(this.abroad(&folder), Some(path.clone()));
        // The same disk by another path.
        fs::hard_link(path.join(DISK), folder.file(DISK)).unwrap();
        assert_eq!(this.abroad(&folder), None);

        fs::remove_file(path.join(DISK)).unwrap();
        assert_eq!(this.home(), Home::Was(path));
        assert!(this.lost_its_disk());
        assert_eq!(this.abroad(&folder), None);
        drop(file);
    }

    #[test]
    fn paths_are_real_as_far_as_they_exist() {
        let dir = tempfile::tempdir().unwrap();
        let there = real(dir.path());
        std::os::unix::fs::symlink(&there, there.join("link")).unwrap();
        assert_eq!(real(&there.join("link/not/yet")), there.join("not/yet"));
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
