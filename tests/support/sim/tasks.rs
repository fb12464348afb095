//! Services and their tasks: where they run, and that they move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use super::State;
use super::disk::Membership;
use super::journal::What;
use super::nodes::{Node, Role};
use super::swarm::{Answer, refuse};

#[derive(Debug, Clone)]
pub struct Service {
    pub id: String,
    pub name: String,
    /// How many tasks; `None` is one on every node.
    replicas: Option<usize>,
    constraints: Vec<Constraint>,
    version: u64,
    spec: Value,
}

#[derive(Debug, Clone)]
enum Constraint {
    Hostname(bool, String),
    Role(bool, Role),
    Label(bool, String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Starting(Instant),
    Running,
    Stopping(Instant),
    Shutdown,
    /// It ended with its engine, and the managers do not know it yet.
    Lost,
    Failed,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    pub service: String,
    pub slot: usize,
    pub node: Option<String>,
    pub wanted: bool,
    pub phase: Phase,
}

impl Constraint {
    fn read(text: &str) -> Answer<Self> {
        let bad = || refuse(400, format!("invalid expression: constraint {text}"));
        let (key, equal, value) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), _) => (key, true, value),
            (_, Some((key, value))) => (key, false, value),
            _ => return bad(),
        };
        let value = value.trim().to_owned();
        match (key.trim(), value.as_str()) {
            ("node.hostname", _) => Ok(Self::Hostname(equal, value)),
            ("node.role", "manager") => Ok(Self::Role(equal, Role::Manager)),
            ("node.role", "worker") => Ok(Self::Role(equal, Role::Worker)),
            (key, _) => match key.strip_prefix("node.labels.") {
                Some(label) => Ok(Self::Label(equal, label.to_owned(), value)),
                None => bad(),
            },
        }
    }

    fn holds(&self, node: &Node) -> bool {
        match self {
            Self::Hostname(equal, name) => (node.hostname == *name) == *equal,
            Self::Role(equal, role) => (node.role == *role) == *equal,
            Self::Label(equal, key, value) => (node.labels.get(key) == Some(value)) == *equal,
        }
    }
}

impl Service {
    fn fits(&self, node: &Node) -> bool {
        node.takes_tasks() && self.constraints.iter().all(|c| c.holds(node))
    }
}

impl State {
    pub fn create_service(&mut self, at: usize, spec: &Value) -> Answer<String> {
        let name = spec["Name"].as_str().unwrap_or_default().to_owned();
        if self.swarms[at].services.iter().any(|s| s.name == name) {
            return refuse(
                409,
                format!(
                    "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service {name} already exists"
                ),
            );
        }
        let list = spec["TaskTemplate"]["Placement"]["Constraints"].as_array();
        let constraints = list.into_iter().flatten();
        let constraints = constraints
            .map(|text| Constraint::read(text.as_str().unwrap_or_default()))
            .collect::<Answer<_>>()?;
        let replicas = match &spec["Mode"] {
            mode if !mode["Global"].is_null() => None,
            mode => Some(mode["Replicated"]["Replicas"].as_u64().unwrap_or(1) as usize),
        };
        let (id, version) = (self.id(), self.swarms[at].next_index());
        let spec = spec.clone();
        let service = Service { id: id.clone(), name, replicas, constraints, version, spec };
        self.swarms[at].services.push(service);
        Ok(id)
    }

    pub fn delete_service(&mut self, at: usize, key: &str) -> Answer<()> {
        let swarm = &mut self.swarms[at];
        let Some(place) = swarm.services.iter().position(|s| s.id == key || s.name == key) else {
            return refuse(404, format!("service {key} not found"));
        };
        let service = swarm.services.remove(place);
        swarm.tasks.retain(|task| task.service != service.id);
        Ok(())
    }

    pub fn services_json(&self, at: usize) -> Value {
        let services = self.swarms[at].services.iter();
        services
            .map(|s| json!({ "ID": s.id, "Version": { "Index": s.version }, "Spec": s.spec }))
            .collect()
    }

    /// The tasks that the filters let through.
    pub fn tasks_json(&self, at: usize, filters: &BTreeMap<String, Vec<String>>) -> Answer<Value> {
        let swarm = &self.swarms[at];
        let mut shown = Vec::new();
        for task in &swarm.tasks {
            let service = swarm.services.iter().find(|s| s.id == task.service);
            let name = service.map_or("", |s| s.name.as_str());
            let node = task.node.as_deref().unwrap_or_default();
            let hostname = swarm.node(node).map_or("", |n| n.hostname.as_str());
            let desired = if task.wanted { "running" } else { "shutdown" };
            let mut fits = true;
            for (key, values) in filters {
                let any = |of: &[&str]| values.iter().any(|v| of.contains(&v.as_str()));
                fits &= match key.as_str() {
                    "node" => any(&[node, hostname]),
                    "service" => any(&[&task.service, name]),
                    "desired-state" => any(&[desired]),
                    "id" => any(&[&task.id]),
                    other => return refuse(400, format!("invalid filter '{other}'")),
                };
            }
            if fits {
                let refused = match (task.phase, swarm.nodes.len()) {
                    (Phase::Pending, n) => json!(format!(
                        "no suitable node (scheduling constraints not satisfied on {n} nodes)"
                    )),
                    _ => Value::Null,
                };
                shown.push(json!({
                    "ID": task.id,
                    "ServiceID": task.service,
                    "Slot": task.slot,
                    "NodeID": node,
                    "DesiredState": desired,
                    "Status": { "Err": refused, "State": match task.phase {
                        Phase::Pending => "pending",
                        Phase::Starting(_) => "starting",
                        Phase::Running | Phase::Stopping(_) | Phase::Lost => "running",
                        Phase::Shutdown => "shutdown",
                        Phase::Failed => "failed",
                    } },
                }));
            }
        }
        Ok(Value::Array(shown))
    }

    /// What becomes of the tasks of a node when its engine stops.
    pub fn engine_stopped(&mut self, name: &str) {
        let Membership::Node { swarm, node } = self.membership(name).clone() else { return };
        let at = self.swarms.iter().position(|s| s.id == swarm).expect("members know it");
        let lost = self.lose_tasks(at, &node);
        if lost > 0 {
            self.journal.note(name, What::TasksLost(lost));
        }
    }

    /// Ends the tasks of a node; says how many of them were to go on.
    pub fn lose_tasks(&mut self, at: usize, node: &str) -> usize {
        let mut lost = 0;
        for task in &mut self.swarms[at].tasks {
            let here = task.node.as_deref() == Some(node);
            if here && matches!(task.phase, Phase::Starting(_) | Phase::Running) {
                lost += usize::from(task.phase == Phase::Running);
                task.phase = Phase::Lost;
            } else if here && matches!(task.phase, Phase::Stopping(_)) {
                task.phase = Phase::Lost;
            }
        }
        lost
    }

    /// Moves tasks to where they should be; without a leader nothing moves.
    pub fn settle_tasks(&mut self, at: usize, now: Instant) {
        if self.swarms[at].leader.is_none() {
            return;
        }
        let takes = self.delays.task;
        let mut fresh = Vec::new();
        let swarm = &self.swarms[at];
        let living: BTreeSet<String> = {
            let living = swarm.nodes.iter().filter(|node| self.alive(&swarm.id, node));
            living.map(|node| node.id.clone()).collect()
        };
        let swarm = &mut self.swarms[at];
        for task in &mut swarm.tasks {
            let alive = task.node.as_ref().is_some_and(|node| living.contains(node));
            let there = swarm.nodes.iter().any(|n| Some(&n.id) == task.node.as_ref());
            match task.phase {
                Phase::Starting(until) if now >= until && alive => task.phase = Phase::Running,
                Phase::Stopping(until) if now >= until && alive => task.phase = Phase::Shutdown,
                // The engine is back and says so, or nobody will ever.
                Phase::Lost if alive || !there => task.phase = Phase::Failed,
                _ => {}
            }
        }
        for service in swarm.services.clone() {
            let node = |id: &Option<String>| {
                let id = id.as_deref()?;
                swarm.nodes.iter().find(|node| node.id == id)
            };
            for task in swarm.tasks.iter_mut().filter(|t| t.service == service.id && t.wanted) {
                let misplaced =
                    task.node.is_some() && !node(&task.node).is_some_and(|n| service.fits(n));
                match task.phase {
                    Phase::Failed => task.wanted = false,
                    Phase::Lost if misplaced => task.wanted = false,
                    Phase::Starting(_) | Phase::Running if misplaced => {
                        task.wanted = false;
                        task.phase = Phase::Stopping(now + takes);
                    }
                    _ => {}
                }
            }
            let everywhere = || {
                let nodes = swarm.nodes.iter().filter(|n| service.fits(n));
                nodes.map(|n| (0, Some(n.id.clone()))).collect()
            };
            let some = |replicas| (1..=replicas).map(|slot| (slot, None)).collect();
            let slots: Vec<(usize, Option<String>)> =
                service.replicas.map_or_else(everywhere, some);
            for (slot, place) in slots {
                let there = swarm.tasks.iter().any(|t| {
                    let same = place.is_none() || t.node == place;
                    t.service == service.id && t.wanted && t.slot == slot && same
                });
                if !there {
                    fresh.push((service.clone(), slot, place));
                }
            }
        }
        for (service, slot, node) in fresh {
            let id = self.id();
            let service = service.id;
            let phase = Phase::Pending;
            let task = Task { id, service, slot, node, wanted: true, phase };
            self.swarms[at].tasks.push(task);
        }
        self.place(at, now);
    }

    /// Gives tasks without a node the least busy one that fits.
    fn place(&mut self, at: usize, now: Instant) {
        let until = now + self.delays.task;
        let swarm = &mut self.swarms[at];
        for n in 0..swarm.tasks.len() {
            if swarm.tasks[n].phase != Phase::Pending {
                continue;
            }
            let service = swarm.services.iter().find(|s| s.id == swarm.tasks[n].service);
            let Some(service) = service else { continue };
            let busy = |id: &str| {
                let here = |t: &&Task| t.wanted && t.node.as_deref() == Some(id);
                swarm.tasks.iter().filter(here).count()
            };
            let nodes = swarm.nodes.iter();
            let active =
                |n: &&Node| n.availability == super::nodes::Availability::Active && service.fits(n);
            let found = match &swarm.tasks[n].node {
                Some(node) => Some(node.clone()),
                None => nodes.filter(active).min_by_key(|n| busy(&n.id)).map(|n| n.id.clone()),
            };
            if found.is_some() {
                swarm.tasks[n].node = found;
                swarm.tasks[n].phase = Phase::Starting(until);
            }
        }
    }
}
