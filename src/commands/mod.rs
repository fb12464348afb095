//! One file a subcommand: its arguments, its help, and one short function. What
//! they share is here: the session, and how a failure is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Driver, Error, ErrorKind, MachineId, Result, Sighting, wait};

pub use crate::cli::Global;
use crate::config::{Colour, Fleet, Invalid, Spec};
use crate::host::Host;
use crate::pki::Pki;
use crate::state::{Entry, Keep, Lock, Store};
use crate::{programs, report};

pub mod active;
pub mod adopt;
pub mod config;
pub mod console;
pub mod create;
mod credentials;
pub mod down;
pub mod driver;
pub mod env;
mod flow;
pub mod gc;
pub mod image;
pub mod init;
pub mod inspect;
pub mod ip;
pub mod kill;
mod life;
pub mod logs;
pub mod ls;
pub mod mount;
pub mod plan;
pub mod provision;
pub mod reap;
pub mod regenerate_certs;
pub mod restart;
pub mod rm;
mod rotation;
pub mod schema;
pub mod scp;
pub mod snapshot;
pub mod ssh;
pub mod start;
pub mod status;
pub mod stop;
pub mod suspend;
pub mod up;
pub mod upgrade;
pub mod url;
pub mod validate;
pub mod version;
mod wishes;

/// How long a lock that is taken is tried again.
const LOCK: Duration = Duration::from_millis(300);

/// The machine that is meant where several are there and none is named.
const DEFAULT: &str = "default";

/// How a command ends: an exit code, or a failure that [`complain`] renders.
pub type Exit = Result<u8, Failure>;

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// Something failed.
    Error(Error),
    /// `machines.toml` is not valid.
    Config(Invalid),
    /// Nobody reads standard output any more; not worth a word.
    BrokenPipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Config(invalid)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::Error(Error::host("could not write to standard output").because(error))
        }
    }
}

/// A loaded fleet and its records: what most commands begin with.
#[derive(Clone)]
pub struct Session {
    /// The process.
    pub host: Host,
    /// The global flags.
    pub global: Global,
    /// What `machines.toml` asks for.
    pub fleet: Fleet,
    /// What fleet wrote down.
    pub store: Store,
}

impl Session {
    /// Finds `machines.toml`, loads it and reads the records; takes no lock.
    ///
    /// # Errors
    /// The file is missing or wrong, or the records are damaged.
    pub fn open(host: &Host, global: &Global) -> Result<Self, Failure> {
        let file = file(host, global)?;
        let home = file.parent().unwrap_or(Path::new("/"));
        let store = Store::open(home, &Keep::new(&host.data_dir()))?;
        let fleet = load(host, &file, &store)?;
        let session = Self { host: host.clone(), global: global.clone(), fleet, store };
        session.tell_that_it_moved();
        Ok(session)
    }

    /// Remembers where the fleet is now, if its folder was moved: whoever looks for fleets
    /// without a folder must not find this one.
    fn tell_that_it_moved(&self) {
        let keep = self.store.keep();
        if self.store.records().is_empty() {
            return;
        }
        if let Ok(Some(entry)) = keep.entry(&self.fleet_id())
            && entry.home != self.home()
        {
            let (home, file) = (self.home().to_owned(), self.fleet.file.clone());
            // A read goes on all the same where nothing can be written.
            drop(keep.remember(&self.fleet_id(), &Entry { home, file, ..entry }));
        }
    }

    /// The folder of `machines.toml`.
    pub fn home(&self) -> &Path {
        self.store.home()
    }

    /// The fleet's id.
    pub fn fleet_id(&self) -> String {
        self.store.fleet_id(&self.fleet.name)
    }

    /// The fleet's certificates, to read: those in `.fleet`, or, if that was deleted, the
    /// ones that were kept elsewhere.
    ///
    /// # Errors
    /// As [`Pki::load`].
    pub fn pki(&self) -> Result<Pki> {
        Pki::load(&self.certs())
    }

    /// The folder of the fleet's certificates: that in `.fleet`, or, if it was deleted, the
    /// one that was kept elsewhere, if there is one.
    pub fn certs(&self) -> PathBuf {
        let here = self.dir().join("certs");
        let kept = self.store.keep().dir(&self.fleet_id()).join("certs");
        if !here.exists() && kept.exists() { kept } else { here }
    }

    /// Takes the lock that whoever changes anything must hold, and looks again at the
    /// records under it.
    ///
    /// # Errors
    /// `Conflict` with the holder if it is taken.
    pub async fn lock(&mut self, command: &str) -> Result<Lock, Failure> {
        let cx = self.cx();
        let lock = taken(&cx, || self.store.lock(&self.fleet.name, command)).await?;
        self.fleet = load(&self.host, &self.fleet.file, &self.store)?;
        Ok(lock)
    }

    /// Reads the file and the records again.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn refresh(&mut self) -> Result<(), Failure> {
        self.store = Store::open(self.home(), self.store.keep())?;
        self.fleet = load(&self.host, &self.fleet.file, &self.store)?;
        Ok(())
    }

    /// Shows what is odd about the file, though valid.
    pub fn warn(&self) {
        if !self.global.quiet && !self.global.json && !self.fleet.warnings.is_empty() {
            let colour = Colour::when(self.host.stderr_has_colour());
            let text = crate::config::render_all(&self.fleet.warnings, colour);
            self.host.err(&format!("{}\n\n", text.trim_end()));
        }
    }

    /// The machine of that name.
    ///
    /// # Errors
    /// `NotFound`, with the name that may have been meant.
    pub fn spec(&self, name: &str) -> Result<&Spec> {
        self.fleet.machines.iter().find(|spec| spec.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.fleet.machines.iter().map(|s| s.name.as_str()).collect();
            unknown_machine(name, &names)
        })
    }

    /// The machines of these names, each once, in the order of the file; all of them if none is named.
    ///
    /// # Errors
    /// `NotFound` for the first unknown name.
    pub fn select(&self, names: &[String]) -> Result<Vec<Spec>> {
        for name in names {
            self.spec(name)?;
        }
        let wanted = |spec: &&Spec| names.is_empty() || names.contains(&spec.name);
        Ok(self.fleet.machines.iter().filter(wanted).cloned().collect())
    }

    /// The one machine meant: the named one, else the only one, else the one called
    /// `default`.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, `Usage` where it is not clear which is meant.
    pub fn one(&self, name: Option<&str>) -> Result<&Spec> {
        match (name, self.fleet.machines.as_slice()) {
            (Some(name), _) => self.spec(name),
            (None, [only]) => Ok(only),
            (None, all) => all.iter().find(|spec| spec.name == DEFAULT).ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
                Error::usage("which machine?").hint(format!("name one of {}", names.join(", ")))
            }),
        }
    }

    /// The id of a machine.
    pub fn id(&self, name: &str) -> MachineId {
        self.store.machine_id(&self.fleet.name, name)
    }

    /// A context for drivers that nobody listens to.
    pub fn cx(&self) -> Cx {
        self.cx_with(Reporter::silent())
    }

    /// A context for drivers whose events go to `reporter`.
    pub fn cx_with(&self, reporter: Reporter) -> Cx {
        Cx::new(self.host.machines_dir(), reporter, self.host.cancel().clone())
    }

    /// The driver of a machine.
    ///
    /// # Errors
    /// `Host` if it is not there, or its program is no driver.
    pub async fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let driver = match self.store.record(name) {
            Some(record) => &record.driver,
            None => &self.spec(name)?.driver,
        };
        self.driver_called(driver).await
    }

    /// The driver of that name, with what the file says to it.
    ///
    /// # Errors
    /// As [`Session::driver`].
    pub async fn driver_called(&self, driver: &str) -> Result<Arc<dyn Driver>> {
        let settings = self.fleet.settings(driver, self.host.cache_dir());
        self.host.registry().driver(driver, &self.host, &settings).await
    }

    /// What the driver sees of a machine right now.
    ///
    /// # Errors
    /// `NotFound` if the file does not name it or it does not exist yet.
    pub async fn sighting(&self, name: &str) -> Result<Sighting> {
        self.spec(name)?;
        let cx = self.cx().within(Duration::from_secs(10));
        self.driver(name).await?.inspect(&self.id(name), &cx).await?.ok_or_else(|| {
            Error::not_found(format!("`{name}` does not exist yet")).hint("create it: `fleet up`")
        })
    }

    /// The folder `.fleet`.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }
}

/// Loads a file, in which drivers may be named that are programs.
fn load(host: &Host, file: &Path, store: &Store) -> Result<Fleet, Invalid> {
    Fleet::load_with(file, &store.addresses(), &|| programs::names(host))
}

/// Takes a lock, and tries again for a moment: a program that the holder has just started
/// may hold the file for the blink of an eye after its parent has let go.
async fn taken(cx: &Cx, mut take: impl FnMut() -> Result<Lock>) -> Result<Lock> {
    let cx = cx.within(LOCK);
    loop {
        match take() {
            Err(e) if e.kind() == ErrorKind::Conflict && !cx.left().is_zero() => {
                wait::pause_for(&cx, LOCK / 10).await?;
            }
            taken => return taken,
        }
    }
}

/// An unknown machine's error, with the name that may have been meant.
pub fn unknown_machine(name: &str, names: &[&str]) -> Error {
    let error = Error::not_found(format!("there is no machine `{name}` in the file"));
    let close = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
    match close {
        Some((_, known)) => error.hint(format!("did you mean `{known}`?")),
        None => error.hint(format!("its machines are {}", names.join(", "))),
    }
}

/// The `machines.toml` meant: the one of `--file`, else the nearest one upwards.
fn file(host: &Host, global: &Global) -> Result<PathBuf> {
    if let Some(path) = &global.file {
        return Ok(host.cwd().join(path));
    }
    crate::config::find(host.cwd()).ok_or_else(|| {
        Error::not_found("there is no `machines.toml` here or in a folder above")
            .with("folder", host.cwd().display())
            .hint("write one to start from: `fleet init`")
    })
}

/// Shows a failure and gives its exit code: the one place where errors are printed.
pub fn complain(host: &Host, global: &Global, failure: &Failure) -> u8 {
    match failure {
        Failure::BrokenPipe => 0,
        Failure::Error(error) => {
            if global.json {
                drop(host.out(&format!("{}\n", report::error::json(error))));
            } else {
                host.err(&report::error::render(error, None, host.stderr_has_colour()));
            }
            error.kind().exit_code()
        }
        Failure::Config(invalid) => {
            if global.json {
                drop(host.out(&format!("{}\n", invalid.to_json())));
            } else {
                host.err(&invalid.render(Colour::when(host.stderr_has_colour())));
            }
            invalid.kind().exit_code()
        }
    }
}

/// Prints a result as JSON, indented where a person looks at it.
pub fn print_json(host: &Host, value: &serde_json::Value) -> Result<(), Failure> {
    let text = if host.stdout_is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    }
    .map_err(|e| Error::bug("a result cannot be written as JSON").because(e))?;
    Ok(host.out(&format!("{text}\n"))?)
}
