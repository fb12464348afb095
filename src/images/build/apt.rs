//! Where packages come from: this host's own sources, where they have the suite, and
//! its settings for the way there.
//!
//! No mirror is named here: where the host has none for the suite, `mmdebstrap` takes
//! the distribution's default.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use fleet_driver::Cx;
use fleet_driver::run::Cmd;

use crate::images::catalog::Distribution;

/// One source in the form of `sources.list(5)`, "deb822-style": fields and values,
/// names in lower case, a value's lines joined as they were.
type Stanza = Vec<(String, String)>;

/// The host's sources that have packages of the distribution, as a text in deb822
/// style; `None` if there are none.
pub(super) fn sources(apt: &Path, distribution: &Distribution) -> Option<String> {
    let mut text = String::new();
    let mut has_suite = false;
    for stanza in files(apt).iter().flat_map(|file| stanzas(file)) {
        let Some(stanza) = ours(stanza, distribution) else { continue };
        let suites = field(&stanza, "suites").unwrap_or_default();
        has_suite |= suites.split_whitespace().any(|suite| suite == distribution.codename);
        for (name, value) in &stanza {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
    }
    has_suite.then_some(text)
}

/// The files that apt reads, in its order.
fn files(apt: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|ending| ending == "list" || ending == "sources")
        })
        .collect();
    files.sort();
    files.insert(0, apt.join("sources.list"));
    files
}

fn stanzas(file: &Path) -> Vec<Stanza> {
    // What cannot be read is as good as not there: apt would complain itself.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if file.extension().is_some_and(|ending| ending == "sources") {
        deb822(&text)
    } else {
        text.lines().filter_map(one_line).collect()
    }
}

/// Reads stanzas; comments are lines that begin with `#`, and a line that begins with a
/// space goes on with the value before.
fn deb822(text: &str) -> Vec<Stanza> {
    let (mut all, mut stanza) = (Vec::new(), Stanza::new());
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            if !stanza.is_empty() {
                all.push(std::mem::take(&mut stanza));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    all
}

/// Reads `deb [option=value …] uri suite component…`.
fn one_line(line: &str) -> Option<Stanza> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let mut stanza = vec![
        ("types".to_owned(), "deb".to_owned()),
        ("uris".to_owned(), words.next()?.to_owned()),
        ("suites".to_owned(), words.next()?.to_owned()),
        ("components".to_owned(), words.collect::<Vec<_>>().join(" ")),
    ];
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=')?;
        // The one-line style has names of its own for some.
        let name = match name {
            "arch" => "architectures",
            "lang" => "languages",
            name => name,
        };
        stanza.push((name.to_owned(), value.replace(',', " ")));
    }
    Some(stanza)
}

/// The part of a source that is the distribution's own archive, if it is any.
///
/// Others publish packages under the same suites; they come with keys of their own.
fn ours(stanza: Stanza, distribution: &Distribution) -> Option<Stanza> {
    let get = |name| field(&stanza, name).unwrap_or_default();
    let kept = |value: &str, keep: &dyn Fn(&str) -> bool| {
        value.split_whitespace().filter(|word| keep(word)).collect::<Vec<_>>().join(" ")
    };
    if field(&stanza, "enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"))
        || !get("types").split_whitespace().any(|kind| kind == "deb")
    {
        return None;
    }
    let key = get("signed-by");
    if !key.is_empty() && !key.contains(distribution.keyring.trim_end_matches(".gpg")) {
        return None;
    }
    let uris = kept(get("uris"), &|uri| !uri.starts_with("cdrom:"));
    let suites = kept(get("suites"), &|suite| distribution.has_suite(suite));
    let components = kept(get("components"), &|part| distribution.components.contains(&part));
    if uris.is_empty() || suites.is_empty() || components.is_empty() {
        return None;
    }
    let mut ours = vec![
        ("types".to_owned(), "deb".to_owned()),
        ("uris".to_owned(), uris),
        ("suites".to_owned(), suites),
        ("components".to_owned(), components),
    ];
    let same = ["types", "uris", "suites", "components", "enabled", "architectures"];
    ours.extend(stanza.into_iter().filter(|(name, _)| !same.contains(&name.as_str())));
    Some(ours)
}

fn field<'a>(stanza: &'a Stanza, name: &str) -> Option<&'a str> {
    stanza.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// The host's settings of apt for the way to the mirrors, as a file for apt: proxies,
/// certificates, and whether old lists are taken. Empty where there is no apt.
pub(super) async fn settings(cx: &Cx) -> String {
    const WANTED: &[&str] = &[
        "Acquire::http::Proxy",
        "Acquire::https::Proxy",
        "Acquire::http::Proxy-Auto-Detect",
        "Acquire::https::CaInfo",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
        "Acquire::Retries",
    ];
    let cmd = Cmd::new("apt-config").args(["dump"]).args(WANTED);
    let Ok(output) = cx.run(&cmd).await else { return String::new() };
    // Each line is `Name "value";`. A host's own proxy is a child of the first two.
    let wanted = |line: &&str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        WANTED.contains(&name)
            || name.starts_with("Acquire::http::Proxy::")
            || name.starts_with("Acquire::https::Proxy::")
    };
    let lines: Vec<String> = output
        .text()
        .lines()
        .filter(wanted)
        .filter(|line| !line.ends_with("\"\";"))
        .map(|line| format!("{line}\n"))
        .collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::catalog;

    fn from(files: &[(&str, &str)]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        sources(dir.path(), catalog::known("debian-12").unwrap())
    }

    #[test]
    fn the_hosts_own_archive_is_taken_and_others_are_not() {
        let text = from(&[
            (
                "sources.list.d/debian.sources",
                "# a comment\nTypes: deb deb-src\nURIs: http://mirror.test/debian\n\
                 # within\nSuites: bookworm bookworm-updates bookworm-backports\n\
                 Components: main contrib\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                 Types: deb\nURIs: http://mirror.test/old\nSuites: bookworm\nComponents: main\n\
                 Enabled: no\n",
            ),
            (
                "sources.list.d/other.list",
                "deb [arch=amd64 signed-by=/etc/apt/keyrings/other.gpg] https://other.test bookworm main\n\
                 deb https://docker.test/linux/debian bookworm stable\n",
            ),
        ]);
        assert_eq!(
            text.unwrap(),
            "types: deb\nuris: http://mirror.test/debian\nsuites: bookworm bookworm-updates\n\
             components: main\nsigned-by: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        );
    }

    #[test]
    fn one_line_sources_are_read() {
        let text = from(&[(
            "sources.list",
            "#deb http://off.test bookworm main\n\
             deb cdrom:[Debian]/ bookworm main\n\
             deb [trusted=yes check-valid-until=no] http://mirror.test/debian bookworm main # here\n\
             deb-src http://mirror.test/debian bookworm main\n",
        )]);
        assert_eq!(
            text.unwrap(),
            "types: deb\nuris: http://mirror.test/debian\nsuites: bookworm\ncomponents: main\n\
             trusted: yes\ncheck-valid-until: no\n\n"
        );
    }

    #[test]
    fn a_host_of_another_suite_has_none() {
        assert_eq!(from(&[("sources.list", "deb http://mirror.test/debian trixie main\n")]), None);
        let updates = "deb http://mirror.test/debian bookworm-updates main\n";
        assert_eq!(from(&[("sources.list", updates)]), None, "updates alone are no suite");
        assert_eq!(from(&[]), None);
    }

    #[test]
    fn a_key_within_the_source_is_kept_whole() {
        let stanzas = deb822("Types: deb\nSigned-By:\n -----BEGIN\n .\n abc\n");
        assert_eq!(field(&stanzas[0], "signed-by"), Some("\n -----BEGIN\n .\n abc"));
    }
}
