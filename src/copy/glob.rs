//! Names with `*`, `?` and `[…]` in them: no shell in a machine fills them in.

use fleet_driver::Result;
use regex_lite::Regex;

use super::side::{Side, join};

/// Whether a path has letters that stand for others.
pub(super) fn is_one(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The paths that fit, sorted; none if nothing does.
pub(super) async fn expand(side: &Side, path: &str) -> Result<Vec<String>> {
    let (mut found, rest) = match path.strip_prefix('/') {
        Some(rest) => (vec!["/".to_owned()], rest),
        None => (vec![String::new()], path),
    };
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            if !is_one(part) {
                next.push(join(&folder, part));
                continue;
            }
            let Some(pattern) = pattern(part) else { return Ok(Vec::new()) };
            let here = if folder.is_empty() { "." } else { &folder };
            // What is no folder has nothing in it that could fit.
            for name in side.list(here).await.unwrap_or_default() {
                // As in a shell: what begins with a dot is hidden.
                if pattern.is_match(&name) && part.starts_with('.') == name.starts_with('.') {
                    next.push(join(&folder, &name));
                }
            }
        }
        found = next;
    }
    let mut there = Vec::new();
    for path in found {
        if side.about(&path).await?.is_some() {
            there.push(path);
        }
    }
    Ok(there)
}

/// The expression of one name of a path; none if it has an open bracket.
fn pattern(part: &str) -> Option<Regex> {
    let mut text = String::from("^");
    let mut letters = part.chars();
    while let Some(c) = letters.next() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' => {
                let set: String = letters.by_ref().take_while(|c| *c != ']').collect();
                let (not, set) = match set.strip_prefix(['!', '^']) {
                    Some(rest) => ("^", rest.to_owned()),
                    None => ("", set),
                };
                let set = set.replace('\\', r"\\").replace('[', r"\[").replace('^', r"\^");
                text.extend(["[", not, &set, "]"]);
            }
            '\\' => text.push_str(&regex_lite::escape(&letters.next()?.to_string())),
            c => text.push_str(&regex_lite::escape(&c.to_string())),
        }
    }
    text.push('$');
    Regex::new(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names() {
        for (part, name, fits) in [
            ("*.log", "a.log", true),
            ("*.log", "a.logs", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("a+b*", "a+bc", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(pattern(part).unwrap().is_match(name), fits, "{part} {name}");
        }
        assert!(pattern("a[").is_none());
    }

    #[tokio::test]
    async fn a_path_is_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x/1.log", "x/2.log", "x/note", "y/3.log", "x/.hidden.log"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let side = Side::Here(dir.path().to_owned());
        assert_eq!(expand(&side, "x/*.log").await.unwrap(), ["x/1.log", "x/2.log"]);
        assert_eq!(expand(&side, "*/?.log").await.unwrap(), ["x/1.log", "x/2.log", "y/3.log"]);
        assert_eq!(expand(&side, "*/note").await.unwrap(), ["x/note"]);
        assert_eq!(expand(&side, "x/.*").await.unwrap(), ["x/.hidden.log"]);
        assert!(expand(&side, "z*").await.unwrap().is_empty());
        let absolute = format!("{}/y/*", dir.path().display());
        assert_eq!(expand(&side, &absolute).await.unwrap().len(), 1);
    }
}
