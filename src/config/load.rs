//! From a file to a [`Fleet`]: reads, parses, holds against the schema, expands,
//! checks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use fleet_driver::ErrorKind;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::check::{self, Intact};
use super::diagnose::{Invalid, Problem, Problems, Source};
use super::raw::File;
use super::{
    FILE_NAME, Fleet, Role, Spec, expand, foreign, name, network, schema, shape, swarm, syntax, ttl,
};

/// Looks for `machines.toml` in `start` and the folders above it.
pub fn find(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|dir| dir.join(FILE_NAME)).find(|file| file.is_file())
}

impl Fleet {
    /// Reads, expands and checks a `machines.toml`.
    ///
    /// `recorded` holds the addresses of the machines that exist. They keep them, so
    /// that a machine added to the file never moves another.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong with the file.
    pub fn load(path: &Path, recorded: &BTreeMap<String, Ipv4Addr>) -> Result<Self, Invalid> {
        Self::load_with(path, recorded, &BTreeSet::new)
    }

    /// As [`Fleet::load`]; `programs` gives the names of drivers that are programs, and is
    /// asked only if the file names a driver that is none of fleet's own.
    ///
    /// # Errors
    /// As [`Fleet::load`].
    pub fn load_with(
        path: &Path,
        recorded: &BTreeMap<String, Ipv4Addr>,
        programs: &dyn Fn() -> BTreeSet<String>,
    ) -> Result<Self, Invalid> {
        let shown = shown(path);
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &shown, &error))?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(not_utf8(shown, &error)),
        };
        let file = std::path::absolute(path).map_err(|error| unreadable(path, &shown, &error))?;
        read(text, shown, file, recorded, programs)
    }

    /// As [`Fleet::load_with`], as if this text were in the file.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong with the text.
    pub fn of_text(
        text: &str,
        path: &Path,
        recorded: &BTreeMap<String, Ipv4Addr>,
        programs: &dyn Fn() -> BTreeSet<String>,
    ) -> Result<Self, Invalid> {
        let shown = shown(path);
        let file = std::path::absolute(path).map_err(|error| unreadable(path, &shown, &error))?;
        read(text.to_owned(), shown, file, recorded, programs)
    }

    /// As [`Fleet::load`], without drivers that are programs, from a text; `name` is what
    /// messages call it, and paths inside of it are relative to the working directory.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong with the text.
    pub fn parse(
        text: &str,
        name: &str,
        recorded: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<Self, Invalid> {
        let file = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        read(text.to_owned(), name.to_owned(), file, recorded, &BTreeSet::new)
    }
}

/// A path as messages show it: without the working directory.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short
        .as_deref()
        .filter(|short| !short.as_os_str().is_empty())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(
    text: String,
    shown: String,
    path: PathBuf,
    recorded: &BTreeMap<String, Ipv4Addr>,
    programs: &dyn Fn() -> BTreeSet<String>,
) -> Result<Fleet, Invalid> {
    let mut problems = Problems::default();
    let fleet = understand(&text, path, recorded, programs, &mut problems);
    let warnings = problems.finish(Source { name: shown, text })?;
    Ok(Fleet { warnings, ..fleet })
}

/// Makes the best of a text; what is wrong with it goes to `problems`.
fn understand(
    text: &str,
    path: PathBuf,
    recorded: &BTreeMap<String, Ipv4Addr>,
    programs: &dyn Fn() -> BTreeSet<String>,
    problems: &mut Problems,
) -> Fleet {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    for problem in syntax::problems(text, &errors) {
        problems.push(problem);
    }
    let mut foreign = foreign::Taken::default();
    if errors.iter().all(syntax::leaves_the_rest) {
        let mut schema = schema::inline();
        let names = foreign::allow(table.get_ref(), &mut schema, programs);
        shape::check(table.get_mut(), &schema, problems);
        foreign = foreign::take(table.get_mut(), &names, problems);
    } else {
        // Half a file would only make for complaints about what seems to be missing.
        table.get_mut().clear();
    }
    let intact = if problems.errors() == 0 { Intact::Whole } else { Intact::Damaged };
    let mut file = deserialize(table, problems);
    foreign.put(&mut file);

    let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    let folder = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name::fleet(file.fleet.name.as_ref(), &folder, problems);
    let (network, subnet) = network::resolve(&file.network, problems);
    let swarm = file.swarm.as_ref().map(|at| swarm::resolve(at, &file.network, subnet, problems));
    let ttl = file.fleet.ttl.as_ref();
    let ttl = ttl.and_then(|at| ttl::read(at).map_err(|problem| problems.push(problem)).ok());
    let protected = file.fleet.protected.as_ref().is_some_and(|at| *at.get());
    let groups = expand::expand(&file, &dir, subnet, recorded, problems);
    check::check(&file, &groups, intact, problems);
    if groups.is_empty() && intact == Intact::Whole {
        problems.push(no_machines(text));
    }
    let role = |spec: &Spec| swarm.as_ref().map(|_| spec.role.unwrap_or(Role::Worker));
    let machines = groups
        .into_iter()
        .flat_map(|group| group.specs)
        .map(|spec| Spec { role: role(&spec), protected: spec.protected || protected, ..spec })
        .collect();
    let options = |name: &str| file.driver.options(name).map(|at| at.get().clone());
    let drivers = file.driver.drivers();
    let drivers = drivers.filter_map(|name| Some((name.to_owned(), options(name)?))).collect();
    Fleet {
        name,
        file: path,
        protected,
        ttl,
        network,
        swarm,
        machines,
        drivers,
        warnings: Vec::new(),
    }
}

/// Turns what the schema allows into values; an error here is a rule that the schema
/// does not know.
fn deserialize(table: Spanned<DeTable<'_>>, problems: &mut Problems) -> File {
    let whole = table.span();
    serde_path_to_error::deserialize(Deserializer::from(table).into_deserializer()).unwrap_or_else(
        |error: serde_path_to_error::Error<toml::de::Error>| {
            let key = error.path().to_string();
            let error = error.into_inner();
            let span = error.span().unwrap_or(whole);
            problems.push(
                Problem::error(format!("bad value of `{key}`"))
                    .at(span, error.message().to_owned()),
            );
            File::default()
        },
    )
}

fn no_machines(text: &str) -> Problem {
    let empty = text.trim().is_empty();
    let message = if empty { "the file is empty" } else { "there is no machine in this file" };
    let end = text.trim_end().len();
    let help = "a machine is a table such as `[machine.host1]`; `fleet init --force` writes a \
                file to start from";
    Problem::error(message).at(end..end, "").help(help)
}

fn unreadable(path: &Path, shown: &str, error: &io::Error) -> Invalid {
    let (kind, message, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            format!("there is no {shown}"),
            "write one with `fleet init`, or name another with `--file`".to_owned(),
        ),
        _ if path.is_dir() => (
            ErrorKind::Config,
            format!("{shown} is a folder"),
            format!("name the file in it: `{}`", path.join(FILE_NAME).display()),
        ),
        _ => (
            ErrorKind::Host,
            format!("{shown} cannot be read: {error}"),
            "check who may read it".to_owned(),
        ),
    };
    Invalid::unreadable(kind, shown, Problem::error(message).help(help))
}

fn not_utf8(shown: String, error: &std::string::FromUtf8Error) -> Invalid {
    let good = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(good).copied().unwrap_or_default();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let mut problems = Problems::default();
    problems.push(
        Problem::error("the file is not UTF-8")
            .at(good..good + '\u{fffd}'.len_utf8(), format!("the byte 0x{byte:02x} is no letter"))
            .help("save the file again with the encoding UTF-8"),
    );
    match problems.finish(Source { name: shown.clone(), text }) {
        Err(invalid) => invalid,
        Ok(_) => Invalid::unreadable(ErrorKind::Config, &shown, Problem::error("not UTF-8")),
    }
}
