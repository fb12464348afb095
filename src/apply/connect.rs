//! First contact: waiting for a guest that may never come, and taking its seed away.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet_driver::event::Outcome;
use fleet_driver::{Error, ErrorKind, Level, Result, Sighting, fault, run, wait};

use super::{Ground, Machine, Stopped, create};
use crate::guest::Guest;
use crate::guest::seed;
use crate::guest::ssh::{Contact, Ssh, Target};

/// How long a guest may take to boot, however slow it is.
const BOOT: Duration = Duration::from_secs(900);
/// How long a guest may boot without printing anything on its console.
const STUCK: Duration = Duration::from_secs(120);
/// How long the first boot's leftovers may take to go.
const SCRUB: Duration = Duration::from_secs(180);

/// How long a guest that runs may take to answer; an emulated one that swaps is slow.
const ANSWER: Duration = Duration::from_secs(180);

/// Why a guest may not answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// It boots.
    Boots,
    /// It has booted long ago; it hangs, or nobody can reach it.
    Hangs,
}

impl Silence {
    /// What is known before the guest is asked: whether it was ever reached, and whether
    /// this run starts it.
    fn of(settled: bool, starts: bool) -> Self {
        if settled && !starts { Self::Hangs } else { Self::Boots }
    }

    fn limit(self) -> Duration {
        match self {
            Self::Boots => BOOT,
            Self::Hangs => ANSWER,
        }
    }
}

/// Waits until the guest answers by SSH with the pinned host key.
///
/// A boot that makes no progress ends early, with the last lines of its console; a guest
/// that has booted long ago has nothing to print.
pub(super) async fn connect(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    if machine.ssh.is_some() {
        return Ok(Outcome::Unchanged);
    }
    let sighting = sight(machine).await?;
    let address =
        sighting.ssh.ok_or_else(|| Error::driver("the driver does not say where SSH is"))?;
    let record = ground.store().record(&machine.name).cloned();
    let record = record.ok_or_else(|| {
        Error::conflict(format!(
            "the records of `{}` are lost, and with them its host key",
            machine.name
        ))
        .hint("take it back by its mark: `fleet adopt`, or `fleet up`")
    })?;
    let contact = if record.settled { Contact::Known } else { Contact::First };
    let silence = Silence::of(record.settled, machine.starts);
    let cx = machine.cx.within(silence.limit());
    let target = Target {
        machine: machine.name.clone(),
        address,
        user: record.user,
        host_key: record.host_key,
        key: ground.key()?.clone(),
    };
    let printed = Printed::of(machine, &sighting);
    let connected = tokio::select! {
        connected = Ssh::wait_for(&target, contact, &cx) => connected,
        stuck = stuck(machine, &printed, silence) => Err(stuck),
    };
    match connected {
        Ok(ssh) => {
            machine.ssh = Some(ssh);
            Ok(Outcome::Unchanged)
        }
        Err(error) => {
            let log = printed.log().await;
            Err(explained(error, &machine.name, &sighting, log.as_deref(), silence).into())
        }
    }
}

async fn sight(machine: &Machine) -> Result<Sighting> {
    let cx = machine.cx.within(Duration::from_secs(20));
    machine.driver.inspect(&machine.id, &cx).await?.ok_or_else(|| {
        Error::not_found(format!("`{}` has vanished", machine.name))
            .hint("make it again: `fleet up`")
    })
}

/// What a machine prints on its console.
struct Printed<'a> {
    machine: &'a Machine,
    source: Source,
}

enum Source {
    /// Nobody keeps it.
    Nowhere,
    /// It is in a file that grows.
    File(PathBuf),
    /// The driver brings it when it is asked.
    Driver,
}

impl<'a> Printed<'a> {
    fn of(machine: &'a Machine, sighting: &Sighting) -> Self {
        let source = match &sighting.console {
            Some(console) => Source::File(console.log.clone()),
            None if machine.driver.about().capabilities.console => Source::Driver,
            None => Source::Nowhere,
        };
        Self { machine, source }
    }

    /// The file that holds it now, if it can be had.
    async fn log(&self) -> Option<PathBuf> {
        match &self.source {
            Source::Nowhere => None,
            Source::File(log) => Some(log.clone()),
            Source::Driver => {
                let cx = self.machine.cx.within(Duration::from_secs(20));
                let asked = self.machine.driver.console(&self.machine.id, &cx).await;
                asked.ok().flatten().map(|console| console.log)
            }
        }
    }

    /// How much it is, where that is known.
    async fn length(&self) -> Option<u64> {
        let log = self.log().await?;
        Some(std::fs::metadata(log).map_or(0, |m| m.len()))
    }

    /// How often to look whether it is more: what the driver brings may come from afar.
    fn look_every(&self) -> Duration {
        match self.source {
            Source::Nowhere | Source::File(_) => Duration::from_secs(1),
            Source::Driver => STUCK / 4,
        }
    }
}

/// Resolves when the console has been silent for too long, or the machine has
/// stopped running.
async fn stuck(machine: &Machine, printed: &Printed<'_>, silence: Silence) -> Error {
    let mut last = (printed.length().await, Instant::now());
    let mut looked = Instant::now();
    loop {
        if let Err(error) = wait::pause_for(&machine.cx, Duration::from_secs(1)).await {
            return error;
        }
        if let Ok(seen) = sight(machine).await
            && seen.power != fleet_driver::Power::Running
        {
            return Error::driver(match silence {
                Silence::Boots => "the machine stopped while it was booting",
                Silence::Hangs => "the machine has stopped",
            });
        }
        if looked.elapsed() < printed.look_every() {
            continue;
        }
        looked = Instant::now();
        let now = printed.length().await;
        if now != last.0 {
            last = (now, Instant::now());
        } else if silence == Silence::Boots && now.is_some() && last.1.elapsed() > STUCK {
            return Error::driver(format!(
                "the boot makes no progress: its console has been silent for {} s",
                STUCK.as_secs()
            ));
        }
    }
}

/// Adds what helps to see why a guest did not come.
fn explained(
    error: Error,
    machine: &str,
    sighting: &Sighting,
    log: Option<&Path>,
    silence: Silence,
) -> Error {
    if !matches!(error.kind(), ErrorKind::Driver | ErrorKind::Busy) {
        return error;
    }
    let mut error = error;
    if silence == Silence::Hangs {
        error = Error::driver(format!("`{machine}` runs, but its guest does not answer"))
            .because(error);
    }
    if let Some(log) = log {
        let text = std::fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned());
        let clean: String =
            text.unwrap_or_default().chars().filter(|c| !c.is_control() || *c == '\n').collect();
        let tail = run::tail(clean.trim_end(), 8);
        let shown = if tail.is_empty() { "(nothing)".to_owned() } else { tail };
        error = error.with("console", shown);
    }
    if silence == Silence::Hangs {
        return error.hint(format!(
            "start it again: `fleet restart {machine}`, then run the same command again; its \
             console: `fleet logs {machine}`"
        ));
    }
    // What the drivers call it, and how it is turned off.
    for (detail, option) in [
        ("accel", "`accel = \"tcg\"` in `[driver.qemu]`"),
        ("type", "`type = \"qemu\"` in `[driver.libvirt]`"),
    ] {
        if sighting.details.get(detail).is_some_and(|value| value == "kvm") {
            return error.hint(format!(
                "KVM may not work for guests on this host: set {option}, then `fleet down` and \
                 `fleet up`"
            ));
        }
    }
    error.hint(format!("look at its console: `fleet logs {machine}`"))
}

/// Takes the seed away and removes its traces from the guest.
pub(super) async fn unseed(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let cx = machine.cx.within(SCRUB);
    if let Some(ssh) = &machine.ssh {
        ssh.run(&seed::scrub(), &cx).await?;
    } else {
        machine.cx.reporter().note(
            Level::Warning,
            "It was not reached by SSH; traces of its first boot may be left in it.",
        );
    }
    let (driver, id) = (&machine.driver, &machine.id);
    fault::point("scrubbed", &machine.name)?;
    machine.verb(ground, SCRUB, "unseed", |cx| async move { driver.unseed(id, &cx).await }).await?;
    fault::point("unseeded", &machine.name)?;
    create::drop_host_key(ground, &machine.name)?;
    ground.record(&machine.name, |record| record.settled = true)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fleet_driver::Power;

    use super::*;

    fn sighting() -> Sighting {
        Sighting {
            power: Power::Running,
            host: None,
            ssh: None,
            engine: None,
            lab: None,
            cpus: 1,
            memory_mib: 1,
            disk_mib: 1,
            image_sha256: String::new(),
            forwards: Vec::new(),
            console: None,
            seeded: false,
            mark: BTreeMap::new(),
            options_digest: String::new(),
            details: BTreeMap::from([("accel".to_owned(), "kvm".to_owned())]),
        }
    }

    #[test]
    fn only_a_guest_that_may_be_booting_gets_the_time_of_a_boot() {
        for (settled, starts) in [(false, false), (false, true), (true, true)] {
            assert_eq!(Silence::of(settled, starts).limit(), BOOT);
        }
        assert_eq!(Silence::of(true, false).limit(), ANSWER);
    }

    #[test]
    fn a_guest_that_hangs_is_to_be_restarted_and_one_that_never_came_is_not() {
        let error = || Error::driver("waited 180 s for SSH in vain");
        let hangs = explained(error(), "web-1", &sighting(), None, Silence::Hangs);
        assert!(hangs.to_string().starts_with("`web-1` runs, but its guest does not answer: wait"));
        assert!(hangs.hint_text().unwrap().contains("`fleet restart web-1`"));
        let boots = explained(error(), "web-1", &sighting(), None, Silence::Boots);
        assert!(boots.hint_text().unwrap().contains("KVM"));
        let refused = Error::conflict("the host key has changed").hint("look");
        let refused = explained(refused, "web-1", &sighting(), None, Silence::Hangs);
        assert_eq!(refused.hint_text(), Some("look"));
    }
}
