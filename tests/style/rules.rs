//! The rules about code. Each gives what breaks it, as `path:line: what`.

use toml::{Table, Value};

use super::rust::{Rust, lines_with, stands_in};
use super::tree::Tree;

/// Longer files have a second job.
const LONGEST: usize = 400;

/// What a driver crate may depend on; a new driver is a new row. These are built into
/// everybody's fleet, so each row is short.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "fleet-driver",
        &[
            "base64",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "tempfile",
            "tokio",
            "tokio-util",
            "toml",
        ],
    ),
    (
        "fleet-libvirt",
        &["fleet-driver", "roxmltree", "serde", "serde_json", "tera", "tokio", "toml", "virt"],
    ),
    ("fleet-qemu", &["fleet-driver", "serde", "serde_json", "sha2", "tokio", "toml"]),
];

/// Where a ban holds.
#[derive(Clone, Copy)]
enum Scope {
    /// In the program, not in what tests, builds or shows it.
    Program,
    /// In every Rust file.
    Everywhere,
}

struct Ban {
    word: &'static str,
    scope: Scope,
    allowed: &'static [&'static str],
    instead: &'static str,
}

const OUT: &str = "write results through `Host::out`, all else through `Host::err`";
const WAIT: &str = "wait through `fleet_driver::wait`";
const FINISH: &str = "finish it";

#[rustfmt::skip]
const BANS: &[Ban] = &[
    Ban { word: "print!", scope: Scope::Program, allowed: &[], instead: OUT },
    Ban { word: "println!", scope: Scope::Program, allowed: &[], instead: OUT },
    Ban { word: "eprint!", scope: Scope::Program, allowed: &[], instead: OUT },
    Ban { word: "eprintln!", scope: Scope::Program, allowed: &["src/cli.rs"], instead: OUT },
    Ban { word: "process::exit", scope: Scope::Program, allowed: &["src/cli.rs"],
        instead: "return an exit code" },
    Ban { word: "thread::sleep", scope: Scope::Everywhere, allowed: &[], instead: WAIT },
    Ban { word: "time::sleep", scope: Scope::Everywhere,
        allowed: &["drivers/api/src/wait.rs"], instead: WAIT },
    Ban { word: "dbg!", scope: Scope::Everywhere, allowed: &[], instead: "remove it" },
    Ban { word: "todo!", scope: Scope::Everywhere, allowed: &[], instead: FINISH },
    Ban { word: "unimplemented!", scope: Scope::Everywhere, allowed: &[], instead: FINISH },
];

/// Files over 400 lines.
pub(crate) fn length(tree: &Tree) -> Vec<String> {
    tree.rust()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {LONGEST}"))
        .collect()
}

/// Calls that have one file, or none.
pub(crate) fn banned_calls(tree: &Tree) -> Vec<String> {
    let program: Vec<&str> = tree.program().map(|(path, _)| path).collect();
    let mut found = Vec::new();
    for (path, text) in tree.rust() {
        let code = Rust::of(text).code;
        for ban in BANS {
            let here = match ban.scope {
                Scope::Program => program.contains(&path),
                Scope::Everywhere => true,
            };
            if here && !ban.allowed.contains(&path) {
                for line in lines_with(&code, ban.word) {
                    found.push(format!("{path}:{line}: `{}`: {}", ban.word, ban.instead));
                }
            }
        }
    }
    found
}

/// Rust files that no other file names: the compiler does not even read them.
pub(crate) fn orphans(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|(path, _)| !is_root(path) && !is_named(tree, path))
        .map(|(path, _)| format!("{path}: no `mod` names it"))
        .collect()
}

/// Whether cargo itself finds the file.
fn is_root(path: &str) -> bool {
    let in_package = match path.strip_prefix("drivers/").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => {
            // A driver's tests are found by name; those of the root package are listed.
            if let Some(test) = rest.strip_prefix("tests/")
                && test.split('/').skip(1).all(|file| file == "main.rs")
            {
                return true;
            }
            rest
        }
        None => path,
    };
    let direct =
        |folder: &str| in_package.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
    matches!(
        in_package,
        "src/lib.rs" | "src/main.rs" | "build.rs" | "tests/main.rs" | "tests/lab/main.rs"
    ) || direct("src/bin/")
        || direct("examples/")
        || direct("benches/")
}

fn is_named(tree: &Tree, path: &str) -> bool {
    let stem = path.trim_end_matches(".rs");
    // `a/mod.rs` is the module `a`.
    let module = stem.trim_end_matches("/mod");
    let (folder, name) = module.rsplit_once('/').unwrap_or(("", module));
    let named = format!("mod {name};");
    let parents = ["/mod.rs", ".rs", "/lib.rs", "/main.rs"].map(|end| format!("{folder}{end}"));
    if parents.iter().any(|parent| {
        parent != path
            && lines_with(&Rust::of(tree.text(parent)).code, &named) != Vec::<usize>::new()
    }) {
        return true;
    }
    // The lab shares files with the fast tests through `#[path = "../support/…"]`.
    let file = path.rsplit('/').next().unwrap_or(path);
    tree.rust().any(|(_, text)| {
        text.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("#[path = ")
                && (line.contains(&format!("/{file}\"")) || line.contains(&format!("\"{file}\"")))
        })
    })
}

/// Modules whose name says nothing.
pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let empty = ["util", "utils", "common", "helper", "helpers", "misc"];
    tree.rust()
        .filter(|(path, _)| path.trim_end_matches(".rs").split('/').any(|n| empty.contains(&n)))
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// Modules that do not say what they hide.
pub(crate) fn first_lines(tree: &Tree) -> Vec<String> {
    tree.program()
        // A `tests.rs` tests the module it belongs to; there is nothing more to say.
        .filter(|(path, text)| !text.starts_with("//! ") && !path.ends_with("/tests.rs"))
        .map(|(path, _)| format!("{path}:1"))
        .collect()
}

/// Attributes of serde that make its errors poor.
pub(crate) fn serde(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.program() {
        let code = Rust::of(text).code;
        for (at, _) in code.match_indices("#[serde(") {
            let end = code[at..].find(")]").map_or(code.len(), |end| at + end);
            let line = code[..at].lines().count() + usize::from(code[..at].ends_with('\n'));
            for word in ["flatten", "untagged"] {
                if stands_in(&code[at..end], word) {
                    found.push(format!("{path}:{}: `{word}`", line.max(1)));
                }
            }
        }
    }
    found
}

/// Notes about work left that do not say whose it is.
pub(crate) fn owners(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.files() {
        let text = match path.split('/').next() {
            _ if path.ends_with(".rs") => Rust::of(text).comments,
            Some("templates" | "scripts" | "Makefile" | ".ci") => text.to_owned(),
            _ => continue,
        };
        for word in ["TODO", "FIXME", "XXX"] {
            for number in lines_with(&text, word) {
                let line = text.lines().nth(number - 1).unwrap_or_default();
                let owned = line.split(word).nth(1).is_some_and(|rest| {
                    rest.strip_prefix('(').is_some_and(|rest| {
                        rest.find(')').is_some_and(|end| !rest[..end].trim().is_empty())
                    })
                });
                if !owned {
                    found.push(format!("{path}:{number}: {}", line.trim()));
                }
            }
        }
    }
    found
}

/// Manifests of drivers that depend on more than their row allows, or on fleet.
pub(crate) fn manifests(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, package, manifest) in drivers(tree) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package) else {
            found.push(format!("{path}: `{package}` has no row in the table"));
            continue;
        };
        for (section, name) in dependencies(&manifest) {
            let for_tests = section == "dev-dependencies";
            if name == "fleet" || (!for_tests && !allowed.contains(&name.as_str())) {
                found.push(format!("{path}: `{name}` in [{section}]"));
            }
        }
    }
    found
}

/// Drivers that a file other than the registry names.
pub(crate) fn registry(tree: &Tree) -> Vec<String> {
    let crates: Vec<String> = drivers(tree)
        .into_iter()
        .map(|(_, package, _)| package.replace('-', "_"))
        .filter(|name| name != "fleet_driver")
        .collect();
    let mut found = Vec::new();
    for (path, text) in tree.program() {
        if path.starts_with("src/") && path != "src/registry.rs" {
            let code = Rust::of(text).code;
            for name in &crates {
                for line in lines_with(&code, name) {
                    found.push(format!("{path}:{line}: `{name}`"));
                }
            }
        }
    }
    found
}

/// The manifests below `drivers`: path, package, content.
fn drivers(tree: &Tree) -> Vec<(&str, String, Table)> {
    tree.files()
        .filter(|(path, _)| path.starts_with("drivers/") && path.ends_with("/Cargo.toml"))
        .map(|(path, text)| {
            let manifest: Table = text.parse().expect("cargo has read it already");
            let name = manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
            (path, name, manifest)
        })
        .collect()
}

/// All dependencies of a manifest with their section, those of single systems too.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let mut tables = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            if let Some(Value::Table(packages)) = table.get(section) {
                for (key, value) in packages {
                    // `alias = { package = "name" }`
                    let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                    found.push((section, name.to_owned()));
                }
            }
        }
    }
    found
}
