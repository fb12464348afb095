//! The systems that simulated guests may have: what they say of themselves, and how they
//! take an engine.

use super::text::filled;

const BEGIN: &str = include_str!("../../../templates/guest/install-begin.sh");
const END: &str = include_str!("../../../templates/guest/install-end.sh");

/// The system of a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum System {
    /// Its packages start what they bring.
    #[default]
    Debian,
    /// Its packages start again what runs, and nothing else.
    Fedora,
    /// Without systemd; its packages start nothing.
    Alpine,
}

/// What was asked of a package manager.
pub struct Asked {
    pub system: System,
    pub package: String,
    pub version: String,
}

impl System {
    const ALL: [Self; 3] = [Self::Debian, Self::Fedora, Self::Alpine];

    pub fn os_release(self) -> &'static str {
        match self {
            Self::Debian => include_str!("../../data/os-release/debian-12"),
            Self::Fedora => include_str!("../../data/os-release/fedora-42"),
            Self::Alpine => include_str!("../../data/os-release/alpine-3.22"),
        }
    }

    pub fn has_systemd(self) -> bool {
        self != Self::Alpine
    }

    /// The engine's package.
    pub fn package(self) -> &'static str {
        match self {
            Self::Debian => "docker.io",
            Self::Fedora => "moby-engine",
            Self::Alpine => "docker",
        }
    }

    fn manager(self) -> &'static str {
        match self {
            Self::Debian => include_str!("../../../templates/guest/install-apt.sh"),
            Self::Fedora => include_str!("../../../templates/guest/install-dnf.sh"),
            Self::Alpine => include_str!("../../../templates/guest/install-apk.sh"),
        }
    }

    /// Reads a script that installs an engine, whichever system it is for.
    pub fn asked(text: &str) -> Option<Asked> {
        Self::ALL.into_iter().find_map(|system| {
            let mut values = filled(&format!("{BEGIN}{}{END}", system.manager()), text)?;
            let init = if system.has_systemd() { "systemd" } else { "openrc" };
            let mut take = |name: &str| values.remove(name);
            (take("init")? == init).then_some(())?;
            Some(Asked { system, package: take("package")?, version: take("version")? })
        })
    }
}
