//! Operating systems of guests: what `os-release` says, and the families that take
//! software in the same way.
//!
//! Format: <https://www.freedesktop.org/software/systemd/man/latest/os-release.html>.

use fleet_driver::{Error, Result};

/// What a guest's `os-release` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `ID_LIKE`, the systems it resembles, nearest first.
    pub like: Vec<String>,
    /// `VERSION_ID`, such as `12`; empty for rolling releases.
    pub version: String,
    /// `PRETTY_NAME`, for people.
    pub name: String,
}

/// Systems that take software in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// apt: Debian, Ubuntu and what comes from them.
    Debian,
    /// dnf or yum: RHEL, Fedora, Rocky, Alma, Oracle.
    RedHat,
    /// zypper: SLES, openSUSE.
    Suse,
    /// apk; OpenRC instead of systemd.
    Alpine,
    /// pacman.
    Arch,
}

impl OsRelease {
    /// Reads the file's text; unknown lines are skipped.
    pub fn parse(text: &str) -> Self {
        let mut os = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = unquote(value);
            match key {
                "ID" => os.id = value,
                "ID_LIKE" => os.like = value.split_whitespace().map(str::to_owned).collect(),
                "VERSION_ID" => os.version = value,
                "PRETTY_NAME" => os.name = value,
                _ => {}
            }
        }
        os
    }

    /// The family that this system belongs to, by its own name or by those of the
    /// systems it resembles.
    pub fn family(&self) -> Option<Family> {
        std::iter::once(&self.id).chain(&self.like).find_map(|id| match id.as_str() {
            "debian" | "ubuntu" | "raspbian" => Some(Family::Debian),
            "rhel" | "fedora" | "centos" | "rocky" | "almalinux" | "ol" | "amzn" => {
                Some(Family::RedHat)
            }
            "suse" | "sles" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => {
                Some(Family::Suse)
            }
            "alpine" => Some(Family::Alpine),
            "arch" => Some(Family::Arch),
            _ => None,
        })
    }

    /// The family whose packages fleet can install.
    ///
    /// # Errors
    /// `Guest`: not this one yet.
    pub fn installable(&self) -> Result<Family> {
        let what = if self.name.is_empty() { "this system" } else { &self.name };
        match self.family() {
            Some(Family::Debian) => Ok(Family::Debian),
            // Each of these becomes an arm of `install::package` with a template of its own.
            Some(Family::RedHat | Family::Suse | Family::Alpine | Family::Arch) | None => Err(
                Error::guest(format!("fleet cannot install the engine's package on {what} yet"))
                    .hint(
                        "use an image that has an engine, or set `install` in [engine] to the \
                     path of a script of yours, or to \"get-docker\"",
                    ),
            ),
        }
    }
}

/// Takes the shell quoting off a value.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inside) = inner('\'') {
        return inside.to_owned();
    }
    let Some(inside) = inner('"') else {
        return value.to_owned();
    };
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";

    #[test]
    fn debian_is_known_by_its_name() {
        let os = OsRelease::parse(DEBIAN);
        assert_eq!((os.id.as_str(), os.version.as_str()), ("debian", "12"));
        assert_eq!(os.name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(os.installable().unwrap(), Family::Debian);
    }

    #[test]
    fn relatives_are_known_by_what_they_resemble() {
        let mint = OsRelease::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
        assert_eq!(mint.family(), Some(Family::Debian));
        let rocky = OsRelease::parse("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
        assert_eq!(rocky.family(), Some(Family::RedHat));
    }

    #[test]
    fn other_families_get_a_way_out() {
        for text in ["ID=fedora\nPRETTY_NAME=Fedora", "ID=alpine", "ID=arch", "ID=sles", "ID=plan9"]
        {
            let error = OsRelease::parse(text).installable().unwrap_err();
            assert!(error.hint_text().unwrap().contains("image that has an engine"));
        }
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(unquote(r#""a \"b\" \$c""#), r#"a "b" $c"#);
        assert_eq!(unquote("'x y'"), "x y");
        assert_eq!(unquote("plain"), "plain");
    }
}
