//! Where drivers that are programs of their own are found: beside `fleet`, else in `PATH`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::host::Host;

/// What the program of a driver is called, before the driver's name.
pub const PREFIX: &str = "fleet-driver-";

/// The driver's name, if that can be the program of one.
pub fn name_of(program: &Path) -> Option<&str> {
    let name = program.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain);
    good.then_some(name)
}

/// The program of a driver, if there is one; the first that is found counts.
pub fn find(host: &Host, name: &str) -> Option<PathBuf> {
    let file = format!("{PREFIX}{name}");
    name_of(Path::new(&file))?;
    host.program_dirs().into_iter().map(|dir| dir.join(&file)).find(|path| can_run(path))
}

/// All programs of drivers by their names.
pub fn all(host: &Host) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for dir in host.program_dirs() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if let Some(name) = name_of(&path)
                && !found.contains_key(name)
                && can_run(&path)
            {
                found.insert(name.to_owned(), path);
            }
        }
    }
    found
}

/// The names of all drivers that are programs.
pub fn names(host: &Host) -> BTreeSet<String> {
    all(host).into_keys().collect()
}

#[cfg(unix)]
fn can_run(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn can_run(path: &Path) -> bool {
    path.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_are_found_in_the_path_the_first_of_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let file = |path: &Path, mode: u32| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        file(&at("a/fleet-driver-one"), 0o755);
        file(&at("b/fleet-driver-one"), 0o755);
        file(&at("b/fleet-driver-two-2"), 0o755);
        file(&at("b/fleet-driver-text"), 0o644);
        file(&at("b/fleet-driver-one.d"), 0o755);
        file(&at("b/fleet-driver-Loud"), 0o755);
        file(&at("b/fleet-driver-"), 0o755);
        let path = format!("{}:relative:{}", at("a").display(), at("b").display());
        let host = Host::captured("/", &[("PATH", &path)]);
        let expected = [("one", at("a/fleet-driver-one")), ("two-2", at("b/fleet-driver-two-2"))];
        let expected = expected.map(|(name, path)| (name.to_owned(), path));
        assert_eq!(all(&host), BTreeMap::from(expected));
        assert_eq!(find(&host, "one"), Some(at("a/fleet-driver-one")));
        assert_eq!(find(&host, "text"), None);
        assert_eq!(find(&host, "../a/fleet-driver-one"), None);
    }
}
