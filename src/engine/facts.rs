//! What an engine says of itself and of its swarm.

use std::collections::BTreeMap;

use bollard::models::{
    LocalNodeState, Node, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, NodeState, Reachability,
    SystemInfo,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{Availability, Role};

/// The engine's label that holds the digest of the settings it runs with.
pub const SETTINGS_LABEL: &str = "fleet.settings";
/// The engine's label that tells when its certificate ends, in the form of RFC 3339.
pub const CERT_ENDS_LABEL: &str = "fleet.cert-ends";

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineFacts {
    /// Its version, such as `20.10.24+dfsg1`.
    pub version: String,
    /// Its host name.
    pub hostname: String,
    /// Its labels, as `key=value`.
    pub labels: Vec<String>,
    /// Its part in a swarm.
    pub swarm: SwarmFacts,
}

impl EngineFacts {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find_map(|label| {
            let (found, value) = label.split_once('=')?;
            (found == key).then_some(value)
        })
    }

    /// The digest of the settings that the running engine was started with.
    pub fn settings(&self) -> Option<&str> {
        self.label(SETTINGS_LABEL)
    }

    /// When the certificate ends that the running engine was started with.
    pub fn cert_ends(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.label(CERT_ENDS_LABEL)?, &Rfc3339).ok()
    }
}

/// An engine's part in a swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwarmFacts {
    /// Whether it takes part.
    pub state: SwarmState,
    /// Its id as a node.
    pub node_id: Option<String>,
    /// The address it advertises.
    pub node_addr: Option<String>,
    /// Whether it is a manager that answers for the swarm.
    pub manager: bool,
    /// The swarm's id; managers alone know it.
    pub cluster_id: Option<String>,
    /// The managers it knows, as `address:port`.
    pub managers: Vec<String>,
}

/// Whether an engine takes part in a swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SwarmState {
    /// It does not.
    Inactive,
    /// It is joining.
    Pending,
    /// It does.
    Active,
    /// It is a manager that waits for its unlock key.
    Locked,
    /// It cannot, for this reason.
    Error(String),
}

/// A node of a swarm, as a manager sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeFacts {
    /// Its id.
    pub id: String,
    /// Its host name.
    pub hostname: String,
    /// Its address as the managers see it; empty if unknown.
    pub address: String,
    /// The part it should play.
    pub role: Role,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Whether it is ready.
    pub ready: bool,
    /// Its state, such as `ready`, `down`, or `unknown`, with the reason where the
    /// swarm gives one.
    pub state: String,
    /// Whether it leads the managers.
    pub leader: bool,
    /// Whether it is a manager that the others reach.
    pub reachable: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The version of its engine; empty if unknown.
    pub engine: String,
}

pub(super) fn engine(info: SystemInfo) -> EngineFacts {
    let swarm = info.swarm.unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
    let state = match swarm.local_node_state {
        None | Some(LocalNodeState::EMPTY | LocalNodeState::INACTIVE) => SwarmState::Inactive,
        Some(LocalNodeState::PENDING) => SwarmState::Pending,
        Some(LocalNodeState::ACTIVE) => SwarmState::Active,
        Some(LocalNodeState::LOCKED) => SwarmState::Locked,
        Some(LocalNodeState::ERROR) => {
            SwarmState::Error(super::failure::redact(&swarm.error.unwrap_or_default()))
        }
    };
    EngineFacts {
        version: info.server_version.unwrap_or_default(),
        hostname: info.name.unwrap_or_default(),
        labels: info.labels.unwrap_or_default(),
        swarm: SwarmFacts {
            state,
            node_id: filled(swarm.node_id),
            node_addr: filled(swarm.node_addr),
            manager: swarm.control_available.unwrap_or_default(),
            cluster_id: filled(swarm.cluster.and_then(|cluster| cluster.id)),
            managers: swarm
                .remote_managers
                .unwrap_or_default()
                .into_iter()
                .filter_map(|peer| peer.addr)
                .collect(),
        },
    }
}

pub(super) fn node(node: Node) -> NodeFacts {
    let spec = node.spec.unwrap_or_default();
    let description = node.description.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let manager = node.manager_status.unwrap_or_default();
    let state = match status.state {
        Some(NodeState::READY) => "ready",
        Some(NodeState::DOWN) => "down",
        Some(NodeState::DISCONNECTED) => "disconnected",
        Some(NodeState::UNKNOWN) | None => "unknown",
    };
    let message = status.message.unwrap_or_default();
    NodeFacts {
        id: node.id.unwrap_or_default(),
        hostname: description.hostname.unwrap_or_default(),
        address: status.addr.unwrap_or_default(),
        role: match spec.role {
            Some(NodeSpecRoleEnum::MANAGER) => Role::Manager,
            Some(NodeSpecRoleEnum::WORKER | NodeSpecRoleEnum::EMPTY) | None => Role::Worker,
        },
        availability: match spec.availability {
            Some(NodeSpecAvailabilityEnum::PAUSE) => Availability::Pause,
            Some(NodeSpecAvailabilityEnum::DRAIN) => Availability::Drain,
            Some(NodeSpecAvailabilityEnum::ACTIVE | NodeSpecAvailabilityEnum::EMPTY) | None => {
                Availability::Active
            }
        },
        ready: status.state == Some(NodeState::READY),
        state: if message.is_empty() { state.to_owned() } else { format!("{state}: {message}") },
        leader: manager.leader.unwrap_or_default(),
        reachable: manager.reachability == Some(Reachability::REACHABLE),
        labels: spec.labels.unwrap_or_default().into_iter().collect(),
        engine: description.engine.and_then(|e| e.engine_version).unwrap_or_default(),
    }
}
