//! Simulated guests: what power, a boot and a start of the engine do to them.

use std::time::Instant;

use fleet_driver::Power;
use fleet_driver::fake::Standing;
use tokio_util::sync::CancellationToken;

use super::State;
use super::disk::{Disk, Firewalld, Membership, Settings};
use super::journal::What;
use super::seed::Seed;

/// A machine of the fake driver from inside.
pub struct Guest {
    /// Which disk it has; 0 if there is no machine.
    pub incarnation: u64,
    /// Whether the machine was ever complete.
    whole: bool,
    boots: u64,
    pub phase: Phase,
    pub disk: Disk,
    pub engine: Engine,
    seed: Vec<(String, String)>,
    /// Ends every SSH connection when the machine goes off.
    pub cut: CancellationToken,
    /// How often the engine has run since the machine was started.
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Off,
    Booting(Instant),
    Up,
}

/// The engine's process.
#[derive(Debug, Clone)]
pub enum Engine {
    Off,
    Starting(Instant),
    Up {
        settings: Settings,
        version: String,
        /// Ends every connection when it stops.
        cut: CancellationToken,
    },
    Failed(String),
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            incarnation: 0,
            whole: false,
            boots: 0,
            phase: Phase::Off,
            disk: Disk::default(),
            engine: Engine::Off,
            seed: Vec::new(),
            cut: CancellationToken::new(),
            runs: 0,
        }
    }
}

impl Guest {
    pub fn engine_up(&self) -> bool {
        matches!(self.engine, Engine::Up { .. })
    }
}

impl State {
    /// Takes over what the driver did to its machines.
    pub(super) fn look(&mut self, now: Instant, standing: &[Standing]) {
        let names: Vec<String> = self.guests.keys().cloned().collect();
        for name in names {
            let found = standing.iter().find(|s| s.id.machine() == name);
            let guest = self.guests.get_mut(&name).expect("it was listed");
            let incarnation = found.map_or(0, |s| s.incarnation);
            let on = found.is_some_and(|s| s.power == Power::Running);
            let again = found.is_some_and(|s| s.boots > guest.boots);
            let was_on = guest.phase != Phase::Off;
            if was_on && (!on || again || incarnation != guest.incarnation) {
                self.power_off(&name);
            }
            let guest = self.guests.get_mut(&name).expect("it was listed");
            if incarnation != guest.incarnation {
                if guest.whole {
                    self.journal.note(&name, What::Destroyed);
                }
                *guest = Guest { incarnation, ..Guest::default() };
                guest.disk.engine.clone_from(&self.image_engine);
                guest.disk.system = self.image_system;
                if self.image_firewalld {
                    guest.disk.firewalld = Firewalld::Shut;
                }
            }
            let Some(found) = found else { continue };
            if found.whole && !guest.whole {
                guest.whole = true;
                self.journal.note(&name, What::Created);
            }
            guest.boots = found.boots;
            let seed = found.spec.seed.iter();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            guest.seed = seed.map(|(name, bytes)| (name.clone(), text(bytes.expose()))).collect();
            if on && guest.phase == Phase::Off {
                guest.phase = Phase::Booting(now + self.delays.boot);
                guest.cut = CancellationToken::new();
                guest.runs = 0;
                self.journal.note(&name, What::Started);
            }
        }
    }

    fn power_off(&mut self, name: &str) {
        self.stop_engine(name);
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        guest.phase = Phase::Off;
        guest.cut.cancel();
        self.journal.note(name, What::Stopped);
    }

    pub fn stop_engine(&mut self, name: &str) {
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        if let Engine::Up { cut, .. } = &guest.engine {
            cut.cancel();
            guest.engine = Engine::Off;
            self.engine_stopped(name);
        }
        self.guests.get_mut(name).expect("callers know the guest").engine = Engine::Off;
    }

    /// Stops the engine if it runs, and starts it if it is installed.
    pub fn restart_engine(&mut self, name: &str, now: Instant) {
        self.stop_engine(name);
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        if guest.disk.engine.is_some() {
            guest.engine = Engine::Starting(now + self.delays.engine);
        }
    }

    /// Lets pass what takes time in guests.
    pub fn settle_guests(&mut self, now: Instant) {
        let names: Vec<String> = self.guests.keys().cloned().collect();
        for name in names {
            let guest = self.guests.get_mut(&name).expect("it was listed");
            match guest.phase {
                Phase::Booting(until) if now >= until => {
                    guest.phase = Phase::Up;
                    self.boot(&name);
                    self.restart_engine(&name, now);
                }
                Phase::Booting(_) | Phase::Off | Phase::Up => {}
            }
            let guest = self.guests.get_mut(&name).expect("it was listed");
            if let Engine::Starting(until) = guest.engine
                && now >= until
            {
                let started = guest.disk.settings();
                match (started, guest.disk.engine.clone()) {
                    (Ok(settings), Some(version)) => {
                        let cut = CancellationToken::new();
                        guest.engine = Engine::Up { settings, version, cut };
                        guest.runs += 1;
                        let again = guest.runs > 1;
                        let what = if again { What::EngineRestarted } else { What::EngineStarted };
                        self.journal.note(&name, what);
                    }
                    (Err(why), _) => {
                        guest.engine = Engine::Failed(why.clone());
                        self.journal.note(&name, What::EngineFailed(why));
                    }
                    (Ok(_), None) => guest.engine = Engine::Off,
                }
            }
        }
    }

    /// What cloud-init does in a boot: everything for a new instance, else nothing.
    fn boot(&mut self, name: &str) {
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        let disabled = guest.disk.files.contains_key("/etc/cloud/cloud-init.disabled");
        if disabled || guest.seed.is_empty() {
            return;
        }
        let applied = Seed::read(&guest.seed).and_then(|seed| seed.apply(&mut guest.disk));
        if let Err(why) = applied {
            self.journal.complain(name, why);
        }
    }

    /// What an engine keeps of its swarm.
    pub fn membership(&mut self, name: &str) -> &mut Membership {
        &mut self.guests.get_mut(name).expect("callers know the guest").disk.membership
    }
}
