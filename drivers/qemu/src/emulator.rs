//! The programs this driver stands on: are they there, and what can they do.

use std::time::Duration;

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, Result};

use crate::args::Sandbox;

/// Runs guests.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// Makes disks.
pub(crate) const IMG: &str = "qemu-img";
/// The oldest version whose options are all known to this driver.
pub(crate) const OLDEST: u32 = 6;
/// How to get both programs.
pub(crate) const INSTALL: &str = "install it: `apt-get install qemu-system-x86 qemu-utils` on Debian and Ubuntu, \
     `dnf install qemu-system-x86-core qemu-img` on Fedora, `pacman -S qemu-base` on Arch; \
     `make lab` does it for you";

/// What is known of the installed QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emulator {
    /// Such as `7.2.22 (Debian 1:7.2+dfsg-7)`.
    pub(crate) version: String,
    /// Whether it can filter its own system calls.
    pub(crate) sandbox: Sandbox,
}

impl Emulator {
    /// Asks the installed QEMU.
    ///
    /// # Errors
    /// `Host` if there is none.
    pub(crate) async fn ask(cx: &Cx) -> Result<Self> {
        let cmd = |words: &[&str]| Cmd::new(PROGRAM).args(words).within(Duration::from_secs(20));
        // An option that is not built in ends the program with an error.
        let tried = cx.run(&cmd(&["-sandbox", "on", "-version"]).any_status()).await;
        let tried = tried.map_err(|e| e.hint(INSTALL))?;
        let (output, sandbox) = if tried.status == Some(0) {
            (tried, Sandbox::On)
        } else {
            (cx.run(&cmd(&["-version"])).await?, Sandbox::Unavailable)
        };
        match version(&output.text()) {
            Some(version) => Ok(Self { version, sandbox }),
            None => Err(Error::host("QEMU did not tell its version").with("said", output.text())),
        }
    }

    /// The first number of the version.
    pub(crate) fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

fn version(text: &str) -> Option<String> {
    Some(text.lines().next()?.split_once("version ")?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) 2003";
        let version = version(text).unwrap();
        assert_eq!(version, "7.2.22 (Debian 1:7.2+dfsg-7)");
        assert_eq!(Emulator { version, sandbox: Sandbox::On }.major(), 7);
        assert_eq!(super::version("zsh: command not found"), None);
    }
}
