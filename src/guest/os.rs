//! Operating systems of guests: what `os-release` says of them.
//!
//! Format: <https://www.freedesktop.org/software/systemd/man/latest/os-release.html>.

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

    /// Its own name and those of the systems it resembles, nearest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id).chain(&self.like).map(String::as_str)
    }

    /// The first part of its version, such as `9` of `9.4`; empty for rolling releases.
    pub fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
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
        assert_eq!(os.major(), "12");
    }

    #[test]
    fn a_system_names_itself_before_what_it_resembles() {
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";
        let rocky = OsRelease::parse(rocky);
        assert_eq!(rocky.names().collect::<Vec<_>>(), ["rocky", "rhel", "centos", "fedora"]);
        assert_eq!(rocky.major(), "9");
        assert_eq!(OsRelease::parse("ID=arch\n").major(), "");
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(unquote(r#""a \"b\" \$c""#), r#"a "b" $c"#);
        assert_eq!(unquote("'x y'"), "x y");
        assert_eq!(unquote("plain"), "plain");
    }
}
