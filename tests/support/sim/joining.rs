//! How engines come into simulated swarms and leave them. Texts and statuses are those of
//! moby and swarmkit.

use super::State;
use super::disk::Membership;
use super::journal::What;
use super::nodes::{Node, Role};
use super::swarm::{Answer, Swarm, WORKER, refuse};

const EXISTS: &str = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
const LEAVING: &str =
    "You are attempting to leave the swarm on a node that is participating as a manager. ";
pub const LATE: &str = "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \"docker info\" command to see the current swarm status of your node.";

impl State {
    pub fn init(&mut self, name: &str, advertise: &str, force: bool) -> Answer<String> {
        match self.membership(name).clone() {
            Membership::None => {}
            Membership::Node { swarm, node } if force => return self.force(&swarm, &node),
            _ => return refuse(503, EXISTS),
        }
        if force {
            self.journal.complain(name, "a new cluster was forced outside any swarm");
        }
        let (id, tokens) = (self.id(), [self.id(), self.id()]);
        let token = |secret: &str| format!("SWMTKN-1-{id}{id}-{secret}");
        let swarm = Swarm {
            worker_token: token(&tokens[0]),
            manager_token: token(&tokens[1]),
            nodes: Vec::new(),
            services: Vec::new(),
            tasks: Vec::new(),
            leader: None,
            electing: None,
            had_quorum: true,
            index: 10,
            id: id.clone(),
        };
        self.swarms.push(swarm);
        let node = self.add_node(&id, name, Role::Manager, advertise);
        self.swarm(&id).leader = Some(node.clone());
        self.journal.note(name, What::SwarmInitialised);
        self.journal.note(name, What::BecameLeader);
        Ok(node)
    }

    /// Makes a swarm anew around one of its managers, with all it knows. The others stay
    /// managers by name, without a part in its raft.
    fn force(&mut self, swarm: &str, node: &str) -> Answer<String> {
        let own = self.swarm(swarm).node(node).cloned();
        let Some(own) = own.filter(|n| n.acting == Role::Manager) else {
            return refuse(503, WORKER);
        };
        for other in self.swarm(swarm).nodes.iter_mut().filter(|n| n.id != node) {
            other.raft = false;
        }
        self.swarm(swarm).leader = Some(node.to_owned());
        self.journal.note(&own.host, What::SwarmForced);
        Ok(node.to_owned())
    }

    /// Checks a wish to join and begins with it.
    pub fn begin_join(
        &mut self,
        name: &str,
        remotes: &[String],
        token: &str,
        advertise: &str,
    ) -> Answer<()> {
        if *self.membership(name) != Membership::None {
            return refuse(503, EXISTS);
        }
        let lab = &self.guests[name].disk.lab;
        if advertise.split(':').next() != Some(lab.as_str()) {
            let what = format!("joined with the address {advertise}, its own is {lab}");
            self.journal.complain(name, what);
        }
        let Some(remote) = remotes.first() else {
            return refuse(400, "at least 1 RemoteAddr is required to join");
        };
        let Some(at) = self.at_address(remote) else {
            return refuse(
                503,
                format!(
                    "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {remote}: connect: connection refused\""
                ),
            );
        };
        let swarm = &self.swarms[at];
        if token != swarm.worker_token && token != swarm.manager_token {
            return refuse(
                400,
                "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
            );
        }
        let (remote, token) = (remote.clone(), token.to_owned());
        *self.membership(name) = Membership::Joining { remote, token };
        Ok(())
    }

    /// The swarm whose manager answers at an address.
    fn at_address(&self, address: &str) -> Option<usize> {
        let ip = address.split(':').next()?;
        self.swarms.iter().position(|swarm| {
            let mut nodes = swarm.nodes.iter();
            nodes.any(|n| n.raft && n.addr == ip && self.alive(&swarm.id, n))
        })
    }

    /// Goes on with joins; they are done as soon as a manager has a leader.
    pub fn go_on_joining(&mut self) {
        let names: Vec<String> = self.guests.keys().cloned().collect();
        for name in names {
            let guest = &self.guests[&name];
            let Membership::Joining { remote, token } = guest.disk.membership.clone() else {
                continue;
            };
            let at = self.at_address(&remote).filter(|at| self.swarms[*at].leader.is_some());
            let (Some(at), true) = (at, guest.engine_up()) else { continue };
            let role = match &self.swarms[at] {
                swarm if swarm.manager_token == token => Role::Manager,
                swarm if swarm.worker_token == token => Role::Worker,
                _ => continue,
            };
            let (swarm, lab) = (self.swarms[at].id.clone(), guest.disk.lab.clone());
            self.add_node(&swarm, &name, role, &lab);
            let what = match role {
                Role::Manager => What::JoinedAsManager,
                Role::Worker => What::JoinedAsWorker,
            };
            self.journal.note(&name, what);
        }
    }

    fn add_node(&mut self, swarm: &str, name: &str, role: Role, advertise: &str) -> String {
        let id = self.id();
        let guest = &self.guests[name];
        let addr = advertise.split(':').next().unwrap_or_default();
        let mut node = Node::new(&id, name, role, addr);
        node.incarnation = guest.incarnation;
        node.hostname.clone_from(&guest.disk.hostname);
        node.version = self.swarm(swarm).next_index();
        self.swarm(swarm).nodes.push(node);
        *self.membership(name) = Membership::Node { swarm: swarm.to_owned(), node: id.clone() };
        id
    }

    pub fn leave(&mut self, name: &str, force: bool) -> Answer<()> {
        if let Membership::Node { swarm, node } = self.membership(name).clone() {
            let at = self.swarms.iter().position(|s| s.id == swarm).expect("members know it");
            let manager = self.swarms[at].node(&node).is_some_and(|n| n.acting == Role::Manager);
            if manager && !force {
                return refuse(503, self.warning(at));
            }
        } else if *self.membership(name) == Membership::None {
            return refuse(503, "This node is not part of a swarm");
        }
        self.engine_stopped(name);
        *self.membership(name) = Membership::None;
        self.journal.note(name, What::Left);
        Ok(())
    }

    /// Why a manager should not leave.
    fn warning(&self, at: usize) -> String {
        let (reachable, all) = self.managers(at);
        let unreachable = all - reachable;
        let mut text = LEAVING.to_owned();
        if self.swarms[at].leader.is_none() {
            text += "Doing so may lose the consensus of your cluster. ";
        } else if (reachable, unreachable) == (1, 0) {
            return text
                + "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ";
        } else if reachable <= unreachable + 2 {
            let (left, all) = ((reachable - 1).to_string(), all.to_string());
            text.extend(["Removing this node leaves ", &left, " managers out of ", &all]);
            text += ". Without a Raft quorum your swarm will be inaccessible. ";
        }
        text + "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message."
    }
}
