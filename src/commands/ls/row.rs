//! One machine of the list, in words.

use std::time::Duration;

use fleet_driver::Power;
use serde_json::{Value, json};

use crate::commands::{Session, active};
use crate::config::{Role, Spec};
use crate::engine::{NodeFacts, SwarmState};
use crate::observe::{EngineSeen, Glance, Observed, Seen, Trouble};

/// One row of the table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) driver: String,
    /// Which of the driver's hosts it is on, where there are several.
    pub(super) host: Option<String>,
    pub(super) state: String,
    pub(super) url: String,
    pub(super) swarm: String,
    pub(super) engine: String,
    pub(super) error: String,
    took: Duration,
}

impl Row {
    /// The row of a machine of the file.
    pub(super) fn of(session: &Session, spec: &Spec, glance: &Glance) -> Self {
        let observed = &glance.observed;
        let seen = observed.machines.get(&spec.name);
        let trouble = glance.troubles.get(&spec.name);
        let sighting = seen.and_then(|s| s.sighting.as_ref());
        let url = sighting
            .filter(|s| s.power == Power::Running)
            .and_then(|s| s.engine)
            .map(|address| format!("tcp://{address}"))
            .unwrap_or_default();
        let facts = seen.and_then(Seen::facts);
        let state = match trouble {
            Some(Trouble::Late(_)) => "Timeout",
            Some(Trouble::Failed(_)) => "Unknown",
            None => state_word(seen),
        };
        Self {
            name: spec.name.clone(),
            active: !url.is_empty() && active::is(&session.host, &url),
            driver: spec.driver.clone(),
            host: sighting.and_then(|s| s.host.clone()),
            state: state.to_owned(),
            swarm: swarm_word(seen, observed),
            engine: facts.map(|f| version(&f.version).to_owned()).unwrap_or_default(),
            error: trouble.map_or_else(|| error(seen), ToString::to_string),
            url,
            took: glance.took.get(&spec.name).copied().unwrap_or_default(),
        }
    }

    /// Whether its engine is part of the swarm, as the column shows it.
    pub(super) fn in_swarm(&self) -> bool {
        ["manager", "worker"].iter().any(|role| self.swarm.starts_with(role))
    }

    /// The cells of the table.
    pub(super) fn cells(self) -> Vec<String> {
        let active = if self.active { "*" } else { "-" }.to_owned();
        vec![
            self.name,
            active,
            self.driver,
            self.state,
            self.url,
            self.swarm,
            self.engine,
            self.error,
        ]
    }

    /// The row as `--json` shows it.
    pub(super) fn to_json(&self) -> Value {
        let text = |s: &String| if s.is_empty() { Value::Null } else { json!(s) };
        json!({
            "name": self.name,
            "active": self.active,
            "driver": self.driver,
            "host": self.host,
            "state": self.state,
            "url": text(&self.url),
            "swarm": text(&self.swarm),
            "engine": text(&self.engine),
            "error": text(&self.error),
        })
    }

    /// The row under the names that formats know.
    pub(super) fn fields(&self, spec: &Spec) -> Value {
        let version =
            if self.engine.is_empty() { "Unknown".to_owned() } else { format!("v{}", self.engine) };
        json!({
            "Name": self.name,
            "Active": if self.active { "*" } else { "-" },
            "ActiveHost": self.active,
            "ActiveSwarm": false,
            "Address": spec.address,
            "DriverName": self.driver,
            "Host": self.host.clone().unwrap_or_default(),
            "State": self.state,
            "URL": self.url,
            "SwarmOptions": { "IsSwarm": spec.role.is_some(), "Master": spec.role == Some(Role::Manager) },
            "Swarm": self.swarm,
            "EngineOptions": crate::commands::inspect::engine_options(&spec.engine),
            "Labels": spec.labels,
            "Error": self.error,
            "DockerVersion": version,
            "ResponseTime": format!("{}ms", self.took.as_millis()),
        })
    }
}

/// A version without what a distribution adds to it, such as `+dfsg1`.
fn version(full: &str) -> &str {
    full.split('+').next().unwrap_or(full)
}

/// The state of a machine in one word.
pub(in crate::commands) fn state_word(seen: Option<&Seen>) -> &'static str {
    match seen.and_then(|s| s.sighting.as_ref()).map(|s| &s.power) {
        None => "Absent",
        Some(Power::Running) => "Running",
        Some(Power::Stopped) => "Stopped",
        Some(Power::Paused) => "Paused",
        Some(Power::Saved) => "Saved",
        Some(Power::Broken(_)) => "Broken",
    }
}

fn error(seen: Option<&Seen>) -> String {
    let Some(seen) = seen else { return String::new() };
    if let Some(Power::Broken(why)) = seen.sighting.as_ref().map(|s| &s.power) {
        return why.clone();
    }
    match &seen.engine {
        EngineSeen::Silent(why) => why.clone(),
        EngineSeen::Answers(facts) => match &facts.swarm.state {
            SwarmState::Error(why) => why.clone(),
            _ => String::new(),
        },
        EngineSeen::NotAsked => String::new(),
    }
}

fn swarm_word(seen: Option<&Seen>, observed: &Observed) -> String {
    let Some(facts) = seen.and_then(Seen::facts) else { return String::new() };
    match &facts.swarm.state {
        SwarmState::Inactive => String::new(),
        SwarmState::Pending => "joining".to_owned(),
        SwarmState::Locked => "locked".to_owned(),
        SwarmState::Error(_) => "error".to_owned(),
        SwarmState::Active => {
            let node = observed
                .nodes
                .iter()
                .flatten()
                .find(|node| Some(&node.id) == facts.swarm.node_id.as_ref());
            node.map_or_else(
                || if facts.swarm.manager { "manager" } else { "worker" }.to_owned(),
                node_word,
            )
        }
    }
}

fn node_word(node: &NodeFacts) -> String {
    use crate::config::Availability::{Active, Drain, Pause};
    let role = match node.role {
        Role::Manager if node.leader => "manager (leader)",
        Role::Manager => "manager",
        Role::Worker => "worker",
    };
    let trouble = match (node.ready, node.availability) {
        (false, _) => format!(", {}", node.state),
        (true, Active) => String::new(),
        (true, Drain) => ", drain".to_owned(),
        (true, Pause) => ", pause".to_owned(),
    };
    format!("{role}{trouble}")
}
