//! Shells: which one the user has, and how each is told to set and unset variables.

use fleet_driver::{Error, Result};
use serde::Serialize;

use crate::host::Host;
use crate::templates;

/// A kind of shell; those that take the same text are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// bash, and every other shell in the manner of `sh`
    #[value(aliases = ["sh", "zsh", "dash", "ksh", "mksh", "ash", "posix"])]
    Bash,
    /// fish
    Fish,
    /// PowerShell
    #[value(aliases = ["pwsh", "posh"])]
    Powershell,
    /// The command prompt of Windows
    Cmd,
    /// tcsh and csh
    #[value(aliases = ["csh"])]
    Tcsh,
    /// Emacs Lisp
    #[value(aliases = ["elisp"])]
    Emacs,
}

/// What a shell is to do; rendered by [`script`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EnvView {
    /// Variables to set.
    pub set: Vec<Variable>,
    /// Variables to unset.
    pub unset: Vec<String>,
    /// Whole sentences for people, as comments.
    pub notes: Vec<String>,
    /// The command that printed this.
    pub command: String,
}

/// A variable and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl EnvView {
    /// Adds a variable to set.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.set.push(Variable { name: name.to_owned(), value: value.into() });
    }

    /// Adds a variable to unset.
    pub fn unset(&mut self, name: &str) {
        self.unset.push(name.to_owned());
    }
}

/// Writes the view in the language of a shell.
///
/// # Errors
/// `Bug`: the template is broken.
pub fn script(shell: Shell, view: &EnvView) -> Result<String> {
    let name = match shell {
        Shell::Bash => "env/bash.sh",
        Shell::Fish => "env/fish.fish",
        Shell::Powershell => "env/powershell.ps1",
        Shell::Cmd => "env/cmd.bat",
        Shell::Tcsh => "env/tcsh.csh",
        Shell::Emacs => "env/emacs.el",
    };
    templates::render(name, view)
}

/// Finds out which shell the user has: by `SHELL`, and on Windows without it by the
/// user's own module path, which only PowerShell adds.
///
/// # Errors
/// `Usage`: the shell is not one of those that fleet knows.
pub fn detect(host: &Host) -> Result<Shell> {
    let Some(path) = host.var("SHELL") else {
        return Ok(if !cfg!(windows) {
            Shell::Bash
        } else if host
            .var("PSModulePath")
            .is_some_and(|path| path.to_lowercase().contains(r"\documents\"))
        {
            Shell::Powershell
        } else {
            Shell::Cmd
        });
    };
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let name = name.strip_suffix(".exe").unwrap_or(name);
    match name {
        "fish" => Ok(Shell::Fish),
        "tcsh" | "csh" => Ok(Shell::Tcsh),
        "pwsh" | "powershell" => Ok(Shell::Powershell),
        "cmd" => Ok(Shell::Cmd),
        // bash, zsh, dash, ksh, mksh, rbash, busybox's ash.
        name if name.ends_with("sh") || name.starts_with("ksh") || name == "busybox" => {
            Ok(Shell::Bash)
        }
        _ => Err(Error::usage(format!("`{name}` is a shell that fleet does not know"))
            .with("SHELL", path)
            .hint("name one with `--shell`: bash, fish, powershell, cmd, tcsh or emacs")),
    }
}
