//! A repository as text: the files below a folder, by their path in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Paths have `/` between their parts on every system.
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads all files below `root` except those that no repository holds.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        walk(root, "", &mut files)?;
        Ok(Self(files))
    }

    /// A made-up tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// Whether there is a file or a folder of that path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.0.contains_key(path)
            || self.0.range(folder.clone()..).next().is_some_and(|(p, _)| p.starts_with(&folder))
    }

    /// The text of a file; empty if it is not there or not text.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// All files: path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files: path and text.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The Rust files of the program itself, not those of its tests.
    pub(crate) fn program(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rust().filter(|(path, _)| {
            let mut parts = path.split('/');
            match parts.next() {
                Some("src") => true,
                Some("drivers") => parts.nth(1) == Some("src"),
                _ => false,
            }
        })
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let built = prefix.is_empty() && name == "target";
            if !built && !matches!(name.as_str(), ".git" | ".fleet") {
                walk(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() && path != ".git" && !path.ends_with(".log") {
            let text = String::from_utf8(fs::read(entry.path())?).unwrap_or_default();
            files.insert(path, text);
        }
    }
    Ok(())
}
