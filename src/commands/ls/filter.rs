//! `--filter KEY=VALUE`: several of one key are any of them, several keys all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use regex_lite::Regex;

use super::row::Row;
use crate::config::{Role, Spec};

/// What `--filter` knows, for its messages.
const KEYS: &str = "driver, label, name, state and swarm";

/// One condition.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// The driver's name.
    Driver(String),
    /// What `ls` shows as the state, in any case.
    State(String),
    /// An expression that the name matches somewhere.
    Name(Regex),
    /// A label of the engine or the node, and its value if it matters.
    Label(String, Option<String>),
    /// A part in the swarm, or the name of a manager of it.
    Swarm(String),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("a filter is KEY=VALUE, and its keys are {KEYS}"))?;
        let value = value.to_owned();
        match key.trim().to_lowercase().as_str() {
            "driver" => Ok(Self::Driver(value)),
            "state" => Ok(Self::State(value)),
            "name" => Regex::new(&value).map(Self::Name).map_err(|error| error.to_string()),
            "label" => Ok(match value.split_once('=') {
                Some((label, value)) => Self::Label(label.to_owned(), Some(value.to_owned())),
                None => Self::Label(value, None),
            }),
            "swarm" => Ok(Self::Swarm(value)),
            other => Err(format!("there is no filter `{other}`; there are {KEYS}")),
        }
    }
}

impl Filter {
    fn key(&self) -> &'static str {
        match self {
            Self::Driver(_) => "driver",
            Self::State(_) => "state",
            Self::Name(_) => "name",
            Self::Label(..) => "label",
            Self::Swarm(_) => "swarm",
        }
    }

    /// Whether the file alone answers it.
    fn is_of_the_file(&self) -> bool {
        !matches!(self, Self::State(_) | Self::Swarm(_))
    }

    fn file_says(&self, spec: &Spec) -> bool {
        match self {
            Self::Driver(driver) => spec.driver == *driver,
            Self::Name(name) => name.is_match(&spec.name),
            Self::Label(label, value) => [&spec.labels, &spec.engine.labels]
                .iter()
                .filter_map(|labels| labels.get(label))
                .any(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::State(_) | Self::Swarm(_) => true,
        }
    }

    fn shows(&self, row: &Row, managers: &BTreeSet<String>) -> bool {
        match self {
            Self::State(state) => row.state.eq_ignore_ascii_case(state),
            Self::Swarm(part) => {
                let role = row.swarm.split([' ', ',']).next().unwrap_or_default();
                let leads = part == "leader" && row.swarm.contains("(leader)");
                let member = row.in_swarm() && managers.contains(part);
                (!part.is_empty() && role == part)
                    || leads
                    || member
                    || (part.is_empty() && role.is_empty())
            }
            Self::Driver(_) | Self::Name(_) | Self::Label(..) => true,
        }
    }
}

/// Whether the file alone answers all of them.
pub(super) fn of_the_file(filters: &[Filter]) -> bool {
    filters.iter().all(Filter::is_of_the_file)
}

/// The machines that may pass, as far as the file says.
pub(super) fn named(filters: &[Filter], specs: &[Spec]) -> Vec<Spec> {
    let passes = |spec: &&Spec| all(filters, |filter| filter.file_says(spec));
    specs.iter().filter(passes).cloned().collect()
}

/// Keeps the rows that pass; `specs` are all machines of the file.
pub(super) fn seen(filters: &[Filter], specs: &[Spec], rows: &mut Vec<Row>) {
    let manages = |spec: &&Spec| spec.role == Some(Role::Manager);
    let managers = specs.iter().filter(manages).map(|spec| spec.name.clone()).collect();
    rows.retain(|row| all(filters, |filter| filter.shows(row, &managers)));
}

/// Whether of each key one condition holds.
fn all(filters: &[Filter], holds: impl Fn(&Filter) -> bool) -> bool {
    let mut keys: BTreeMap<&str, bool> = BTreeMap::new();
    for filter in filters {
        *keys.entry(filter.key()).or_default() |= holds(filter);
    }
    keys.into_values().all(|passes| passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fleet;

    fn names(filters: &[&str]) -> String {
        let text = "[defaults]\nlabels.site = \"lab\"\n[machine.db]\ndriver = \"libvirt\"\n\
                    labels.site = \"attic\"\nengine.labels.disk = \"ssd\"\n[machine.web]\ncount = 2\n";
        let fleet = Fleet::parse(text, "machines.toml", &BTreeMap::new()).unwrap();
        let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
        let found = named(&filters, &fleet.machines);
        found.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_same_key_is_any_and_different_keys_are_all() {
        assert_eq!(names(&[]), "db web-1 web-2");
        assert_eq!(names(&["name=web"]), "web-1 web-2");
        assert_eq!(names(&["name=^web-2$"]), "web-2");
        assert_eq!(names(&["name=1", "name=db"]), "db web-1");
        assert_eq!(names(&["driver=qemu", "name=1", "name=db"]), "web-1");
        assert_eq!(names(&["label=site=lab"]), "web-1 web-2");
        assert_eq!(names(&["label=disk"]), "db");
        assert_eq!(names(&["label=site=lab", "label=site=attic"]), "db web-1 web-2");
        assert_eq!(names(&["label=none"]), "");
    }

    #[test]
    fn a_wrong_filter_is_told() {
        let told = |text: &str| text.parse::<Filter>().unwrap_err();
        assert!(told("colour=red").contains("there is no filter `colour`; there are driver"));
        assert!(told("web").contains("KEY=VALUE"));
        assert!(!told("name=(").is_empty());
    }
}
