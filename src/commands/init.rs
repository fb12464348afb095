//! `fleet init`: a commented `machines.toml` to start from.

use std::io::{self, Write};
use std::path::Path;

use fleet_driver::Error;
use serde_json::json;

use super::{Exit, Global};
use crate::config::{self, FILE_NAME, Fleet};
use crate::host::Host;

/// The starter, which is a valid file itself.
const STARTER: &str = include_str!("../../templates/init/machines.toml");

/// The line of the starter that names the fleet.
const NAME: &str = "name = \"lab\"";

/// Write a commented `machines.toml` to start from
///
/// It describes a swarm of three machines and names every other key in comments. An
/// existing file is left alone unless `--force` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    /// The name of the fleet; without it, that of the folder
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs `fleet init`.
#[expect(clippy::unused_async, reason = "all commands are called alike")]
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let path = host.cwd().join(global.file.as_deref().unwrap_or(Path::new(FILE_NAME)));
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = match args.name {
        Some(name) => {
            config::fleet_name(&name)?;
            name
        }
        None => config::name_of_folder(&folder.file_name().unwrap_or_default().to_string_lossy()),
    };
    let text = starter(&name);
    write(&path, &text, if args.force { Existing::Replace } else { Existing::Keep })?;
    let none = std::collections::BTreeMap::new();
    let fleet = Fleet::load_with(&path, &none, &|| crate::programs::names(host))?;
    let shown = path.strip_prefix(host.cwd()).unwrap_or(&path).display().to_string();
    if global.json {
        let report =
            json!({ "v": 1, "file": shown, "fleet": name, "machines": fleet.machines.len() });
        super::print_json(host, &report)?;
    } else if !global.quiet {
        host.err(&format!(
            "wrote {shown}: the fleet `{name}`, {} machines\n\
             look through it, then: fleet up\n",
            fleet.machines.len()
        ));
    }
    Ok(0)
}

/// The starter for a fleet of this name.
fn starter(name: &str) -> String {
    STARTER.replacen(NAME, &format!("name = \"{name}\""), 1)
}

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

/// Writes the file whole or not at all, with the permissions that new files have
/// here: it holds no secrets and is there to be shared.
fn write(path: &Path, text: &str, existing: Existing) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let taken = error.kind() == io::ErrorKind::AlreadyExists && existing == Existing::Keep;
        if taken {
            let message =
                format!("there is a {} already", path.file_name().unwrap_or_default().display());
            Error::conflict(message)
                .with("file", path.display())
                .hint("replace it: `fleet init --force`; check it: `fleet validate`")
        } else {
            Error::host("could not write the file")
                .with("file", path.display())
                .because(error)
                .hint("is there such a folder, and may you write to it?")
        }
    };
    let attempt = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".machines-").suffix(".toml");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        match existing {
            Existing::Keep => file.persist_noclobber(path),
            Existing::Replace => file.persist(path),
        }
        .map_err(|error| error.error)?;
        std::fs::File::open(folder)?.sync_all()
    };
    attempt().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(host: &Host, force: bool, name: Option<&str>) -> Exit {
        let args = Args { force, name: name.map(str::to_owned) };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(
            args,
            host,
            &Global::default(),
        ))
    }

    #[test]
    fn the_starter_is_valid_and_takes_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::captured(dir.path(), &[]);
        assert_eq!(init(&host, false, Some("my-fleet")).unwrap(), 0);
        let fleet = Fleet::load(&dir.path().join(FILE_NAME), &std::collections::BTreeMap::new());
        let fleet = fleet.unwrap();
        assert_eq!(fleet.name, "my-fleet");
        assert_eq!(fleet.machines.len(), 3);
        assert!(fleet.warnings.is_empty());
        assert!(host.printed().1.contains("wrote machines.toml"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a scratch file is left");
    }

    #[test]
    fn an_existing_file_is_kept_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        std::fs::write(&file, "mine").unwrap();
        let host = Host::captured(dir.path(), &[]);
        assert!(init(&host, false, None).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(init(&host, true, None).is_ok());
        assert!(std::fs::read_to_string(&file).unwrap().contains("[machine.host1]"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a scratch file is left");
    }

    #[test]
    fn a_bad_name_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::captured(dir.path(), &[]);
        assert!(init(&host, false, Some("My_Fleet")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
