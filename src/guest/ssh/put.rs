//! Files into a guest: one script for all of them, contents and all, so that one round
//! trip is enough and nothing shows in a process list.
//!
//! Contents travel as base64 in here-documents, since that needs nothing but a shell
//! and `base64`, which GNU coreutils and busybox have.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_driver::{Error, Result, Secret, text};
use russh::keys::ssh_encoding::base64::{Base64, Encoding};

use crate::guest::{GuestFile, Script, Telling};

/// Long enough for a few MiB into a busy emulated guest.
const LIMIT: Duration = Duration::from_secs(300);

/// A script, for root, that writes all of the files or changes none: each is completed
/// and flushed under a temporary name beside its place before the first one moves.
///
/// # Errors
/// `Bug`: a path is not the absolute path of a file.
pub(super) fn script(files: &[GuestFile]) -> Result<Script> {
    let mut text = String::from(
        "set -eu\numask 077\n\
         trap 'rm -f -- \"$@\"' EXIT\n\
         set --\n",
    );
    let mut moves = String::new();
    for (n, file) in files.iter().enumerate() {
        let folder = folder(&file.path)?;
        let n = n + 1;
        // Folders are made as usual ones: it is the files that are private.
        _ = write!(
            text,
            "(umask 022; mkdir -p -- {folder})\n\
             t{n}=$(mktemp {folder}/.fleet.XXXXXX)\n\
             set -- \"$@\" \"$t{n}\"\n\
             chmod {mode:o} \"$t{n}\"\n\
             base64 -d >\"$t{n}\" <<'END-OF-FILE'\n{content}END-OF-FILE\n",
            folder = text::sh(folder),
            mode = file.mode & 0o7777,
            content = wrapped(file.content.expose()),
        );
        _ = writeln!(moves, "mv -f -- \"$t{n}\" {}", text::sh(&file.path));
    }
    // busybox may know `sync` without operands only.
    text.push_str("sync \"$@\" 2>/dev/null || sync\n");
    text.push_str(&moves);
    Ok(Script {
        purpose: "write files",
        text: Secret::new(text),
        as_user: false,
        telling: Telling::Nothing,
        limit: LIMIT,
    })
}

fn folder(path: &str) -> Result<&str> {
    let bad = || Error::bug(format!("`{path}` is not the absolute path of a file in a guest"));
    let (folder, name) = path.rsplit_once('/').ok_or_else(bad)?;
    let usable = path.starts_with('/') && !path.contains(char::is_control);
    if !usable || ["", ".", ".."].contains(&name) {
        return Err(bad());
    }
    Ok(if folder.is_empty() { "/" } else { folder })
}

/// Base64 in lines, since a shell may be slow with a line of megabytes.
fn wrapped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + bytes.len() / 48 + 8);
    // 57 bytes make a line of 76 letters (RFC 2045, section 6.8).
    for chunk in bytes.chunks(57) {
        text.push_str(&Base64::encode_string(chunk));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> GuestFile {
        GuestFile { path: path.to_owned(), mode: 0o600, content: Secret::new(b"hello".to_vec()) }
    }

    #[test]
    fn contents_never_appear_as_they_are() {
        let script = script(&[file("/etc/it's/key.pem")]).unwrap();
        let text = script.text.expose();
        assert!(!text.contains("hello"));
        assert!(text.contains("aGVsbG8=\n"), "{text}");
        assert!(text.contains(r"'/etc/it'\''s'"), "{text}");
        assert!(!format!("{script:?}").contains("aGVs"));
    }

    #[test]
    fn only_absolute_paths_of_files_will_do() {
        for path in ["key.pem", "/etc/", "/etc/..", "", "/a\nb", "/"] {
            assert!(script(&[file(path)]).is_err(), "{path:?}");
        }
        assert!(script(&[file("/file")]).is_ok());
    }
}
