//! Simulated swarms: managers, their leader and their quorum, and what changes of nodes
//! they allow. Texts and statuses are those of moby and swarmkit.

use std::time::Instant;

use super::State;
use super::disk::Membership;
use super::guest::Phase;
use super::journal::What;
use super::nodes::{Availability, Node, Role, Standing};
use super::tasks::{Service, Task};

/// A refusal: status and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub u16, pub String);

pub type Answer<T> = Result<T, Refusal>;

pub fn refuse<T>(status: u16, text: impl Into<String>) -> Answer<T> {
    Err(Refusal(status, text.into()))
}

const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.";
const NOT_IN_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
pub const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";

pub struct Swarm {
    pub id: String,
    pub worker_token: String,
    pub manager_token: String,
    pub nodes: Vec<Node>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub leader: Option<String>,
    pub electing: Option<Instant>,
    pub had_quorum: bool,
    /// Grows with every change of an object.
    pub index: u64,
}

impl Swarm {
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    pub fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }
}

impl State {
    pub fn swarm(&mut self, id: &str) -> &mut Swarm {
        self.swarms.iter_mut().find(|swarm| swarm.id == id).expect("members know their swarm")
    }

    /// Whether the node's own engine runs and believes to be that node.
    pub fn alive(&self, swarm: &str, node: &Node) -> bool {
        let Some(guest) = self.guests.get(&node.host) else { return false };
        guest.incarnation == node.incarnation
            && guest.phase == Phase::Up
            && guest.engine_up()
            && matches!(&guest.disk.membership, Membership::Node { swarm: s, node: n } if s == swarm && *n == node.id)
    }

    /// The raft's members of a swarm: how many can be reached, and how many there are.
    pub fn managers(&self, swarm: usize) -> (usize, usize) {
        let swarm = &self.swarms[swarm];
        let members = || swarm.nodes.iter().filter(|node| node.raft);
        (members().filter(|node| self.alive(&swarm.id, node)).count(), members().count())
    }

    /// The swarm and node that the engine of a guest may speak for as a manager, and its
    /// place in the list of swarms.
    pub fn as_manager(&mut self, name: &str) -> Answer<(usize, String)> {
        let Membership::Node { swarm, node } = self.membership(name).clone() else {
            return refuse(503, NOT_IN_SWARM);
        };
        let at = self.swarms.iter().position(|s| s.id == swarm).expect("members know it");
        match self.swarms[at].node(&node) {
            Some(found) if found.acting == Role::Manager => {}
            _ => return refuse(503, WORKER),
        }
        let raft = self.swarms[at].node(&node).is_some_and(|found| found.raft);
        if self.swarms[at].leader.is_none() || !raft {
            return refuse(500, NO_LEADER);
        }
        Ok((at, node))
    }

    /// What a manager without a leader says of itself in `/info`.
    pub fn leaderless(&self, swarm: usize) -> Option<&'static str> {
        self.swarms[swarm].leader.is_none().then_some(NO_LEADER)
    }

    /// Lets pass what takes time in swarms.
    pub fn settle_swarms(&mut self, now: Instant) {
        for at in 0..self.swarms.len() {
            self.elect(at, now);
            self.follow(at, now);
            self.settle_tasks(at, now);
        }
        self.go_on_joining();
        self.expel();
    }

    fn elect(&mut self, at: usize, now: Instant) {
        let (reachable, all) = self.managers(at);
        let quorum = reachable * 2 > all;
        let election = self.delays.election;
        let swarm = &self.swarms[at];
        let living: Vec<String> = {
            let living = swarm.nodes.iter().filter(|n| n.raft && self.alive(&swarm.id, n));
            living.map(|n| n.id.clone()).collect()
        };
        let host = |id: &str| swarm.node(id).map(|n| n.host.clone()).unwrap_or_default();
        let mut noted = None;
        if swarm.had_quorum != quorum && all > 0 {
            let gone = swarm.nodes.iter().filter(|n| n.raft && !living.contains(&n.id));
            let last = gone.max_by_key(|n| n.gone).map(|n| n.host.clone());
            let back = living.first().map(|id| host(id));
            noted = Some(if quorum {
                (back.unwrap_or_default(), What::QuorumBack)
            } else {
                (last.unwrap_or_default(), What::QuorumLost)
            });
        }
        let leads = swarm.leader.as_ref().is_some_and(|id| living.contains(id));
        let next = living.first().map(|id| (id.clone(), host(id)));
        let swarm = &mut self.swarms[at];
        swarm.had_quorum = quorum;
        if !quorum {
            swarm.leader = None;
            swarm.electing = None;
        } else if !leads {
            swarm.leader = None;
            let since = *swarm.electing.get_or_insert(now);
            if let Some((id, host)) = next
                && now >= since + election
            {
                swarm.electing = None;
                swarm.leader = Some(id);
                self.journal.note(&host, What::BecameLeader);
            }
        }
        if let Some((machine, what)) = noted {
            self.journal.note(&machine, what);
        }
    }

    /// Lets the managers see which nodes are there, and the nodes take their parts.
    fn follow(&mut self, at: usize, now: Instant) {
        let led = self.swarms[at].leader.is_some();
        let mut down = 0;
        for n in 0..self.swarms[at].nodes.len() {
            let swarm = &self.swarms[at];
            let node = &swarm.nodes[n];
            let alive = self.alive(&swarm.id, node);
            let guest = &self.guests[&node.host];
            let seen = (guest.disk.hostname.clone(), guest.disk.engine.clone());
            let mine = guest.incarnation == node.incarnation;
            let (gone_for, role_for) = (self.delays.down, self.delays.role);
            let node = &mut self.swarms[at].nodes[n];
            if alive {
                node.gone = None;
                if led {
                    node.state = Standing::Ready;
                    node.was_ready = true;
                    node.session = true;
                    node.hostname = seen.0;
                    node.engine = seen.1.unwrap_or_default();
                }
                if led && node.role != node.acting {
                    let since = *node.changing.get_or_insert(now);
                    if now >= since + role_for {
                        node.changing = None;
                        node.acting = node.role;
                        node.raft = node.role == Role::Manager;
                    }
                }
            } else {
                node.session = false;
                let since = *node.gone.get_or_insert(now);
                if led && now >= since + gone_for {
                    node.state = Standing::Down;
                }
                // One that has left is not missed.
                let left = mine && guest.disk.membership == Membership::None;
                down += usize::from(node.was_ready && !left);
            }
        }
        self.journal.most_down = self.journal.most_down.max(down);
    }

    /// Tells engines that their node was removed, once a manager can.
    fn expel(&mut self) {
        for guest in self.guests.values_mut() {
            let Membership::Node { swarm, node } = &guest.disk.membership else { continue };
            let found = self.swarms.iter().find(|s| s.id == *swarm).expect("members know it");
            if guest.engine_up() && found.node(node).is_none() {
                guest.disk.membership = Membership::Expelled { node: node.clone() };
            }
        }
    }

    /// Sets role, labels and availability of a node.
    pub fn update_node(
        &mut self,
        at: usize,
        id: &str,
        version: u64,
        wanted: (Role, Availability, std::collections::BTreeMap<String, String>),
    ) -> Answer<()> {
        let (reachable, all) = self.managers(at);
        let swarm = &self.swarms[at];
        let Some(node) = swarm.node(id) else {
            return refuse(404, format!("node {id} not found"));
        };
        let (role, availability, labels) = wanted;
        let failed =
            |text: &str| refuse(400, format!("rpc error: code = FailedPrecondition desc = {text}"));
        if node.role == Role::Manager && role == Role::Worker {
            if swarm.nodes.iter().filter(|n| n.role == Role::Manager).count() == 1 {
                return failed("attempting to demote the last manager of the swarm");
            }
            if !node.raft {
                return refuse(
                    404,
                    "rpc error: code = NotFound desc = can't find manager in raft memberlist",
                );
            }
            let left = reachable - usize::from(self.alive(&swarm.id, node));
            if left < (all - 1) / 2 + 1 {
                return failed(
                    "can't remove member from the raft: this would result in a loss of quorum",
                );
            }
        }
        if version != node.version {
            return refuse(500, "rpc error: code = Unknown desc = update out of sequence");
        }
        let (host, before) = (node.host.clone(), (node.role, node.availability));
        let index = self.swarms[at].next_index();
        let swarm = &mut self.swarms[at];
        let node = swarm.nodes.iter_mut().find(|n| n.id == id).expect("it was found");
        (node.role, node.availability, node.labels) = (role, availability, labels);
        node.version = index;
        if role == Role::Worker && before.0 == Role::Manager {
            // The raft lets a member go before the member knows.
            node.raft = false;
            if swarm.leader.as_deref() == Some(id) {
                swarm.leader = None;
            }
        }
        match (before.0, role) {
            (Role::Manager, Role::Worker) => self.journal.note(&host, What::Demoted),
            (Role::Worker, Role::Manager) => self.journal.note(&host, What::Promoted),
            _ => {}
        }
        if before.1 != availability {
            let what = match availability {
                Availability::Active => What::Activated,
                Availability::Pause => What::Paused,
                Availability::Drain => What::Drained,
            };
            self.journal.note(&host, what);
        }
        Ok(())
    }
}
