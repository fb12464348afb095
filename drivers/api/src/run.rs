//! Child processes: built as values, run through a trait, killed when dropped.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::error::{Error, Result};
use crate::text;

/// A command as a value: a program and its words.
#[derive(Clone)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    limit: Option<Duration>,
    any_status: bool,
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            stdin: Vec::new(),
            limit: None,
            any_status: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Feeds these bytes to standard input, the only way for secrets.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Ends the program after this time.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Takes any exit status for an answer instead of an error.
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// The program.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }
}

/// The command as one could type it.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::sh(&self.program.to_string_lossy()))?;
        for arg in &self.args {
            write!(f, " {}", text::sh(&arg.to_string_lossy()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a program left behind.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// The exit status, or `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed on standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without the last line's end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without the last line's end.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }

    pub(crate) fn checked(self, cmd: &Cmd) -> Result<Self> {
        if self.status == Some(0) || (cmd.any_status && self.status.is_some()) {
            return Ok(self);
        }
        let ended = match self.status {
            Some(code) => format!("ended with status {code}"),
            None => "was ended by a signal".to_owned(),
        };
        let program = Path::new(&cmd.program).file_name().unwrap_or(&cmd.program);
        let mut error =
            Error::driver(format!("`{}` {ended}", program.to_string_lossy())).with("command", cmd);
        let said = if self.stderr.is_empty() { self.text() } else { self.error_text() };
        if !said.is_empty() {
            error = error.because(tail(&said, 12));
        }
        Err(error)
    }
}

/// The last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A way to run programs; drivers' tests put a state machine here.
pub trait Run: Send + Sync {
    /// Runs a program to its end, or ends it after `limit`.
    fn run<'a>(
        &'a self,
        cmd: &'a Cmd,
        limit: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Output>> + Send + 'a>>;
}

/// Runs real programs, in the C locale; dropping the future kills the program.
pub struct System;

impl Run for System {
    fn run<'a>(
        &'a self,
        cmd: &'a Cmd,
        limit: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Output>> + Send + 'a>> {
        Box::pin(async move {
            let program = Path::new(&cmd.program).display().to_string();
            let mut command = tokio::process::Command::new(&cmd.program);
            command
                .args(&cmd.args)
                .envs(cmd.env.iter().map(|(k, v)| (k, v)))
                .env("LC_ALL", "C.UTF-8")
                .stdin(if cmd.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            // A group of its own: Ctrl-C reaches fleet alone, which decides.
            #[cfg(unix)]
            command.process_group(0);
            if let Some(cwd) = &cmd.cwd {
                command.current_dir(cwd);
            }
            let mut child = command.spawn().map_err(|e| {
                if e.kind() == std::io::ErrorKind::NotFound {
                    Error::host(format!("the program `{program}` is not installed"))
                } else {
                    Error::host(format!("could not start `{program}`")).because(e)
                }
            })?;
            let mut stdin = child.stdin.take();
            let feed = async {
                if let Some(pipe) = &mut stdin {
                    // A program that does not read its input to the end tells
                    // why by its exit status.
                    drop(pipe.write_all(&cmd.stdin).await);
                }
                drop(stdin);
            };
            let work = async { tokio::join!(feed, child.wait_with_output()).1 };
            match tokio::time::timeout(limit, work).await {
                Ok(Ok(out)) => {
                    Ok(Output { status: out.status.code(), stdout: out.stdout, stderr: out.stderr })
                }
                Ok(Err(e)) => Err(Error::host(format!("could not run `{program}`")).because(e)),
                Err(_) => Err(Error::driver(format!(
                    "`{program}` did not end within {} s",
                    limit.as_secs()
                ))
                .with("command", cmd)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(cmd: Cmd, limit: Duration) -> Result<Output> {
        System.run(&cmd, limit).await.and_then(|o| o.checked(&cmd))
    }

    const SECOND: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_failure_carries_status_command_and_stderr() {
        let cmd = Cmd::new("sh").args(["-c", "echo no space >&2; exit 3"]);
        let error = run(cmd, SECOND).await.unwrap_err();
        assert_eq!(error.to_string(), "`sh` ended with status 3: no space");
        assert_eq!(error.context()[0].0, "command");
    }

    #[tokio::test]
    async fn a_missing_program_is_the_hosts_fault() {
        let error = run(Cmd::new("no-such-program-here"), SECOND).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Host);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let cmd = Cmd::new("sleep").arg("60");
        let error = run(cmd, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("did not end"));
    }

    #[tokio::test]
    async fn large_input_and_output_do_not_block_each_other() {
        let bytes = vec![b'x'; 4 << 20];
        let out = run(Cmd::new("cat").stdin(bytes.clone()), SECOND).await.unwrap();
        assert_eq!(out.stdout.len(), bytes.len());
    }
}
