//! The rules about templates, pages and the links between them.

use super::tree::Tree;

/// Templates that no string in the program names.
///
/// A name counts from its last folder on, since tables give names below a folder of
/// their own.
pub(crate) fn templates(tree: &Tree) -> Vec<String> {
    let names_it = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        (0..parts.len().saturating_sub(1)).any(|from| {
            let name = parts[from..].join("/");
            let ends = [format!("\"{name}\""), format!("/{name}\"")];
            tree.program().any(|(_, text)| ends.iter().any(|end| text.contains(end)))
        })
    };
    tree.files()
        .filter(|(path, _)| path.starts_with("templates/") && !names_it(path))
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// Pages below `docs` that no index links.
pub(crate) fn pages(tree: &Tree) -> Vec<String> {
    let linked = |path: &str| {
        ["README.md", "docs/README.md"].iter().any(|index| {
            targets(tree.text(index)).iter().any(|(_, target)| resolve(index, target) == path)
        })
    };
    tree.files()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("docs/") && path.ends_with(".md") && !linked(path))
        .map(ToOwned::to_owned)
        .collect()
}

/// Links to files that are not there.
pub(crate) fn links(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in targets(text) {
            if !tree.has(&resolve(path, &target)) {
                found.push(format!("{path}:{line}: {target}"));
            }
        }
    }
    found
}

/// Paths in backticks, in the pages of the top folder, that are not there.
pub(crate) fn paths(tree: &Tree) -> Vec<String> {
    let ours = ["src/", "drivers/", "templates/", "tests/", "scripts/", "docs/", ".cargo/", ".ci/"];
    let mut found = Vec::new();
    for page in ["README.md", "CONTRIBUTING.md", "docs/README.md"] {
        for (number, line) in prose(tree.text(page)) {
            for word in line.split('`').skip(1).step_by(2) {
                let pattern =
                    word.contains(|c: char| "*<>…{ ".contains(c)) || word.contains("NAME");
                if ours.iter().any(|top| word.starts_with(top)) && !pattern && !tree.has(word) {
                    found.push(format!("{page}:{number}: `{word}`"));
                }
            }
        }
    }
    found
}

/// The lines of a page outside its code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            code = !code;
            return None;
        }
        (!code).then_some((at + 1, line))
    })
}

/// The targets of a page's links within the repository, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The path in the tree of a link in a page.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
