//! The process as a value: environment, folders, streams and clock, so that tests
//! can put their own in place.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fleet_driver::{Error, Result};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;

/// What a command may know of the computer and terminal it runs on.
#[derive(Clone)]
pub struct Host {
    env: Arc<BTreeMap<String, String>>,
    cwd: PathBuf,
    stdout: Stream,
    stderr: Stream,
    cancel: CancellationToken,
    registry: Registry,
    beside: Option<PathBuf>,
    clock: Clock,
}

/// Says what time it is.
type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

#[derive(Clone)]
enum Stream {
    Stdout,
    Stderr,
    Captured(Arc<Mutex<Vec<u8>>>),
}

impl Stream {
    fn terminal(&self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
            Self::Captured(_) => false,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::Captured(buffer) => {
                buffer.lock().expect("no writer panics").extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl Host {
    /// The real process.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn system() -> io::Result<Self> {
        let utf8 = |s: std::ffi::OsString| s.into_string().ok();
        Ok(Self {
            env: Arc::new(
                std::env::vars_os().filter_map(|(k, v)| Some((utf8(k)?, utf8(v)?))).collect(),
            ),
            cwd: std::env::current_dir()?,
            stdout: Stream::Stdout,
            stderr: Stream::Stderr,
            cancel: CancellationToken::new(),
            registry: Registry::built_in(),
            beside: beside(),
            clock: Arc::new(OffsetDateTime::now_utc),
        })
    }

    /// A process in `cwd` with nothing but `env`, whose streams are captured.
    pub fn captured(cwd: impl Into<PathBuf>, env: &[(&str, &str)]) -> Self {
        Self {
            env: Arc::new(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            cwd: cwd.into(),
            stdout: Stream::Captured(Arc::default()),
            stderr: Stream::Captured(Arc::default()),
            cancel: CancellationToken::new(),
            registry: Registry::built_in(),
            beside: None,
            clock: Arc::new(OffsetDateTime::now_utc),
        }
    }

    /// What a captured process has printed: standard output and standard error.
    pub fn printed(&self) -> (String, String) {
        let text = |stream: &Stream| match stream {
            Stream::Captured(buffer) => {
                String::from_utf8_lossy(&buffer.lock().expect("no writer panics")).into_owned()
            }
            Stream::Stdout | Stream::Stderr => String::new(),
        };
        (text(&self.stdout), text(&self.stderr))
    }

    /// An environment variable, unless it is unset or empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Where programs that belong to fleet are looked for: the folder of its own
    /// executable, then those of `PATH`.
    pub fn program_dirs(&self) -> Vec<PathBuf> {
        let path = self.var("PATH").map(std::env::split_paths);
        // A relative entry would mean another folder in each working directory.
        let path = path.into_iter().flatten().filter(|dir| dir.is_absolute());
        self.beside.iter().cloned().chain(path).collect()
    }

    /// The working directory.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The user's home, from `HOME` or `USERPROFILE`.
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").or_else(|| self.var("USERPROFILE")).map(PathBuf::from)
    }

    /// The folder for what can be made again, such as images:
    /// `FLEET_CACHE`, else `$XDG_CACHE_HOME/fleet`, else `~/.cache/fleet`.
    pub fn cache_dir(&self) -> PathBuf {
        if let Some(dir) = self.var("FLEET_CACHE") {
            return self.cwd.join(dir);
        }
        self.var("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| self.home().map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("fleet")
    }

    /// The folder for what must not be lost, which are the machines and the index of fleets:
    /// `FLEET_DATA`, else `$XDG_DATA_HOME/fleet`, else `~/.local/share/fleet`; absolute.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(dir) = self.var("FLEET_DATA") {
            return self.cwd.join(dir);
        }
        let above = self
            .var("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| self.home().map(|home| home.join(".local/share")))
            .unwrap_or_else(std::env::temp_dir);
        self.cwd.join(above).join("fleet")
    }

    /// The folder that the machines of all fleets live in.
    pub fn machines_dir(&self) -> PathBuf {
        self.data_dir().join("machines")
    }

    /// Whether standard output is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout.terminal()
    }

    /// Whether standard error is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr.terminal()
    }

    /// Whether standard input is a terminal, so that questions can be asked.
    pub fn stdin_is_terminal(&self) -> bool {
        matches!(self.stdout, Stream::Stdout) && io::stdin().is_terminal()
    }

    /// Reads a line that a person types.
    ///
    /// # Errors
    /// `Interrupted` on Ctrl-C; `Host` if standard input cannot be read.
    pub async fn ask_line(&self) -> Result<String> {
        let (sender, line) = tokio::sync::oneshot::channel();
        // Nobody joins this thread: a read that never ends must not keep the process.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line).map(|_| line);
            drop(sender.send(read));
        });
        let unread = |e: io::Error| Error::host("standard input cannot be read").because(e);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::interrupted()),
            read = line => match read {
                Ok(read) => read.map_err(unread),
                Err(_) => Ok(String::new()),
            },
        }
    }

    /// Whether colour may be written to standard error.
    ///
    /// `NO_COLOR` (any value) and `TERM=dumb` say no.
    pub fn stderr_has_colour(&self) -> bool {
        self.stderr_is_terminal() && self.colour_allowed()
    }

    /// Whether colour may be written to standard output.
    pub fn stdout_has_colour(&self) -> bool {
        self.stdout_is_terminal() && self.colour_allowed()
    }

    fn colour_allowed(&self) -> bool {
        self.var("NO_COLOR").is_none() && self.var("TERM") != Some("dumb")
    }

    /// Writes a result to standard output.
    ///
    /// # Errors
    /// As the stream; a closed pipe is [`io::ErrorKind::BrokenPipe`].
    pub fn out(&self, text: &str) -> io::Result<()> {
        self.stdout.write(text.as_bytes())
    }

    /// Writes everything that is not a result to standard error; nothing can be done
    /// about a failure to complain.
    pub fn err(&self, text: &str) {
        drop(self.stderr.write(text.as_bytes()));
    }

    /// The same process with other drivers.
    #[must_use]
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Where drivers come from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The same process at another time.
    #[must_use]
    pub fn with_clock(
        mut self,
        clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
    ) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What time it is, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Cancelled by the first Ctrl-C.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }
}

/// The folder of this executable, whatever links lead to it.
fn beside() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let own = own.canonicalize().unwrap_or(own);
    own.parent().map(Path::to_owned)
}

/// The name of this computer.
pub fn computer_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map_or_else(|| "this host".to_owned(), |name| name.trim().to_owned())
}

/// The account that runs this process: its number on Unix, its name elsewhere.
pub fn account() -> String {
    #[cfg(target_os = "linux")]
    if let Ok(process) = std::fs::metadata("/proc/self") {
        return std::os::unix::fs::MetadataExt::uid(&process).to_string();
    }
    let name = std::env::var("USER").or_else(|_| std::env::var("USERNAME"));
    name.unwrap_or_else(|_| "this user".to_owned())
}

/// What tells this account on this computer from all others that may reach the same
/// hypervisor: computers that were set up alike share their paths and names of accounts.
pub fn identity() -> String {
    // Made at the first boot (machine-id(5)); copies of one disk share it.
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    format!("{}/{}/{}", computer_name(), machine.trim(), account())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_live_in_the_users_data_folder() {
        let dir = |env: &[(&str, &str)]| Host::captured("/here", env).machines_dir();
        let home = ("HOME", "/home/me");
        assert_eq!(dir(&[home]), Path::new("/home/me/.local/share/fleet/machines"));
        let xdg = ("XDG_DATA_HOME", "/data");
        assert_eq!(dir(&[home, xdg]), Path::new("/data/fleet/machines"));
        assert_eq!(dir(&[home, xdg, ("FLEET_DATA", "/big")]), Path::new("/big/machines"));
        assert_eq!(dir(&[home, ("FLEET_DATA", "big")]), Path::new("/here/big/machines"));
        assert_eq!(dir(&[("XDG_DATA_HOME", "data")]), Path::new("/here/data/fleet/machines"));
    }
}
