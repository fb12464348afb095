//! The verbs of a swarm. Tokens live in memory only.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{
    NodeSpec, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, SwarmInitRequest, SwarmJoinRequest,
    SwarmSpec, SwarmSpecOrchestration,
};
use bollard::query_parameters::{
    DeleteNodeOptionsBuilder, LeaveSwarmOptionsBuilder, ListTasksOptionsBuilder,
    UpdateNodeOptionsBuilder,
};
use fleet_driver::{Cx, Error, ErrorKind, Result, Secret, wait};

use super::facts::{self, SwarmState, TaskFacts};
use super::{Engine, QUICK, SLOW};
use crate::config::{Availability, Role, Swarm};

/// The port on which managers talk to nodes.
pub const SWARM_PORT: u16 = 2377;

/// How long a change of a node is tried again.
const UPDATE: Duration = Duration::from_secs(30);

/// The words with which engines join; never shown.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Joins as a manager.
    pub manager: Secret<String>,
    /// Joins as a worker.
    pub worker: Secret<String>,
}

/// Whether to do what the swarm would refuse, such as letting a manager leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Respect the refusal.
    No,
    /// Do it all the same.
    Yes,
}

impl Force {
    fn yes(self) -> bool {
        self == Self::Yes
    }
}

impl Engine {
    /// Makes a swarm with this engine as its first manager, advertised at `advertise`.
    ///
    /// # Errors
    /// `Conflict`: it is in a swarm already. Else as [`Engine::facts`].
    pub async fn swarm_init(&self, advertise: Ipv4Addr, swarm: &Swarm, cx: &Cx) -> Result<()> {
        let pools = !swarm.address_pools.is_empty();
        let request = SwarmInitRequest {
            listen_addr: Some(format!("0.0.0.0:{SWARM_PORT}")),
            advertise_addr: Some(format!("{advertise}:{SWARM_PORT}")),
            default_addr_pool: pools.then(|| swarm.address_pools.clone()),
            subnet_size: pools.then_some(swarm.subnet_size),
            spec: Some(SwarmSpec {
                orchestration: Some(SwarmSpecOrchestration {
                    task_history_retention_limit: Some(swarm.task_history),
                }),
                ..SwarmSpec::default()
            }),
            ..SwarmInitRequest::default()
        };
        let asked = self.docker.init_swarm(request);
        match self.call(cx, SLOW, "make the swarm", asked).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.as_newcomer(error, cx).await),
        }
    }

    /// Makes the swarm of this manager decide again, with this manager alone.
    ///
    /// For a swarm most of whose managers are gone for good; services and nodes stay.
    ///
    /// # Errors
    /// As [`Engine::facts`].
    pub async fn swarm_recover(&self, advertise: Ipv4Addr, cx: &Cx) -> Result<()> {
        let request = SwarmInitRequest {
            listen_addr: Some(format!("0.0.0.0:{SWARM_PORT}")),
            advertise_addr: Some(format!("{advertise}:{SWARM_PORT}")),
            force_new_cluster: Some(true),
            spec: Some(SwarmSpec::default()),
            ..SwarmInitRequest::default()
        };
        let asked = self.docker.init_swarm(request);
        self.call(cx, SLOW, "bring the swarm back", asked).await.map(drop)
    }

    /// Asks a manager for the join tokens.
    ///
    /// # Errors
    /// As [`Engine::nodes`].
    pub async fn tokens(&self, cx: &Cx) -> Result<Tokens> {
        let asked = self.docker.inspect_swarm();
        let swarm = match self.call(cx, QUICK, "ask for the join tokens", asked).await {
            Ok(swarm) => swarm,
            Err(error) => return Err(self.as_manager(error, cx).await),
        };
        let tokens = swarm.join_tokens.unwrap_or_default();
        match (tokens.manager, tokens.worker) {
            (Some(manager), Some(worker)) if !manager.is_empty() && !worker.is_empty() => {
                Ok(Tokens { manager: Secret::new(manager), worker: Secret::new(worker) })
            }
            _ => Err(Error::guest("the manager gave no join tokens").with("engine", self.address)),
        }
    }

    /// Joins the swarm of the managers at `remotes`, advertised at `advertise`.
    ///
    /// An engine that turns out to be in that swarm has joined.
    ///
    /// # Errors
    /// `Conflict`: it is in another swarm. `Busy`: no manager answers yet, or joining
    /// goes on in the background. Else as [`Engine::facts`].
    pub async fn join(
        &self,
        advertise: Ipv4Addr,
        remotes: &[Ipv4Addr],
        token: &Secret<String>,
        cx: &Cx,
    ) -> Result<()> {
        let remotes: Vec<String> = remotes.iter().map(|ip| format!("{ip}:{SWARM_PORT}")).collect();
        let request = SwarmJoinRequest {
            listen_addr: Some(format!("0.0.0.0:{SWARM_PORT}")),
            advertise_addr: Some(format!("{advertise}:{SWARM_PORT}")),
            remote_addrs: Some(remotes.clone()),
            join_token: Some(token.expose().clone()),
            ..SwarmJoinRequest::default()
        };
        let asked = self.docker.join_swarm(request);
        let Err(error) = self.call(cx, SLOW, "join the swarm", asked).await else {
            return Ok(());
        };
        if error.kind() == ErrorKind::Busy
            && let Ok(facts) = self.facts(cx).await
            && facts.swarm.state == SwarmState::Active
            && facts.swarm.managers.iter().any(|manager| remotes.contains(manager))
        {
            return Ok(());
        }
        Err(self.as_newcomer(error, cx).await)
    }

    /// Leaves the swarm; an engine outside any swarm has left.
    ///
    /// # Errors
    /// `Conflict`: it is a manager and `force` is [`Force::No`]. Else as
    /// [`Engine::facts`].
    pub async fn leave(&self, force: Force, cx: &Cx) -> Result<()> {
        let options = LeaveSwarmOptionsBuilder::new().force(force.yes()).build();
        let asked = self.docker.leave_swarm(Some(options));
        let Err(error) = self.call(cx, SLOW, "leave the swarm", asked).await else {
            return Ok(());
        };
        if error.kind() != ErrorKind::Busy {
            return Err(error);
        }
        match self.facts(cx).await {
            Ok(facts) if facts.swarm.state == SwarmState::Inactive => Ok(()),
            Ok(facts) if facts.swarm.manager && force == Force::No => {
                Err(Error::conflict("a manager leaves only once it is demoted")
                    .with("engine", self.address)
                    .because(error))
            }
            _ => Err(error),
        }
    }

    /// Sets role, availability and all labels of a node; does nothing where they are
    /// so already.
    ///
    /// Labels not in `labels` are removed. An update that another one overtook is
    /// tried again.
    ///
    /// # Errors
    /// `NotFound`: no such node. `Guest`: the swarm refuses, such as demoting the last
    /// manager. Else as [`Engine::nodes`].
    pub async fn update_node(
        &self,
        id: &str,
        role: Role,
        availability: Availability,
        labels: &BTreeMap<String, String>,
        cx: &Cx,
    ) -> Result<()> {
        let cx = cx.within(UPDATE.min(cx.left()));
        wait::until(&cx, "the swarm to update the node", "", || {
            self.try_update_node(id, role, availability, labels, &cx)
        })
        .await
    }

    async fn try_update_node(
        &self,
        id: &str,
        role: Role,
        availability: Availability,
        labels: &BTreeMap<String, String>,
        cx: &Cx,
    ) -> Result<()> {
        let asked = self.docker.inspect_node(id);
        let node = match self.call(cx, QUICK, "look at the node", asked).await {
            Ok(node) => node,
            Err(error) => return Err(self.as_manager(error, cx).await),
        };
        let version = node.version.as_ref().and_then(|v| v.index).unwrap_or_default();
        let now = node.spec.clone().unwrap_or_default();
        let wanted = NodeSpec {
            name: now.name.clone(),
            labels: Some(labels.clone().into_iter().collect()),
            role: Some(match role {
                Role::Manager => NodeSpecRoleEnum::MANAGER,
                Role::Worker => NodeSpecRoleEnum::WORKER,
            }),
            availability: Some(match availability {
                Availability::Active => NodeSpecAvailabilityEnum::ACTIVE,
                Availability::Pause => NodeSpecAvailabilityEnum::PAUSE,
                Availability::Drain => NodeSpecAvailabilityEnum::DRAIN,
            }),
        };
        let seen = super::facts::node(node);
        if (seen.role, seen.availability, &seen.labels) == (role, availability, labels) {
            return Ok(());
        }
        // The engine reads the version, an unsigned 64-bit number, from the query.
        let options = UpdateNodeOptionsBuilder::new()
            .version(i64::try_from(version).unwrap_or(i64::MAX))
            .build();
        let asked = self.docker.update_node(id, wanted, options);
        match self.call(cx, QUICK, "update the node", asked).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.as_manager(error, cx).await),
        }
    }

    /// Removes a node from the swarm; an unknown node is removed already.
    ///
    /// # Errors
    /// `Busy`: it is not down yet, or still a manager, and `force` is [`Force::No`].
    /// Else as [`Engine::nodes`].
    pub async fn remove_node(&self, id: &str, force: Force, cx: &Cx) -> Result<()> {
        let options = DeleteNodeOptionsBuilder::new().force(force.yes()).build();
        let asked = self.docker.delete_node(id, Some(options));
        match self.call(cx, QUICK, "remove the node", asked).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // The one refusal there is: the node's state, which passes.
            Err(error) if error.kind() == ErrorKind::Guest && force == Force::No => {
                Err(Error::busy("the node cannot be removed yet")
                    .with("engine", self.address)
                    .because(error))
            }
            Err(error) => Err(self.as_manager(error, cx).await),
        }
    }

    /// Lists the tasks of the swarm's services that run or should.
    ///
    /// # Errors
    /// As [`Engine::nodes`].
    pub async fn tasks(&self, cx: &Cx) -> Result<Vec<TaskFacts>> {
        let filters = HashMap::from([("desired-state", vec!["running", "shutdown"])]);
        let options = ListTasksOptionsBuilder::new().filters(&filters).build();
        let asked = self.docker.list_tasks(Some(options));
        match self.call(cx, QUICK, "list the tasks", asked).await {
            Ok(tasks) => Ok(tasks.into_iter().map(facts::task).collect()),
            Err(error) => Err(self.as_manager(error, cx).await),
        }
    }

    /// The names of the swarm's services, by their ids.
    ///
    /// # Errors
    /// As [`Engine::nodes`].
    pub async fn services(&self, cx: &Cx) -> Result<BTreeMap<String, String>> {
        let asked = self.docker.list_services(None);
        match self.call(cx, QUICK, "list the services", asked).await {
            Ok(services) => Ok(services
                .into_iter()
                .filter_map(|service| Some((service.id?, service.spec?.name?)))
                .collect()),
            Err(error) => Err(self.as_manager(error, cx).await),
        }
    }

    /// Says what a failed manager's call means, by looking at the engine again.
    ///
    /// The engine answers "not a manager", "no leader" and "update out of sequence"
    /// with the same few status codes (500 and 503, and 406 before 17.10).
    pub(super) async fn as_manager(&self, error: Error, cx: &Cx) -> Error {
        if error.kind() != ErrorKind::Busy {
            return error;
        }
        let Ok(facts) = self.facts(cx).await else {
            return error;
        };
        let conflict = |message: &str| self.conflict(message, &error);
        match facts.swarm.state {
            SwarmState::Inactive => conflict("the engine is in no swarm"),
            SwarmState::Locked => {
                conflict("the swarm is locked").hint("unlock it with `docker swarm unlock`")
            }
            SwarmState::Error(reason) => self.unwell(reason, &error),
            SwarmState::Active if !facts.swarm.manager => {
                conflict("the engine is not a manager of its swarm")
            }
            SwarmState::Active | SwarmState::Pending => error,
        }
    }

    fn conflict(&self, message: &str, cause: &Error) -> Error {
        Error::conflict(message).with("engine", self.address).because(error_text(cause))
    }

    fn unwell(&self, reason: String, cause: &Error) -> Error {
        self.conflict("the engine is not well in its swarm", cause)
            .with("reason", reason)
            .hint("take it out with `docker swarm leave --force`, then run `fleet up`")
    }

    /// Says what a failed init or join means, by looking at the engine again.
    async fn as_newcomer(&self, error: Error, cx: &Cx) -> Error {
        if error.kind() != ErrorKind::Busy {
            return error;
        }
        let Ok(facts) = self.facts(cx).await else {
            return error;
        };
        let conflict = |message: &str| self.conflict(message, &error);
        match facts.swarm.state {
            SwarmState::Active => conflict("the engine is in a swarm already"),
            SwarmState::Locked => conflict("the engine is in a locked swarm already"),
            SwarmState::Error(reason) => self.unwell(reason, &error),
            SwarmState::Inactive | SwarmState::Pending => error,
        }
    }
}

fn error_text(error: &Error) -> std::io::Error {
    std::io::Error::other(error.to_string())
}
