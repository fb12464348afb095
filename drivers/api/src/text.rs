//! Quoting, done once: for shells, and for JSON and YAML strings.

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
    fn json_strings() {
        assert_eq!(json("a\"b\n"), r#""a\"b\n""#);
    }
}
