//! Drivers that are programs of their own: the names and tables of a file that the schema
//! does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::diagnose::{Problem, Problems};
use super::raw::{At, DRIVERS, File};

/// The options of drivers by their names.
pub(crate) type Tables = BTreeMap<String, At<toml::Table>>;

/// Adds to the schema the drivers that are programs, and gives their names.
///
/// `programs` looks for them; it is not asked unless the file has a name that is unknown.
pub(crate) fn allow(
    file: &DeTable<'_>,
    schema: &mut Value,
    programs: &dyn Fn() -> BTreeSet<String>,
) -> BTreeSet<String> {
    const DRIVER: &str = "/properties/driver/properties";
    const MACHINE: &str = "/properties/machine/additionalProperties/properties";
    let keys = |place: &str| -> BTreeSet<String> {
        let table = schema.pointer(place).and_then(Value::as_object);
        table.into_iter().flat_map(|table| table.keys().cloned()).collect()
    };
    let (drivers, machine) = (keys(DRIVER), keys(MACHINE));
    if !has_unknown(file, &drivers, &machine) {
        return BTreeSet::new();
    }
    let taken = |name: &String| drivers.contains(name) || machine.contains(name);
    let names: BTreeSet<String> = programs().into_iter().filter(|name| !taken(name)).collect();
    for place in [DRIVER, MACHINE] {
        if let Some(table) = schema.pointer_mut(place).and_then(Value::as_object_mut) {
            table.extend(names.iter().map(|name| (name.clone(), json!({ "type": "object" }))));
        }
    }
    for place in ["/properties/defaults/properties/driver/enum", &format!("{MACHINE}/driver/enum")]
    {
        if let Some(words) = schema.pointer_mut(place).and_then(Value::as_array_mut) {
            words.extend(names.iter().cloned().map(Value::String));
        }
    }
    names
}

/// Whether the file names a driver that is not known, or has a table that may be one's.
fn has_unknown(file: &DeTable<'_>, drivers: &BTreeSet<String>, machine: &BTreeSet<String>) -> bool {
    let table = |name: &str| file.get(name).and_then(|value| value.get_ref().as_table());
    let named = |table: &DeTable<'_>| match table.get("driver").map(Spanned::get_ref) {
        Some(DeValue::String(name)) => !DRIVERS.contains(&name.as_ref()),
        _ => false,
    };
    let unknown = |table: &DeTable<'_>, known: &BTreeSet<String>| {
        table.iter().any(|(key, value)| {
            value.get_ref().is_table() && !known.contains(key.get_ref().as_ref())
        })
    };
    let machines = table("machine").into_iter().flat_map(|all| all.values());
    let mut machines = machines.filter_map(|value| value.get_ref().as_table());
    table("defaults").is_some_and(named)
        || table("driver").is_some_and(|table| unknown(table, drivers))
        || machines.any(|table| named(table) || unknown(table, machine))
}

/// Tables that were taken out of a file.
#[derive(Default)]
pub(crate) struct Taken {
    driver: Tables,
    machines: BTreeMap<String, Tables>,
}

/// Takes the tables of these drivers out of a file, which is then as the types have it.
pub(crate) fn take(
    file: &mut DeTable<'_>,
    names: &BTreeSet<String>,
    problems: &mut Problems,
) -> Taken {
    let mut taken = Taken::default();
    let mut from = |table: &mut DeTable<'_>| -> Tables {
        let tables = names.iter().filter_map(|name| {
            let value = table.remove(name.as_str())?;
            let span = value.span();
            match toml::Table::deserialize(ValueDeserializer::from(value)) {
                Ok(options) => Some((name.clone(), At::new(span, options))),
                Err(error) => {
                    let message = error.message().to_owned();
                    problems
                        .push(Problem::error(format!("bad options of `{name}`")).at(span, message));
                    None
                }
            }
        });
        tables.collect()
    };
    if names.is_empty() {
        return taken;
    }
    let table = |value: Option<&mut Spanned<DeValue<'_>>>,
                 work: &mut dyn FnMut(&mut DeTable<'_>)| {
        if let Some(DeValue::Table(table)) = value.map(Spanned::get_mut) {
            work(table);
        }
    };
    table(file.get_mut("driver"), &mut |driver| taken.driver = from(driver));
    table(file.get_mut("machine"), &mut |machines| {
        for (name, machine) in machines.iter_mut() {
            if let DeValue::Table(machine) = machine.get_mut() {
                taken.machines.insert(name.get_ref().to_string(), from(machine));
            }
        }
    });
    taken
}

impl Taken {
    /// Gives the tables to the file that was read without them.
    pub(crate) fn put(mut self, file: &mut File) {
        file.driver.others = self.driver;
        for (name, machine) in &mut file.machine {
            machine.get_mut().others = self.machines.remove(name.get()).unwrap_or_default();
        }
    }
}
