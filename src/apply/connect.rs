//! First contact: waiting for a guest that may never come, and taking its seed away.

use std::path::Path;
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

/// Waits until the guest answers by SSH with the pinned host key.
///
/// A boot that makes no progress ends early, with the last lines of its console.
pub(super) async fn connect(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    if machine.ssh.is_some() {
        return Ok(Outcome::Unchanged);
    }
    let cx = machine.cx.within(BOOT);
    let sighting = sight(machine).await?;
    let address =
        sighting.ssh.ok_or_else(|| Error::driver("the driver does not say where SSH is"))?;
    let record = ground.store().record(&machine.name).cloned();
    let record = record.ok_or_else(|| {
        Error::conflict(format!(
            "the records of `{}` are lost, and with them its host key",
            machine.name
        ))
        .hint(format!("make it anew: `fleet down {0}`, then `fleet up`", machine.name))
    })?;
    let contact = if record.settled { Contact::Known } else { Contact::First };
    let target = Target {
        machine: machine.name.clone(),
        address,
        user: record.user,
        host_key: record.host_key,
        key: ground.key()?.clone(),
    };
    let log = sighting.console.as_ref().map(|c| c.log.clone());
    let connected = tokio::select! {
        connected = Ssh::wait_for(&target, contact, &cx) => connected,
        stuck = stuck(machine, log.as_deref()) => Err(stuck),
    };
    match connected {
        Ok(ssh) => {
            machine.ssh = Some(ssh);
            Ok(Outcome::Unchanged)
        }
        Err(error) => Err(explained(error, &machine.name, &sighting, log.as_deref()).into()),
    }
}

async fn sight(machine: &Machine) -> Result<Sighting> {
    let cx = machine.cx.within(Duration::from_secs(20));
    machine.driver.inspect(&machine.id, &cx).await?.ok_or_else(|| {
        Error::not_found(format!("`{}` has vanished", machine.name))
            .hint("make it again: `fleet up`")
    })
}

/// Resolves when the console has been silent for too long, or the machine has
/// stopped running.
async fn stuck(machine: &Machine, log: Option<&Path>) -> Error {
    let length = |log: &Path| std::fs::metadata(log).map_or(0, |m| m.len());
    let mut last = (log.map_or(0, length), Instant::now());
    loop {
        if let Err(error) = wait::pause_for(&machine.cx, Duration::from_secs(1)).await {
            return error;
        }
        if let Ok(seen) = sight(machine).await
            && seen.power != fleet_driver::Power::Running
        {
            return Error::driver("the machine stopped while it was booting");
        }
        let now = log.map_or(0, length);
        if now != last.0 {
            last = (now, Instant::now());
        } else if log.is_some() && last.1.elapsed() > STUCK {
            return Error::driver(format!(
                "the boot makes no progress: its console has been silent for {} s",
                STUCK.as_secs()
            ));
        }
    }
}

/// Adds what helps to see why a guest did not come.
fn explained(error: Error, machine: &str, sighting: &Sighting, log: Option<&Path>) -> Error {
    if !matches!(error.kind(), ErrorKind::Driver | ErrorKind::Busy) {
        return error;
    }
    let mut error = error;
    if let Some(log) = log {
        let text = std::fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned());
        let clean: String =
            text.unwrap_or_default().chars().filter(|c| !c.is_control() || *c == '\n').collect();
        let tail = run::tail(clean.trim_end(), 8);
        let shown = if tail.is_empty() { "(nothing)".to_owned() } else { tail };
        error = error.with("console", shown);
    }
    if sighting.details.get("accel").is_some_and(|accel| accel == "kvm") {
        return error.hint(
            "KVM may not work for guests on this host: set `accel = \"tcg\"` in `[driver.qemu]`, then `fleet down` and `fleet up`",
        );
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
