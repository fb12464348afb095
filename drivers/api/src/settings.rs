//! What `machines.toml` says to a driver as a whole, before any machine is spoken of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The options of a driver in one fleet.
///
/// A driver that can reach several hypervisors learns here where to look for machines: the
/// verbs that only name a machine carry no options.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The table `[driver.NAME]`.
    pub driver: toml::Table,
    /// The options of the machines that this driver makes, each table once.
    pub machines: Vec<toml::Table>,
    /// A folder of this user, which need not exist yet, for what can be found out again.
    pub cache: PathBuf,
}
