//! `machines.toml` changed in place, its comments and layout kept.
//!
//! What comes out is a text; whoever writes it checks it first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use fleet_driver::{Error, Result};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

#[cfg(test)]
mod tests;

/// A machine to be added; what is `None` or empty is left to the file's defaults.
#[derive(Debug, Clone, Default)]
pub struct NewMachine {
    /// Its name.
    pub name: String,
    /// The keys of its table that hold a text.
    pub texts: Vec<(&'static str, String)>,
    /// Virtual processors.
    pub cpus: Option<i64>,
    /// Ports of the host that lead into it.
    pub ports: Vec<String>,
    /// Labels of its node.
    pub labels: Vec<(String, String)>,
    /// Its engine.
    pub engine: NewEngine,
    /// The driver whose options are given, and they.
    pub options: Option<(String, Vec<(String, String)>)>,
}

/// The engine of a machine to be added.
#[derive(Debug, Clone, Default)]
pub struct NewEngine {
    /// The keys of its table that hold a text.
    pub texts: Vec<(&'static str, String)>,
    /// The keys that hold a list.
    pub lists: Vec<(&'static str, Vec<String>)>,
    /// The keys that hold names and texts.
    pub tables: Vec<(&'static str, Vec<(String, String)>)>,
}

/// Adds a machine to a file, behind the machines that are there.
///
/// # Errors
/// `Config` if the text is no TOML, `Conflict` if it has a machine of that name.
pub fn add(text: &str, machine: &NewMachine) -> Result<String> {
    let mut doc = parse(text)?;
    let name = &machine.name;
    let root = doc.as_table_mut();
    let mut above = Table::new();
    above.set_implicit(true);
    let machines = root
        .entry("machine")
        .or_insert_with(|| Item::Table(above))
        .as_table_like_mut()
        .ok_or_else(|| Error::config("`machine` is no table in the file"))?;
    if machines.contains_key(name) {
        return Err(Error::conflict(format!("there is a machine `{name}` in the file already"))
            .hint(format!("change it there; `fleet up {name}` brings it up")));
    }
    let mut table = Table::new();
    for (key, text) in &machine.texts {
        table[key] = value(text);
    }
    if let Some(cpus) = machine.cpus {
        table["cpus"] = value(cpus);
    }
    if !machine.ports.is_empty() {
        table["ports"] = value(machine.ports.iter().collect::<Array>());
    }
    if !machine.labels.is_empty() {
        table["labels"] = value(pairs(&machine.labels));
    }
    if let Some((driver, options)) = &machine.options {
        table[driver] = value(choices(options));
    }
    let engine = engine(&machine.engine);
    if !engine.is_empty() {
        table["engine"] = Item::Table(engine);
    }
    machines.insert(name, Item::Table(table));
    let mut out = doc.to_string();
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(out)
}

fn engine(engine: &NewEngine) -> Table {
    let mut table = Table::new();
    for (key, text) in &engine.texts {
        table[key] = value(text);
    }
    for (key, list) in engine.lists.iter().filter(|(_, list)| !list.is_empty()) {
        table[key] = value(list.iter().collect::<Array>());
    }
    for (key, map) in engine.tables.iter().filter(|(_, map)| !map.is_empty()) {
        table[key] = value(pairs(map));
    }
    table
}

fn pairs(map: &[(String, String)]) -> InlineTable {
    map.iter().map(|(key, text)| (key.as_str(), Value::from(text))).collect()
}

/// Options of a driver: whole numbers and truth values are written as such.
fn choices(options: &[(String, String)]) -> InlineTable {
    let typed = |text: &String| match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(truth)) => Value::from(truth),
        _ => Value::from(text),
    };
    options.iter().map(|(key, text)| (key.as_str(), typed(text))).collect()
}

/// Takes machines out of a file; of a table with `count`, the last ones.
///
/// # Errors
/// `Config` if the text is no TOML; `NotFound` if it does not name a machine; `Conflict`
/// if one of a `count` is not among the last of them.
pub fn remove(text: &str, names: &BTreeSet<String>) -> Result<String> {
    let mut doc = parse(text)?;
    let mut gone: Vec<String> = Vec::new();
    {
        let machines = doc.get_mut("machine").and_then(Item::as_table_like_mut);
        let machines = machines.ok_or_else(|| Error::not_found("the file has no machine"))?;
        let mut groups: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for name in names {
            if machines.get(name).is_some_and(|table| count(table).is_none()) {
                gone.push(name.clone());
                continue;
            }
            let (group, number) = group(machines, name).ok_or_else(|| {
                Error::not_found(format!("there is no machine `{name}` in the file"))
            })?;
            groups.entry(group).or_default().insert(number);
        }
        for (name, numbers) in groups {
            let table = machines.get_mut(&name);
            let had = table.as_deref().and_then(count).unwrap_or_default();
            let left = had - i64::try_from(numbers.len()).unwrap_or(had);
            if let Some(first) = numbers.iter().find(|number| **number <= left) {
                return Err(Error::conflict(format!(
                    "`{name}-{first}` is one of the {had} of `[machine.{name}]`, and not the last"
                ))
                .hint(format!(
                    "`fleet rm {name}-{had}` takes the last one, and lowers `count`; \
                     `fleet down {name}-{first}` removes this one until the next `fleet up`"
                )));
            }
            match table.and_then(|table| table.get_mut("count")) {
                Some(count) if left > 0 => {
                    let decor = count.as_value().map(|value| value.decor().clone());
                    let mut lower = Value::from(left);
                    if let Some(decor) = decor {
                        *lower.decor_mut() = decor;
                    }
                    *count = Item::Value(lower);
                }
                _ => gone.push(name),
            }
        }
    }
    for name in gone {
        drop_table(&mut doc, &name);
    }
    Ok(doc.to_string())
}

/// Whether a file names any machine.
pub fn has_machines(text: &str) -> bool {
    let doc = text.parse::<DocumentMut>().ok();
    doc.is_some_and(|doc| {
        doc.get("machine")
            .and_then(Item::as_table_like)
            .is_some_and(|machines| !machines.is_empty())
    })
}

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse().map_err(|e: toml_edit::TomlError| {
        Error::config("the file is no TOML").because(e.message()).hint("see `fleet validate`")
    })
}

fn count(table: &Item) -> Option<i64> {
    table.get("count").and_then(Item::as_integer)
}

/// The table with `count` that makes a machine, and the machine's number.
fn group(machines: &dyn TableLike, name: &str) -> Option<(String, i64)> {
    let (group, number) = name.rsplit_once('-')?;
    let number = number.parse().ok()?;
    let count = machines.get(group).and_then(count)?;
    (1..=count).contains(&number).then(|| (group.to_owned(), number))
}

/// Drops a machine's table; of what is written above it, only the comment that touches
/// it goes, and the rest stays in front of what follows.
fn drop_table(doc: &mut DocumentMut, name: &str) {
    let machines = doc.get_mut("machine").and_then(Item::as_table_like_mut);
    let Some(Item::Table(table)) = machines.and_then(|machines| machines.remove(name)) else {
        return;
    };
    let prefix = table.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
    let kept = prefix.rfind("\n\n").map_or("", |at| &prefix[..=at]);
    if kept.trim().is_empty() {
        return;
    }
    let place = table.position().unwrap_or(0);
    if let Some((_, next)) = following(doc.as_table_mut(), place) {
        let own = next.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
        let own = if own.starts_with('\n') { own.to_owned() } else { format!("\n{own}") };
        next.decor_mut().set_prefix(format!("{kept}{own}"));
    } else {
        let rest = doc.trailing().as_str().unwrap_or_default().to_owned();
        doc.set_trailing(format!("{kept}{rest}"));
    }
}

/// The first table behind a place of the file.
fn following(table: &mut Table, place: isize) -> Option<(isize, &mut Table)> {
    let mut best: Option<(isize, &mut Table)> = None;
    for (_, item) in table.iter_mut() {
        let Item::Table(inner) = item else { continue };
        let own = inner.position().filter(|at| *at > place && !inner.is_implicit());
        let found = match own {
            Some(at) => Some((at, inner)),
            None => following(inner, place),
        };
        if let Some((at, inner)) = found
            && best.as_ref().is_none_or(|(known, _)| at < *known)
        {
            best = Some((at, inner));
        }
    }
    best
}

/// Writes the file whole or not at all; what was there keeps its permissions, and a
/// symbolic link stays one.
///
/// # Errors
/// `Host` if it cannot be written.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let attempt = || -> io::Result<()> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = real.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".machines-").suffix(".toml");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        if let Ok(known) = std::fs::metadata(&real) {
            file.as_file().set_permissions(known.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(&real).map_err(|error| error.error)?;
        #[cfg(unix)]
        std::fs::File::open(folder)?.sync_all()?;
        Ok(())
    };
    attempt().map_err(|error| {
        Error::host("could not write the file")
            .with("file", path.display())
            .because(error)
            .hint("is there such a folder, and may you write to it?")
    })
}
