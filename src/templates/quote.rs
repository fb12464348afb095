//! Quoting for every kind of file that a template can become.

use fleet_driver::text;

use crate::pki::hex;

type Quote = fn(&str) -> String;

/// All filters by their names.
pub(super) const FILTERS: &[(&str, Quote)] = &[
    ("json", json),
    ("sh", text::sh),
    ("systemd", systemd),
    ("env_file", env_file),
    ("bash", bash),
    ("fish", fish),
    ("powershell", powershell),
    ("cmd", cmd),
    ("tcsh", tcsh),
    ("elisp", elisp),
    ("comment", comment),
    ("var", var),
];

/// A JSON string that YAML 1.1 readers take too: they refuse a few control characters
/// that JSON lets stand.
fn json(value: &str) -> String {
    text::json(value).chars().fold(String::new(), |mut out, c| {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.extend(["\\u", &hex(&(c as u16).to_be_bytes())]);
            }
            c => out.push(c),
        }
        out
    })
}

/// A word of a unit's start line (systemd.syntax(7), systemd.service(5)): quoted, with
/// specifiers and variables kept from being expanded.
fn systemd(word: &str) -> String {
    let escaped =
        word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
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

/// A word for `eval "$(…)"` and for `eval $(…)` alike: without double quotes around it
/// the shell makes one space of several before `eval` sees them, unless something
/// stands in between.
fn bash(word: &str) -> String {
    keep_spaces(&format!("'{}'", word.replace('\'', r"'\''")))
}

/// A word for tcsh, whose backquotes split like those of sh. A `!` needs a backslash
/// even inside quotes.
fn tcsh(word: &str) -> String {
    let escaped = word.replace('\'', r"'\''").replace('!', r"\!");
    keep_spaces(&format!("'{escaped}'"))
}

fn keep_spaces(quoted: &str) -> String {
    let mut out = String::new();
    for c in quoted.chars() {
        if c == ' ' && out.ends_with(' ') {
            out.push_str("''");
        }
        out.push(c);
    }
    out
}

/// A word for fish, whose single quotes know `\\` and `\'`.
fn fish(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', r"\'"))
}

/// A verbatim string of PowerShell, which takes four more characters for a single
/// quote.
fn powershell(word: &str) -> String {
    let mut out = String::from("'");
    for c in word.chars() {
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// A value inside `SET "NAME=…"`. What `cmd` runs out of a `FOR` loop is not searched
/// for `%NAME%` again, and a double quote can be in no path on Windows.
fn cmd(value: &str) -> String {
    value.replace(['"', '\r', '\n'], "")
}

/// A string of Emacs Lisp.
fn elisp(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

/// Text within a comment of any shell: one line.
fn comment(line: &str) -> String {
    line.replace(['\r', '\n'], " ")
}

/// The name of a variable, without anything that could end it.
fn var(name: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    name.chars().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_takes_every_json_string() {
        assert_eq!(json("a\u{7f}\u{85}b\n"), r#""a\u007f\u0085b\n""#);
    }

    #[test]
    fn systemd_expands_nothing() {
        assert_eq!(systemd("/usr/sbin/dockerd"), "/usr/sbin/dockerd");
        assert_eq!(systemd("/opt/a b/100%$X"), "\"/opt/a b/100%%$$X\"");
        assert_eq!(env_file(r#"a "b" \ $c `d` %h"#), r#""a \"b\" \\ \$c \`d\` %h""#);
    }

    #[test]
    fn no_two_spaces_meet() {
        assert_eq!(bash("a   b"), "'a '' '' b'");
        assert_eq!(bash("it's"), r"'it'\''s'");
    }

    #[test]
    fn each_shell_has_its_own_escapes() {
        assert_eq!(fish(r"a\b'c"), r"'a\\b\'c'");
        assert_eq!(powershell("it's ‘so’"), "'it''s ‘‘so’’'");
        assert_eq!(elisp(r#"a"\"#), r#""a\"\\""#);
        assert_eq!(tcsh("a!'"), r"'a\!'\'''");
        assert_eq!(cmd("a\"&b"), "a&b");
    }
}
