//! The nodes of a simulated swarm, as its managers see them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::State;
use super::journal::What;
use super::swarm::{Answer, refuse};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Manager,
    Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Active,
    Pause,
    Drain,
}

/// What the managers think of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Unknown,
    Ready,
    Down,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub id: String,
    /// The machine, and which of its disks.
    pub host: String,
    pub incarnation: u64,
    pub hostname: String,
    pub addr: String,
    pub version: u64,
    /// What it should be.
    pub role: Role,
    /// What its engine takes itself for.
    pub acting: Role,
    /// Whether it is a member of the managers' raft.
    pub raft: bool,
    pub availability: Availability,
    pub labels: BTreeMap<String, String>,
    pub state: Standing,
    pub engine: String,
    pub was_ready: bool,
    /// Whether its engine has had a word with a leader since it was started.
    pub session: bool,
    pub gone: Option<Instant>,
    pub changing: Option<Instant>,
}

impl Node {
    pub fn new(id: &str, host: &str, role: Role, addr: &str) -> Self {
        Self {
            id: id.to_owned(),
            host: host.to_owned(),
            incarnation: 0,
            hostname: host.to_owned(),
            addr: addr.to_owned(),
            version: 0,
            role,
            acting: role,
            raft: role == Role::Manager,
            availability: Availability::Active,
            labels: BTreeMap::new(),
            state: Standing::Unknown,
            engine: String::new(),
            was_ready: false,
            session: false,
            gone: None,
            changing: None,
        }
    }

    /// Whether tasks may run here.
    pub fn takes_tasks(&self) -> bool {
        self.state == Standing::Ready && self.availability != Availability::Drain
    }
}

/// Reads a `NodeSpec`.
pub fn spec(body: &Value) -> Answer<(Role, Availability, BTreeMap<String, String>)> {
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let role = match word("Role").as_str() {
        "manager" => Role::Manager,
        "worker" => Role::Worker,
        other => return refuse(400, format!("invalid Role: \"{other}\"")),
    };
    let availability = match word("Availability").as_str() {
        "active" => Availability::Active,
        "pause" => Availability::Pause,
        "drain" => Availability::Drain,
        other => return refuse(400, format!("invalid Availability: \"{other}\"")),
    };
    let labels = body["Labels"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((role, availability, labels.map(|(k, v)| (k.clone(), text(v))).collect()))
}

impl State {
    pub fn node_json(&self, at: usize, node: &Node) -> Value {
        let swarm = &self.swarms[at];
        let mut value = json!({
            "ID": node.id,
            "Version": { "Index": node.version },
            "CreatedAt": "2026-01-01T00:00:00Z",
            "UpdatedAt": "2026-01-01T00:00:00Z",
            "Spec": {
                "Labels": node.labels,
                "Role": match node.role {
                    Role::Manager => "manager",
                    Role::Worker => "worker",
                },
                "Availability": match node.availability {
                    Availability::Active => "active",
                    Availability::Pause => "pause",
                    Availability::Drain => "drain",
                },
            },
            "Description": {
                "Hostname": node.hostname,
                "Platform": { "Architecture": "x86_64", "OS": "linux" },
                "Engine": { "EngineVersion": node.engine },
            },
            "Status": match node.state {
                Standing::Ready => json!({ "State": "ready", "Addr": node.addr }),
                Standing::Unknown => json!({ "State": "unknown", "Addr": node.addr }),
                Standing::Down => json!({
                    "State": "down", "Message": "heartbeat failure", "Addr": node.addr
                }),
            },
        });
        if node.raft {
            let reachable = self.alive(&swarm.id, node);
            value["ManagerStatus"] = json!({
                "Reachability": if reachable { "reachable" } else { "unreachable" },
                "Addr": format!("{}:2377", node.addr),
            });
            if swarm.leader.as_deref() == Some(&node.id) {
                value["ManagerStatus"]["Leader"] = json!(true);
            }
        }
        value
    }

    /// Finds a node by its id or host name, as the API does.
    pub fn find_node(&self, at: usize, key: &str) -> Answer<String> {
        let nodes = &self.swarms[at].nodes;
        if let Some(node) = nodes.iter().find(|node| node.id == key) {
            return Ok(node.id.clone());
        }
        let named: Vec<&Node> = nodes.iter().filter(|node| node.hostname == key).collect();
        match named.as_slice() {
            [] => refuse(404, format!("node {key} not found")),
            [node] => Ok(node.id.clone()),
            many => refuse(400, format!("node {key} is ambiguous ({} matches found)", many.len())),
        }
    }

    pub fn remove_node(&mut self, at: usize, id: &str, force: bool) -> Answer<()> {
        let swarm = &mut self.swarms[at];
        let Some(place) = swarm.nodes.iter().position(|node| node.id == id) else {
            return refuse(404, format!("node {id} not found"));
        };
        let node = &swarm.nodes[place];
        let failed = |text: String| {
            refuse(400, format!("rpc error: code = FailedPrecondition desc = {text}"))
        };
        if node.role == Role::Manager && node.raft {
            return failed(format!(
                "node {id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"
            ));
        }
        if !force && node.state == Standing::Ready {
            return failed(format!("node {id} is not down and can't be removed"));
        }
        let node = swarm.nodes.remove(place);
        let lost = self.lose_tasks(at, id);
        if lost > 0 {
            self.journal.note(&node.host, What::TasksLost(lost));
        }
        self.journal.note(&node.host, What::Removed);
        Ok(())
    }
}
