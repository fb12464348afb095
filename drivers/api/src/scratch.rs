//! The folders that machines live in: one a machine, below one of its fleet.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Cx, Error, MachineId, Result};

/// Linux takes no longer path (`PATH_MAX` in limits.h, with its final zero).
const LONGEST_PATH: usize = 4095;
/// What a driver may call its files, with what is added while they are written.
const LONGEST_NAME: usize = 64;
/// How often a folder that others remove at the same time is made again.
const ATTEMPTS: usize = 100;

impl Cx {
    /// The folder of one machine: `root/<fleet>/<machine>`.
    ///
    /// [`Cx::make_scratch`] makes it, and `destroy` removes it.
    pub fn scratch(&self, id: &MachineId) -> PathBuf {
        self.scratch_root().join(id.fleet()).join(id.machine())
    }

    /// Looks whether the files of a machine can have the paths that they would get.
    ///
    /// # Errors
    /// `Host`, with the way out, if the paths are too long.
    pub fn check_scratch(&self, id: &MachineId) -> Result<()> {
        let length = self.scratch(id).as_os_str().len() + 1 + LONGEST_NAME;
        if length <= LONGEST_PATH {
            return Ok(());
        }
        Err(Error::host("the path of the machine's folder is too long")
            .with("folder", self.scratch(id).display())
            .hint("set FLEET_DATA to a folder with a shorter path"))
    }

    /// Makes the folder of a machine and those above it, where they are missing, for this
    /// user only.
    ///
    /// # Errors
    /// `Host` if it cannot be made or its path is too long.
    pub fn make_scratch(&self, id: &MachineId) -> Result<PathBuf> {
        self.check_scratch(id)?;
        let folder = self.scratch(id);
        let mut left = ATTEMPTS;
        loop {
            match private_folder(&folder) {
                Ok(()) => return Ok(folder),
                // Whoever destroyed the fleet's last other machine just now took the
                // fleet's folder away: before it was used, or between the moment in which
                // it was there already and the look whether it is a folder.
                Err(e)
                    if left > 0
                        && matches!(
                            e.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                        ) =>
                {
                    left -= 1;
                }
                Err(e) => {
                    return Err(Error::host("could not make the machine's folder")
                        .with("folder", folder.display())
                        .because(e));
                }
            }
        }
    }

    /// Removes the empty folder of a machine, and that of its fleet if it is the last.
    ///
    /// # Errors
    /// `Host` if it cannot be removed, such as when it is not empty.
    pub fn remove_scratch(&self, id: &MachineId) -> Result<()> {
        let folder = self.scratch(id);
        let fleet = folder.parent().unwrap_or(self.scratch_root());
        let failed = |what: &str, path: &Path, e: io::Error| {
            Error::host(format!("could not remove the {what}'s folder"))
                .with("folder", path.display())
                .because(e)
        };
        match std::fs::remove_dir(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(failed("machine", &folder, e));
            }
            Ok(()) | Err(_) => {}
        }
        self.tidy_fleet(id).map_err(|e| failed("fleet", fleet, e))
    }

    /// Removes the folder of a machine's fleet if it is empty.
    ///
    /// # Errors
    /// It is empty and cannot be removed.
    fn tidy_fleet(&self, id: &MachineId) -> io::Result<()> {
        match std::fs::remove_dir(self.scratch_root().join(id.fleet())) {
            // Other machines are in it, or their `destroy` was faster.
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::ErrorKind;
    use crate::event::Reporter;

    fn cx(root: &Path) -> Cx {
        Cx::new(root, Reporter::silent(), CancellationToken::new())
    }

    #[test]
    fn each_machine_has_a_folder_below_that_of_its_fleet() {
        let cx = cx(Path::new("/data/machines"));
        let folder = cx.scratch(&MachineId::new("lab-1", "host1"));
        assert_eq!(folder, Path::new("/data/machines/lab-1/host1"));
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(&dir.path().join("machines"));
        let folder = cx.make_scratch(&MachineId::new("lab-1", "host1")).unwrap();
        for path in folder.ancestors().take(3) {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", path.display());
        }
    }

    #[test]
    fn the_last_machine_takes_its_fleets_folder_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let (first, second) = (MachineId::new("lab-1", "a"), MachineId::new("lab-1", "b"));
        cx.make_scratch(&first).unwrap();
        cx.make_scratch(&second).unwrap();
        cx.remove_scratch(&first).unwrap();
        assert!(cx.scratch(&second).exists());
        cx.remove_scratch(&second).unwrap();
        assert!(!dir.path().join("lab-1").exists());
        cx.remove_scratch(&second).unwrap();
        assert!(dir.path().exists());
    }

    #[test]
    fn what_is_in_a_folder_is_not_removed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let id = MachineId::new("lab-1", "host1");
        let theirs = cx.make_scratch(&id).unwrap().join("theirs");
        std::fs::write(&theirs, "theirs").unwrap();
        assert_eq!(cx.remove_scratch(&id).unwrap_err().kind(), ErrorKind::Host);
        assert!(theirs.exists());
    }

    #[test]
    fn machines_of_a_fleet_come_and_go_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (cx, id) = (&cx, MachineId::new("lab-1", format!("host{n}")));
                scope.spawn(move || {
                    for _ in 0..500 {
                        cx.make_scratch(&id).unwrap();
                        cx.remove_scratch(&id).unwrap();
                    }
                });
            }
        });
        assert!(!dir.path().join("lab-1").exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(&dir.path().join("long/".repeat(810)));
        let error = cx.make_scratch(&MachineId::new("lab-1", "host1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        assert!(error.hint_text().unwrap().contains("FLEET_DATA"), "{error}");
        assert!(!dir.path().join("long").exists());
    }
}
