//! A simulated world: guests of a file-backed fake driver, with SSH and an engine on
//! loopback, that behave like Debian (or another system) with Docker in a swarm. No machine
//! boots.
//!
//! The world is one value behind a lock, whose rules are ordinary functions of it and of
//! the time; `ssh` and `http` only carry requests to it. What is asked of a guest and
//! not understood is an error there, and fails the test at its end.

#![allow(dead_code, reason = "its parts are for tests that come and go")]

mod api;
mod disk;
mod guest;
mod http;
mod joining;
mod journal;
mod nodes;
mod script;
mod seed;
mod ssh;
mod state;
mod swarm;
mod system;
mod tasks;
mod text;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_driver::fake::Fake;
use serde_json::json;
use tokio::sync::watch;

use guest::Guest;
use journal::Journal;
pub use journal::{Event, What};
pub use nodes::Standing;
use state::Points;
pub(crate) use state::{Delays, Shared, State, nap};
pub use system::System;

/// A running world; it ends when dropped.
pub struct Sim {
    shared: Shared,
    runtime: Option<tokio::runtime::Runtime>,
    addresses: BTreeMap<String, (SocketAddr, SocketAddr)>,
}

impl Sim {
    /// A world for the driver [`Fake::on`] the same folder, with a guest for each of these
    /// names as soon as there is a machine of that name.
    #[allow(clippy::unused_async, reason = "callers need not know that it is quick")]
    pub async fn start(dir: &Path, names: &[&str]) -> Self {
        let fake = Fake::on(dir);
        let state = State {
            driver: fake.clone(),
            over: false,
            guests: names.iter().map(|name| ((*name).to_owned(), Guest::default())).collect(),
            swarms: Vec::new(),
            journal: Journal::new(),
            delays: Delays::default(),
            image_engine: Some("20.10.24+dfsg1".to_owned()),
            image_system: System::default(),
            image_firewalld: false,
            available: ["26.1.5+dfsg1", "20.10.24+dfsg1"].map(str::to_owned).to_vec(),
            ids: 0,
        };
        let points = watch::Sender::new(Points { passed: 0, hold: u64::MAX });
        let shared = Shared { state: Arc::new(Mutex::new(state)), points: Arc::new(points) };
        // Of its own, so that a test may wait for a child process as it likes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut addresses = BTreeMap::new();
        for name in names {
            let _inside = runtime.enter();
            let (ssh, ssh_at) = listener();
            let (engine, engine_at) = listener();
            runtime.spawn(ssh::serve(ssh, (*name).to_owned(), shared.clone()));
            runtime.spawn(http::serve(engine, (*name).to_owned(), shared.clone()));
            // Under another address too, for machines that move.
            let moved = TcpListener::bind(("127.0.0.2", engine_at.port())).unwrap();
            moved.set_nonblocking(true).unwrap();
            let moved = tokio::net::TcpListener::from_std(moved).unwrap();
            runtime.spawn(http::serve(moved, (*name).to_owned(), shared.clone()));
            fake.endpoints(name, ssh_at, engine_at);
            addresses.insert((*name).to_owned(), (ssh_at, engine_at));
        }
        runtime.spawn(go_on(shared.clone()));
        Self { shared, runtime: Some(runtime), addresses }
    }

    /// Where a guest's SSH is, whatever the driver says.
    pub fn ssh(&self, name: &str) -> SocketAddr {
        self.addresses[name].0
    }

    /// Where a guest's engine is, whatever the driver says.
    pub fn engine(&self, name: &str) -> SocketAddr {
        self.addresses[name].1
    }

    /// Changes how long things take.
    pub fn delays(&self, change: impl FnOnce(&mut Delays)) {
        change(&mut self.shared.state().delays);
    }

    /// Says which engine the images of machines made from now on have.
    pub fn image_engine(&self, version: Option<&str>) {
        self.shared.state().image_engine = version.map(str::to_owned);
    }

    /// Says which system the images of machines made from now on have.
    pub fn image_system(&self, system: System) {
        self.shared.state().image_system = system;
    }

    /// Makes the machines that are made from now on have a firewalld that runs.
    pub fn image_firewalld(&self) {
        self.shared.state().image_firewalld = true;
    }

    /// What the firewall of a guest lets through beside SSH: nothing, or the network whose
    /// machines may talk to one another.
    pub fn lets_through(&self, name: &str) -> Option<String> {
        match self.shared.state().guests[name].disk.firewalld.clone() {
            disk::Firewalld::Open(lab) => Some(lab),
            disk::Firewalld::Absent | disk::Firewalld::Shut => None,
        }
    }

    /// Says which engines can be installed, the newest first.
    pub fn available(&self, versions: &[&str]) {
        self.shared.state().available = versions.iter().map(|&v| v.to_owned()).collect();
    }

    /// The text of a file in a guest.
    pub fn file(&self, name: &str, path: &str) -> Option<String> {
        self.shared.state().guests[name].disk.text(path)
    }

    /// Changes a file in a guest, as somebody in it might.
    pub fn rewrite(&self, name: &str, path: &str, change: impl FnOnce(String) -> String) {
        self.shared.now(|state, _| {
            let disk = &mut state.guests.get_mut(name).expect("a guest of the world").disk;
            let text = disk.text(path).expect("the file is there");
            disk.files.get_mut(path).expect("it was read").content = change(text).into_bytes();
        });
    }

    /// The version of the engine that runs in a guest.
    pub fn runs(&self, name: &str) -> Option<String> {
        match &self.shared.now(|state, _| state.guests[name].engine.clone()) {
            guest::Engine::Up { version, .. } => Some(version.clone()),
            _ => None,
        }
    }

    /// Whether copies of the seed's secrets are still in a guest.
    pub fn holds_secrets(&self, name: &str) -> bool {
        self.shared.state().guests[name].disk.secrets
    }

    /// Stops the engine of a guest as somebody in it might.
    pub fn stop_engine(&self, name: &str) {
        self.shared.now(|state, _| state.stop_engine(name));
    }

    /// Starts the engine of a guest, or starts it again.
    pub fn restart_engine(&self, name: &str) {
        self.shared.now(|state, now| state.restart_engine(name, now));
    }

    /// Everything that happened so far.
    pub fn journal(&self) -> Vec<Event> {
        self.shared.now(|state, _| state.journal.events())
    }

    /// How often something happened to a machine.
    pub fn times(&self, name: &str, what: &What) -> usize {
        self.journal().iter().filter(|e| e.machine == name && e.what == *what).count()
    }

    /// When a swarm that had a majority of its managers lost it.
    pub fn lost_quorum(&self) -> Vec<Event> {
        self.journal().into_iter().filter(|e| e.what == What::QuorumLost).collect()
    }

    /// The most nodes of one swarm whose engines were down at once after they had been
    /// ready.
    pub fn most_engines_down(&self) -> usize {
        self.shared.now(|state, _| state.journal.most_down)
    }

    /// How many swarms were initialised.
    pub fn swarms(&self) -> usize {
        self.shared.state().swarms.len()
    }

    /// Makes the swarm of a manager anew around it, as `docker swarm init
    /// --force-new-cluster` on it does; gives the refusal.
    pub fn force_new_cluster(&self, name: &str) -> Result<(), String> {
        self.shared.now(|state, _| {
            let advertise = format!("{}:2377", state.guests[name].disk.lab);
            state.init(name, &advertise, true).map(drop).map_err(|refusal| refusal.1)
        })
    }

    /// Makes a machine a worker in a swarm beyond this world, with a manager there.
    pub fn taken_away(&self, name: &str, manager: std::net::Ipv4Addr) {
        self.shared.now(|state, _| {
            let manager = format!("{manager}:2377");
            *state.membership(name) = disk::Membership::Stranger { manager };
        });
    }

    /// Makes a service of so many tasks in the swarm that has a leader, where the
    /// constraints allow; gives its id.
    pub fn service(&self, name: &str, replicas: usize, constraints: &[&str]) -> String {
        let spec = json!({
            "Name": name,
            "TaskTemplate": { "Placement": { "Constraints": constraints } },
            "Mode": { "Replicated": { "Replicas": replicas } },
        });
        self.shared.now(|state, _| {
            let led = state.swarms.iter().position(|swarm| swarm.leader.is_some());
            state.create_service(led.expect("a swarm with a leader"), &spec).unwrap()
        })
    }

    /// The machines on which the wanted tasks of a service run, sorted; a task that does not
    /// run yet is `-`.
    pub fn runs_on(&self, service: &str) -> Vec<String> {
        self.shared.now(|state, _| {
            let mut places = Vec::new();
            for swarm in &state.swarms {
                let found = swarm.services.iter().find(|s| s.name == service);
                let Some(found) = found else { continue };
                for task in swarm.tasks.iter().filter(|t| t.service == found.id && t.wanted) {
                    let node = task.node.as_deref().and_then(|id| swarm.node(id));
                    let running = task.phase == tasks::Phase::Running;
                    let place = node.filter(|_| running).map_or("-", |n| n.host.as_str());
                    places.push(place.to_owned());
                }
            }
            places.sort();
            places
        })
    }

    /// The nodes of all swarms, as their managers see them: machine and state, sorted.
    pub fn nodes(&self) -> Vec<(String, Standing)> {
        self.shared.now(|state, _| {
            let nodes = state.swarms.iter().flat_map(|swarm| &swarm.nodes);
            let mut nodes: Vec<_> = nodes.map(|n| (n.host.clone(), n.state)).collect();
            nodes.sort();
            nodes
        })
    }

    /// Scripts and commands that no guest understood.
    pub fn unknown_scripts(&self) -> Vec<String> {
        self.shared.state().journal.unknown.clone()
    }

    /// How many requests and answers of guests have come by: one as each script or
    /// request arrives, one before each answer.
    pub fn points(&self) -> u64 {
        self.shared.points.borrow().passed
    }

    /// Makes the world stand still at the `n`th point from now, counted from 1: neither it
    /// nor a later one passes until [`Sim::go_on`].
    pub fn hold(&self, n: u64) {
        self.shared.points.send_modify(|points| points.hold = points.passed + n);
    }

    /// Lets everything pass again.
    pub fn go_on(&self) {
        self.shared.points.send_modify(|points| points.hold = u64::MAX);
    }

    /// Waits until the world stands still; bound it by a deadline.
    pub async fn held(&self) {
        let mut watch = self.shared.points.subscribe();
        drop(watch.wait_for(|points| points.passed >= points.hold).await);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.state().over = true;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let complaints = std::mem::take(&mut self.shared.state().journal.complaints);
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "the world was puzzled:\n{}", complaints.join("\n"));
        }
    }
}

fn listener() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (tokio::net::TcpListener::from_std(listener).unwrap(), address)
}

/// Lets the world go on where nobody asks anything of it.
async fn go_on(shared: Shared) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.now(|_, _| ());
    }
}
