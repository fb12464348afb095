//! From the file as written to complete machines: defaults, counts, inheritance.
//!
//! `[machine.worker]` without `count` is one machine called `worker`. With a count,
//! even of 1, they are `worker-1`, `worker-2` and so on, so that changing the count
//! never renames a machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::address::{self, Wanted};
use super::diagnose::{Problem, Problems, Span};
use super::network::Cidr;
use super::raw::{At, DRIVERS, Defaults, Drivers, File, Machine, Texts};
use super::size::{DISK, MEMORY};
use super::{Availability, EngineSpec, ImageRef, Spec, engine, image, name, ports};

/// What a machine has that does not say otherwise.
struct Base {
    driver: String,
    image: ImageRef,
    cpus: u32,
    memory_mib: u64,
    disk_mib: u64,
    user: String,
    labels: BTreeMap<String, String>,
    engine: EngineSpec,
}

/// A table `[machine.NAME]` and the machines that it makes.
pub(crate) struct Group<'a> {
    /// The name as written.
    pub(crate) name: &'a At<String>,
    /// What is written below it.
    pub(crate) raw: &'a Machine,
    /// Its machines.
    pub(crate) specs: Vec<Spec>,
}

/// Makes the machines of the file, in its order.
pub(crate) fn expand<'a>(
    file: &'a File,
    dir: &Path,
    subnet: Cidr,
    recorded: &BTreeMap<String, Ipv4Addr>,
    problems: &mut Problems,
) -> Vec<Group<'a>> {
    let base = defaults(&file.defaults, dir, problems);
    let engine = engine::merge(&base.engine, &file.engine, dir, problems);
    let base = Base { engine, ..base };

    let mut tables: Vec<_> = file.machine.iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);

    let mut wanted = Vec::new();
    let mut groups = Vec::new();
    for (name, table) in tables {
        let raw = table.get();
        let names = name::machines(name, raw.count.as_ref().map(|at| *at.get()), problems);
        let spec = machine(raw, &base, &file.driver, dir, problems);
        wanted.extend(places(name, raw, &names, problems));
        let specs = names.into_iter().map(|name| Spec { name, ..spec.clone() }).collect();
        groups.push(Group { name, raw, specs });
    }

    let mut addresses = address::assign(subnet, &wanted, recorded, problems).into_iter();
    for spec in groups.iter_mut().flat_map(|group| &mut group.specs) {
        spec.address = addresses.next().unwrap_or(Ipv4Addr::UNSPECIFIED);
    }
    groups
}

/// A path of the file, made absolute.
pub(crate) fn absolute(dir: &Path, path: &str) -> PathBuf {
    dir.join(path).components().collect()
}

fn defaults(table: &Defaults, dir: &Path, problems: &mut Problems) -> Base {
    let none = Base {
        driver: DRIVERS[0].to_owned(),
        image: ImageRef::Name("debian-12".to_owned()),
        cpus: 1,
        memory_mib: 1 << 10,
        disk_mib: 10 << 10,
        user: "fleet".to_owned(),
        labels: BTreeMap::new(),
        engine: engine::base(),
    };
    Base {
        driver: table.driver.as_ref().map_or(none.driver, |at| at.get().clone()),
        image: or(table.image.as_ref().map(|at| image::resolve(at, dir)), &none.image, problems),
        cpus: table.cpus.as_ref().map_or(none.cpus, |at| *at.get() as u32),
        memory_mib: or(table.memory.as_ref().map(|at| MEMORY.read(at)), &none.memory_mib, problems),
        disk_mib: or(table.disk.as_ref().map(|at| DISK.read(at)), &none.disk_mib, problems),
        user: or(table.user.as_ref().map(name::user), &none.user, problems),
        labels: labels(&none.labels, &table.labels, problems),
        engine: none.engine,
    }
}

fn machine(
    raw: &Machine,
    base: &Base,
    drivers: &Drivers,
    dir: &Path,
    problems: &mut Problems,
) -> Spec {
    let driver = raw.driver.as_ref().map_or(&base.driver, At::get).clone();
    let ports = raw.ports.iter().flatten().filter_map(|at| {
        ports::parse(at.get(), at.span()).map_err(|problem| problems.push(problem)).ok()
    });
    let ports = ports.collect();
    let mut options = drivers.options(&driver).map(|at| of_machines(at.get())).unwrap_or_default();
    if let Some(own) = raw.options(&driver) {
        lay_over(&mut options, own.get());
    }
    Spec {
        name: String::new(),
        image: or(raw.image.as_ref().map(|at| image::resolve(at, dir)), &base.image, problems),
        cpus: raw.cpus.as_ref().map_or(base.cpus, |at| *at.get() as u32),
        memory_mib: or(raw.memory.as_ref().map(|at| MEMORY.read(at)), &base.memory_mib, problems),
        disk_mib: or(raw.disk.as_ref().map(|at| DISK.read(at)), &base.disk_mib, problems),
        address: Ipv4Addr::UNSPECIFIED,
        user: or(raw.user.as_ref().map(name::user), &base.user, problems),
        ports,
        role: raw.role.as_ref().map(|at| *at.get()),
        labels: labels(&base.labels, &raw.labels, problems),
        availability: raw.availability.as_ref().map_or(Availability::Active, |at| *at.get()),
        protected: raw.protected.as_ref().is_some_and(|at| *at.get()),
        engine: engine::merge(&base.engine, &raw.engine, dir, problems),
        options,
        driver,
    }
}

/// The value if it was given and good, else the default.
fn or<T: Clone>(read: Option<Result<T, Problem>>, base: &T, problems: &mut Problems) -> T {
    match read {
        Some(Ok(value)) => value,
        Some(Err(problem)) => {
            problems.push(problem);
            base.clone()
        }
        None => base.clone(),
    }
}

fn labels(
    base: &BTreeMap<String, String>,
    table: &Texts,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut labels = base.clone();
    for (key, value) in table {
        match engine::node_label(key).and_then(|()| engine::label_value(value)) {
            Ok(()) => drop(labels.insert(key.get().clone(), value.get().clone())),
            Err(problem) => problems.push(problem),
        }
    }
    labels
}

/// What the options of a driver say of its machines: lists of tables, such as the driver's
/// hosts, speak of the driver as a whole.
fn of_machines(options: &toml::Table) -> toml::Table {
    let tables = |value: &toml::Value| {
        let list = value.as_array().filter(|list| !list.is_empty());
        list.is_some_and(|list| list.iter().all(toml::Value::is_table))
    };
    options
        .iter()
        .filter(|(_, value)| !tables(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Lays one table of options over another, tables inside of it too.
fn lay_over(base: &mut toml::Table, own: &toml::Table) {
    for (key, value) in own {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(own)) => lay_over(base, own),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

/// What the machines of a table want for addresses.
fn places(
    name: &At<String>,
    raw: &Machine,
    names: &[String],
    problems: &mut Problems,
) -> Vec<Wanted> {
    let fixed: Option<(Ipv4Addr, Span)> = raw.address.as_ref().and_then(|at| {
        let first = address::read(at.get(), at.span()).map_err(|problem| problems.push(problem));
        Some((first.ok()?, at.span()))
    });
    let nth = |n: usize| {
        let (first, span) = fixed.clone()?;
        Some((Ipv4Addr::from(u32::from(first).saturating_add(n as u32)), span))
    };
    names
        .iter()
        .enumerate()
        .map(|(n, machine)| Wanted { name: machine.clone(), fixed: nth(n), span: name.span() })
        .collect()
}
