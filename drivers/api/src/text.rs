//! Quoting, done once: for shells, for JSON and YAML strings, and for whatever holds
//! printable ASCII only; and which word was meant by a mistyped one.

/// Quotes a word for a POSIX shell, only where it needs it.
pub fn sh(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Quotes a text as a JSON string, which is a YAML string too (YAML 1.2, section
/// 1.3).
pub fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a text in printable ASCII: each other byte of its UTF-8, and each `%`, as `%` and
/// two hex digits.
pub fn ascii(text: &str) -> String {
    let one = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Reads what [`ascii`] has written; none if it has not.
pub fn from_ascii(written: &str) -> Option<String> {
    let mut bytes = written.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(text).ok()
}

/// The known word that is nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = |known: &&&str| distance(word, known) <= 1 + known.len() / 4;
    known.iter().filter(near).min_by_key(|known| distance(word, known)).copied()
}

/// How many letters must be added, removed or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words() {
        assert_eq!(sh("/a/b-c=1"), "/a/b-c=1");
        assert_eq!(sh(""), "''");
        assert_eq!(sh("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn any_text_is_read_from_ascii_again() {
        assert_eq!(ascii("/home/j\u{fc}rgen/50%"), "/home/j%C3%BCrgen/50%25");
        for text in ["", "plain ~text", "%41", "\u{1f600}\n\0\u{7f}"] {
            let written = ascii(text);
            assert!(written.bytes().all(|b| (b' '..=b'~').contains(&b)), "{written}");
            assert_eq!(from_ascii(&written).as_deref(), Some(text));
        }
        for wrong in ["%", "%4", "%zz", "%FF"] {
            assert_eq!(from_ascii(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["accel", "ssh_port", "machine"];
        assert_eq!(nearest("acel", &known), Some("accel"));
        assert_eq!(nearest("sshport", &known), Some("ssh_port"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn json_strings() {
        assert_eq!(json("a\"b\n"), r#""a\"b\n""#);
    }
}
