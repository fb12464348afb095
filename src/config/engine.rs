//! The engine of a machine: `[engine]`, and the machine's own `engine` laid over it.
//!
//! A machine's single values and lists replace those of `[engine]`; its labels, log
//! options and environment are added to them, key by key.

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnose::{Problem, Problems};
use super::network::Cidr;
use super::raw::{At, EngineTable, Texts};
use super::suggest::{closest, did_you_mean};
use super::{EngineSpec, Install, expand};

const LOG_DRIVERS: [&str; 11] = [
    "json-file",
    "local",
    "journald",
    "syslog",
    "gelf",
    "fluentd",
    "awslogs",
    "splunk",
    "etwlogs",
    "gcplogs",
    "none",
];

const STORAGE_DRIVERS: [&str; 7] =
    ["overlay2", "overlayfs", "fuse-overlayfs", "btrfs", "zfs", "vfs", "native"];

/// Namespaces that the engine keeps for itself and refuses as labels.
const RESERVED: [&str; 3] = ["com.docker.", "io.docker.", "org.dockerproject."];

/// The engine of machines without `[engine]`.
pub(crate) fn base() -> EngineSpec {
    EngineSpec {
        install: Install::Auto,
        version: None,
        labels: BTreeMap::new(),
        registry_mirrors: Vec::new(),
        insecure_registries: Vec::new(),
        log_driver: None,
        log_opts: BTreeMap::new(),
        storage_driver: None,
        env: BTreeMap::new(),
    }
}

/// Lays a table over `base`; scripts are relative to `dir`.
pub(crate) fn merge(
    base: &EngineSpec,
    table: &EngineTable,
    dir: &Path,
    problems: &mut Problems,
) -> EngineSpec {
    let mut engine = base.clone();
    if let Some(at) = &table.install {
        keep(&mut engine.install, install(at, dir), problems);
    }
    if let Some(at) = &table.version {
        keep(&mut engine.version, version(at).map(Some), problems);
    }
    for (key, value) in &table.labels {
        match engine_label(key).and_then(|()| label_value(value)) {
            Ok(()) => drop(engine.labels.insert(key.get().clone(), value.get().clone())),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(list) = &table.registry_mirrors {
        engine.registry_mirrors = each(list, mirror, problems);
    }
    if let Some(list) = &table.insecure_registries {
        engine.insecure_registries = each(list, registry, problems);
    }
    if let Some(at) = &table.log_driver {
        doubt("log driver", at, &LOG_DRIVERS, problems);
        engine.log_driver = Some(at.get().clone());
    }
    texts(&mut engine.log_opts, &table.log_opts, problems, |_| Ok(()));
    if let Some(at) = &table.storage_driver {
        doubt("storage driver", at, &STORAGE_DRIVERS, problems);
        engine.storage_driver = Some(at.get().clone());
    }
    texts(&mut engine.env, &table.env, problems, variable);
    if let (Install::None, Some(at)) = (&engine.install, &table.version) {
        problems.push(
            Problem::warning("`version` has no effect with `install = \"none\"`")
                .at(at.span(), "nothing is installed")
                .help("remove `version`, or write `install = \"auto\"`"),
        );
    }
    engine
}

fn keep<T>(slot: &mut T, read: Result<T, Problem>, problems: &mut Problems) {
    match read {
        Ok(value) => *slot = value,
        Err(problem) => problems.push(problem),
    }
}

fn each(
    list: &[At<String>],
    read: impl Fn(&At<String>) -> Result<String, Problem>,
    problems: &mut Problems,
) -> Vec<String> {
    list.iter().filter_map(|at| read(at).map_err(|problem| problems.push(problem)).ok()).collect()
}

fn texts(
    into: &mut BTreeMap<String, String>,
    table: &Texts,
    problems: &mut Problems,
    rule: impl Fn(&At<String>) -> Result<(), Problem>,
) {
    for (key, value) in table {
        match rule(key).and_then(|()| label_value(value)) {
            Ok(()) => drop(into.insert(key.get().clone(), value.get().clone())),
            Err(problem) => problems.push(problem),
        }
    }
}

fn install(at: &At<String>, dir: &Path) -> Result<Install, Problem> {
    let words = ["auto", "distro", "get-docker", "none"];
    Ok(match at.get().as_str() {
        "auto" => Install::Auto,
        "distro" => Install::Distro,
        "get-docker" => Install::GetDocker,
        "none" => Install::None,
        path if path.contains('/') => {
            let file = expand::absolute(dir, path);
            if !file.is_file() {
                let label =
                    if file.is_dir() { "this is a folder" } else { "there is no such file" };
                return Err(Problem::error("the install script is missing")
                    .at(at.span(), label)
                    .help("paths start at the folder of this file"));
            }
            Install::Script(file)
        }
        word => {
            let script = format!("for a script write `\"./{word}\"`");
            let help = match closest(word, words) {
                _ if dir.join(word).is_file() => format!("did you mean `\"./{word}\"`?"),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it may be `auto`, `distro`, `get-docker` or `none`; {script}"),
            };
            return Err(Problem::error(format!("unknown way to install `{word}`"))
                .at(at.span(), "not one of them")
                .help(help));
        }
    })
}

fn version(at: &At<String>) -> Result<String, Problem> {
    let text = at.get().as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+~:-".contains(c);
    let good =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(plain);
    if good(text) {
        return Ok(text.to_owned());
    }
    let bare = text.trim().trim_start_matches(['v', 'V', '=', '^', '~', '>', ' ']);
    let help = match text {
        "latest" | "stable" | "*" => "leave `version` out to get what the source offers".to_owned(),
        _ if good(bare) => format!("did you mean `\"{bare}\"`?"),
        _ => "write it in full or its first parts: `\"28\"`, `\"28.2\"`, `\"28.2.2\"`".to_owned(),
    };
    Err(Problem::error("bad engine version").at(at.span(), "not a version").help(help))
}

/// Checks a label's key for an engine.
fn engine_label(key: &At<String>) -> Result<(), Problem> {
    if let Some(space) = RESERVED.iter().find(|space| key.get().starts_with(**space)) {
        return Err(Problem::error(format!("the label `{}` is reserved", key.get()))
            .at(key.span(), format!("`{space}*` belongs to the engine"))
            .help("choose another name, such as one of a domain of your own"));
    }
    label_key(key, ".-_/")
}

/// Checks a label's key for a swarm node, so that constraints can use it
/// (`node.labels.KEY==VALUE` takes letters, digits, `.`, `-` and `_`).
pub(crate) fn node_label(key: &At<String>) -> Result<(), Problem> {
    label_key(key, ".-_")
}

fn label_key(key: &At<String>, others: &str) -> Result<(), Problem> {
    let text = key.get().as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    if text.chars().all(plain) && text.starts_with(ends) && text.ends_with(ends) {
        return Ok(());
    }
    let fixed: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let fixed = fixed.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let help = if fixed.is_empty() {
        "a label has a name: `site = \"lab\"`".to_owned()
    } else {
        format!("did you mean `{fixed}`?")
    };
    Err(Problem::error(format!("bad label `{text}`"))
        .at(key.span(), "letters, digits, `.`, `-` and `_` only")
        .help(help))
}

/// Checks a label's value: one line.
pub(crate) fn label_value(value: &At<String>) -> Result<(), Problem> {
    if value.get().chars().any(char::is_control) {
        return Err(Problem::error("bad value")
            .at(value.span(), "a line break or another control character")
            .help("write it on one line"));
    }
    Ok(())
}

fn variable(key: &At<String>) -> Result<(), Problem> {
    let text = key.get().as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.is_empty()
        && text.chars().all(plain)
        && !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return Ok(());
    }
    Err(Problem::error(format!("bad environment variable `{text}`"))
        .at(key.span(), "letters, digits and `_` only")
        .help("write it like `HTTPS_PROXY`"))
}

fn mirror(at: &At<String>) -> Result<String, Problem> {
    let text = at.get().trim_end_matches('/');
    let bad = |label: &str, help: String| {
        Err(Problem::error("bad registry mirror").at(at.span(), label).help(help))
    };
    let rest = at.get().strip_prefix("https://").or_else(|| at.get().strip_prefix("http://"));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        None => bad("the scheme is missing", format!("did you mean `\"https://{text}\"`?")),
        Some("") => bad("the host is missing", "write it like `\"https://mirror.example\"`".into()),
        Some(rest) if rest.contains(['?', '#', '@', ' ']) => bad(
            "only a host and a path",
            "the engine takes no user, query or fragment here".to_owned(),
        ),
        Some(_) => Ok(text.to_owned()),
    }
}

fn registry(at: &At<String>) -> Result<String, Problem> {
    let text = at.get().trim_end_matches('/');
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = bare.split_once('/').map_or(bare, |(host, _)| host);
    let network = Cidr::parse(bare).is_ok();
    if bare == text
        && !text.is_empty()
        && !text.contains(char::is_whitespace)
        && (network || host == bare)
    {
        return Ok(text.to_owned());
    }
    Err(Problem::error("bad insecure registry")
        .at(at.span(), "a host with its port, or a network")
        .help(if host.is_empty() {
            "write it like `\"10.77.0.1:5000\"`".to_owned()
        } else {
            format!("did you mean `\"{host}\"`?")
        }))
}

/// Warns of a word that is probably a slip; plug-ins may have any name.
fn doubt(what: &str, at: &At<String>, known: &[&str], problems: &mut Problems) {
    let word = at.get().as_str();
    if known.contains(&word) || word.contains(['/', ':']) {
        return;
    }
    let help = did_you_mean(word, known.iter().copied()).unwrap_or_else(|| {
        "the engine does not start with a name that it does not know".to_owned()
    });
    problems.push(
        Problem::warning(format!("unknown {what} `{word}`"))
            .at(at.span(), "not one that the engine brings along")
            .help(help),
    );
}
