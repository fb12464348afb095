//! Which machines there are below the folder of all fleets: `<fleet>/<machine>/`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use fleet_driver::{Cx, Error, MachineId, Result, wait};

use crate::folder;
use crate::machine::Machine;

/// The machines below `root`, half-made ones too: those of one fleet, or all.
///
/// # Errors
/// `Host` if a folder cannot be read.
pub(crate) fn list(root: &Path, fleet: Option<&str>) -> Result<Vec<MachineId>> {
    let fleets = match fleet {
        Some(fleet) => vec![fleet.to_owned()],
        None => names(root)?,
    };
    let mut machines = Vec::new();
    for fleet in fleets {
        for machine in names(&root.join(&fleet))? {
            let id = MachineId::new(&fleet, machine);
            if folder::is_ours(&root.join(id.fleet()).join(id.machine()), &id) {
                machines.push(id);
            }
        }
    }
    Ok(machines)
}

/// The descriptions of all machines of all fleets but `except`; unreadable ones are left
/// out.
pub(crate) fn others(root: &Path, except: &MachineId) -> Vec<Machine> {
    of_fleets(root, None).into_iter().filter(|machine| machine.id() != *except).collect()
}

/// The descriptions of the machines of one fleet, or of all.
pub(crate) fn of_fleets(root: &Path, fleet: Option<&str>) -> Vec<Machine> {
    let fleets = match fleet {
        Some(fleet) => vec![fleet.to_owned()],
        None => names(root).unwrap_or_default(),
    };
    let described = |id: &MachineId| {
        let path = root.join(id.fleet()).join(id.machine()).join(folder::DESCRIPTION);
        Machine::parse(&fs::read(path).ok()?).ok().filter(|machine| machine.id() == *id)
    };
    let ids = fleets.iter().flat_map(|fleet| list(root, Some(fleet)).unwrap_or_default());
    ids.filter_map(|id| described(&id)).collect()
}

/// The folders in a folder; none if it does not exist or is none.
fn names(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => {
            return Err(Error::host("could not read the folder of machines")
                .with("folder", path.display())
                .because(e));
        }
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Keeps all other processes of this user from choosing ports, until it is dropped.
///
/// # Errors
/// `Driver` at the deadline, `Interrupted`.
pub(crate) async fn alone(cx: &Cx) -> Result<Option<File>> {
    // The folder itself is what is locked, so that no file is left over.
    let Ok(root) = File::open(cx.scratch_root()) else {
        return Ok(None);
    };
    let hint = "see which other `fleet` is at work";
    wait::until(cx, "another fleet that chooses ports", hint, || async {
        match root.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::busy("it has not chosen yet")),
            // Not every file system has locks; two that chose the same port find out when
            // they are started.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    })
    .await?;
    Ok(Some(root))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fleet_driver::event::Reporter;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::folder::Folder;

    fn cx(root: &Path) -> Cx {
        Cx::new(root, Reporter::silent(), CancellationToken::new())
            .within(Duration::from_millis(100))
    }

    #[test]
    fn machines_are_listed_by_fleet_and_strangers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let ours = [("lab-1", "a"), ("lab-1", "b"), ("lab-2", "a")].map(|(fleet, machine)| {
            let id = MachineId::new(fleet, machine);
            Folder::new(&id, &cx).make(&cx).unwrap();
            id
        });
        fs::write(dir.path().join("note"), "theirs").unwrap();
        fs::write(dir.path().join("lab-1/note"), "theirs").unwrap();
        fs::create_dir(dir.path().join("lab-1/box")).unwrap();
        fs::write(dir.path().join("lab-1/box/box.vbox"), "theirs").unwrap();
        fs::rename(dir.path().join("lab-1/b"), dir.path().join("lab-1/moved")).unwrap();
        let list = |fleet| {
            let mut listed = list(dir.path(), fleet).unwrap();
            listed.sort();
            listed
        };
        assert_eq!(list(Some("lab-1")), [ours[0].clone()]);
        assert_eq!(list(None), [ours[0].clone(), ours[2].clone()]);
        assert_eq!(list(Some("lab-3")), []);
    }

    #[test]
    fn what_the_first_moment_of_a_create_leaves_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let id = MachineId::new("lab-1", "a");
        let folder = cx.make_scratch(&id).unwrap();
        assert_eq!(list(dir.path(), None).unwrap(), std::slice::from_ref(&id));
        fs::write(folder.join("owner.json.unfinished"), "{").unwrap();
        assert_eq!(list(dir.path(), None).unwrap(), [id]);
    }

    #[tokio::test]
    async fn one_process_at_a_time_chooses_ports() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let first = alone(&cx).await.unwrap();
        assert!(first.is_some());
        alone(&cx).await.unwrap_err();
        drop(first);
        alone(&cx.within(Duration::from_secs(20))).await.unwrap();
    }
}
