//! An error in words, and as JSON: the one place where errors are worded.

use std::path::Path;

use fleet_driver::{Error, ErrorKind};
use serde::Serialize;

use super::clean;
use super::ink::{Colour, Ink};

/// The error as people see it: what failed, its context from the outside in, what to
/// try, and where to read on.
///
/// Ends with a line's end. `colour` says whether the stream takes it.
pub fn render(error: &Error, log: Option<&Path>, colour: bool) -> String {
    let colour = Colour::when(colour);
    let mut text = colour.paint(Ink::Bad, "error:");
    text += &indented(&format!(" {error}"));
    let mut log = log.map(|path| path.display().to_string());
    for (key, value) in context(error) {
        if key == "log" {
            log.get_or_insert_with(|| value.to_owned());
        } else {
            text += &indented(&format!("  {key}: {value}"));
        }
    }
    if let Some(hint) = error.hint_text() {
        text += &colour.paint(Ink::Strong, "hint:");
        text += &indented(&format!(" {hint}"));
    }
    if let Some(log) = log {
        text += &indented(&format!("log: {log}"));
    }
    text
}

/// Cleans a text of several lines and sets all but the first off.
fn indented(text: &str) -> String {
    let clean = clean::text(text.trim_end());
    format!("{}\n", clean.replace('\n', "\n    "))
}

/// The pairs of context, outermost key first, each pair once.
fn context(error: &Error) -> Vec<(&'static str, &str)> {
    let pairs = error.context();
    let mut keys: Vec<&'static str> = Vec::new();
    for (key, _) in pairs.iter().rev() {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    let mut ordered: Vec<(&'static str, &str)> = Vec::new();
    for key in keys {
        for (_, value) in pairs.iter().filter(|(other, _)| *other == key) {
            if !ordered.contains(&(key, value)) {
                ordered.push((key, value));
            }
        }
    }
    ordered
}

#[derive(Serialize)]
struct Json {
    v: u32,
    error: Parts,
}

#[derive(Serialize)]
struct Parts {
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    context: Vec<Pair>,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Pair {
    key: &'static str,
    value: String,
}

/// The error as one JSON object, without a line's end.
pub fn json(error: &Error) -> String {
    let pair = |(key, value)| Pair { key, value: clean::text(value) };
    let json = Json {
        v: super::json::VERSION,
        error: Parts {
            kind: kind(error.kind()),
            message: clean::text(error.message()),
            causes: error.causes().iter().map(|cause| clean::text(cause)).collect(),
            context: context(error).into_iter().map(pair).collect(),
            hint: error.hint_text().map(clean::text),
        },
    };
    serde_json::to_string(&json).expect("strings and numbers only")
}

/// The kind by the name that JSON shows.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "usage",
        ErrorKind::Config => "config",
        ErrorKind::Host => "host",
        ErrorKind::NotFound => "not-found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Driver => "driver",
        ErrorKind::Busy => "busy",
        ErrorKind::Guest => "guest",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Bug => "bug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Error {
        Error::driver("could not start `web-1`")
            .because(std::io::Error::other("VT-x is not available"))
            .with("command", "VBoxManage startvm web-1 --type headless")
            .with("driver", "virtualbox")
            .hint("enable virtualisation in the firmware, or pick another driver")
    }

    #[test]
    fn errors_are_rendered_as_the_design_says() {
        let log = Path::new(".fleet/log/2026-08-21T10-04-11.jsonl");
        insta::assert_snapshot!(render(&sample(), Some(log), false), @r"
        error: could not start `web-1`: VT-x is not available
          driver: virtualbox
          command: VBoxManage startvm web-1 --type headless
        hint: enable virtualisation in the firmware, or pick another driver
        log: .fleet/log/2026-08-21T10-04-11.jsonl
        ");
    }

    #[test]
    fn long_and_hostile_texts_are_set_off_and_cleaned() {
        let error = Error::guest("`apt-get` failed: \x1b[31mE: no\nW: space\x1b[0m")
            .with("machine", "host1")
            .with("also", "one")
            .with("also", "two")
            .with("machine", "host1")
            .with("log", "x.jsonl");
        insta::assert_snapshot!(render(&error, None, false), @r"
        error: `apt-get` failed: E: no
            W: space
          machine: host1
          also: one
          also: two
        log: x.jsonl
        ");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = render(&sample(), None, true);
        assert!(coloured.starts_with("\x1b[31merror:\x1b[0m could not"));
        assert_eq!(
            anstream::adapter::strip_str(&coloured).to_string(),
            render(&sample(), None, false)
        );
    }

    #[test]
    fn json_has_every_part() {
        insta::assert_snapshot!(json(&sample()), @r#"{"v":1,"error":{"kind":"driver","message":"could not start `web-1`","causes":["VT-x is not available"],"context":[{"key":"driver","value":"virtualbox"},{"key":"command","value":"VBoxManage startvm web-1 --type headless"}],"hint":"enable virtualisation in the firmware, or pick another driver"}}"#);
    }
}
