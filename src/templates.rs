//! The templates, compiled in from one table and rendered through one function.
//!
//! A template is named as the file it becomes. Undefined variables are errors. In
//! YAML and JSON every value goes through the filter `json`, in shell files
//! through `sh`; XML is escaped by itself. A unit of systemd takes `systemd`, a file
//! for its `EnvironmentFile=` takes `env_file`, and a shell of the user's own a
//! filter of its name.

use std::sync::LazyLock;

use fleet_driver::{Error, Result, text};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

macro_rules! table {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

/// All templates: name and text.
pub const ALL: &[(&str, &str)] = table![
    "cloud-init/meta-data",
    "cloud-init/network-config",
    "cloud-init/user-data",
    "docker/10-fleet.conf",
    "docker/environment",
    "guest/apply.sh",
    "guest/early.sh",
    "guest/facts.sh",
    "guest/install-apt.sh",
    "guest/install-get-docker.sh",
    "guest/last.sh",
    "guest/prepare.sh",
    "guest/scrub.sh",
];

static TERA: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.autoescape_on(vec![".xml"]);
    let mut filter = |name: &'static str, quote: fn(&str) -> String| {
        tera.register_filter(name, move |word: String, _: Kwargs, _: &State<'_>| {
            quote(&word)
        });
    };
    filter("sh", text::sh);
    filter("json", json);
    filter("systemd", systemd);
    filter("env_file", env_file);
    tera.add_raw_templates(ALL.iter().copied())
        .expect("a test renders every template");
    tera
});

/// Renders the template `name` with its view.
///
/// # Errors
/// `Bug`: the template is unknown, or asks for what the view does not have.
pub fn render(name: &str, view: &impl Serialize) -> Result<String> {
    let bug = |e: tera::Error| Error::bug(format!("template `{name}` failed")).because(e);
    let context = Context::from_serialize(view).map_err(bug)?;
    TERA.render(name, &context).map_err(bug)
}

/// Gives a template without variables as it stands.
pub(crate) fn plain(name: &str) -> &'static str {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found
        .expect("a test looks up every template without variables")
        .1
}

/// A JSON string that YAML 1.1 readers take too: they refuse a few control characters
/// that JSON lets stand.
fn json(value: &str) -> String {
    text::json(value).chars().fold(String::new(), |mut out, c| {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
        out
    })
}

/// A word of a unit's start line (systemd.syntax(7), systemd.service(5)): quoted, with
/// specifiers and variables kept from being expanded.
fn systemd(word: &str) -> String {
    let escaped = word
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        escaped
    } else {
        format!("\"{escaped}\"")
    }
}

/// The value of an assignment in an `EnvironmentFile=` (systemd.exec(5)): in double
/// quotes a backslash escapes `"`, `\`, `` ` `` and `$`, and nothing is expanded.
fn env_file(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
