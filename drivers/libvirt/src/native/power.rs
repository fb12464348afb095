//! Running, stopping and resting.

use fleet_driver::{Error, ErrorKind, MachineId, Power, Rest, Result, Stop, fault};
use virt::domain::Domain;
use virt::sys;

use super::find::{self, Here};
use super::job::{Job, Link};
use super::lan;

/// Whether a domain runs.
pub(super) fn of(link: &Link, domain: &Domain) -> Result<Power> {
    let (state, _) = link.ok("read the domain's state", domain.state())?;
    Ok(match state.to_raw() {
        // Running, blocked, being shut down.
        1 | 2 | 4 => Power::Running,
        // Paused, or asleep by its own wish.
        3 | 7 => Power::Paused,
        _ if domain.has_managed_save(0).unwrap_or(false) => Power::Saved,
        _ => Power::Stopped,
    })
}

fn power(here: &Here) -> Result<Power> {
    of(&here.link, &here.domain)
}

/// Starts a machine, or wakes it.
pub(super) fn start(job: &Job, id: &MachineId) -> Result<()> {
    let here = find::must(job, id)?;
    run(job, id, &here)
}

fn run(job: &Job, id: &MachineId, here: &Here) -> Result<()> {
    match power(here)? {
        Power::Running => Ok(()),
        Power::Paused => here.link.ok("wake the domain", here.domain.resume()),
        _ => {
            lan::up(job, id, here)?;
            job.go_on()?;
            fault::point("libvirt-start", id.machine())?;
            here.link.ok("start the domain", here.domain.create())
        }
    }
}

/// Stops a machine.
pub(super) fn stop(job: &Job, id: &MachineId, how: Stop) -> Result<()> {
    let here = find::must(job, id)?;
    match how {
        Stop::Hard => cut(&here.link, &here.domain),
        Stop::Soft => ask(job, id, &here),
    }
}

/// Stops a domain at once, and forgets what it had in its memory.
pub(super) fn cut(link: &Link, domain: &Domain) -> Result<()> {
    if of(link, domain)? == Power::Saved {
        return link.ok("remove what was saved", domain.managed_save_remove(0));
    }
    match domain.destroy() {
        Ok(()) => Ok(()),
        // It was off, or has just gone off by itself.
        Err(_) if matches!(of(link, domain), Ok(Power::Stopped)) => Ok(()),
        Err(e) => Err(link.error("stop the domain", &e)),
    }
}

fn ask(job: &Job, id: &MachineId, here: &Here) -> Result<()> {
    if power(here)? == Power::Stopped {
        return Ok(());
    }
    // A guest at rest hears nothing.
    run(job, id, here)?;
    let mut asked = 0_u32;
    let waited = job.until("the guest to shut down", "", || {
        if power(here)? == Power::Stopped {
            return Ok(());
        }
        // A guest that still starts does not hear it the first time.
        if asked.is_multiple_of(10)
            && let Err(e) = here.domain.shutdown()
            && power(here)? != Power::Stopped
        {
            let error = here.link.error("ask the guest to shut down", &e);
            return Err(Error::busy("the guest cannot be asked").because(error));
        }
        asked += 1;
        Err(Error::busy("the guest has not shut down"))
    });
    waited.map_err(|error| {
        if error.kind() == ErrorKind::Driver && job.cx.left().is_zero() {
            Error::busy("the guest has not shut down in time").because(error)
        } else {
            error
        }
    })
}

/// Puts a machine to rest.
pub(super) fn rest(job: &Job, id: &MachineId, rest: Rest) -> Result<()> {
    let here = find::must(job, id)?;
    match (power(&here)?, rest) {
        (Power::Running, Rest::Memory) => here.link.ok("suspend the domain", here.domain.suspend()),
        (Power::Running | Power::Paused, Rest::Disk) => {
            // Awake, so that it runs when it comes back.
            let flags = sys::VIR_DOMAIN_SAVE_RUNNING;
            here.link.ok("save the domain", here.domain.managed_save(flags))
        }
        (Power::Paused, Rest::Memory) | (Power::Saved, Rest::Disk) => Ok(()),
        (Power::Saved, Rest::Memory) => {
            Err(Error::conflict("the machine is saved already").hint("start it first"))
        }
        _ => Err(Error::conflict("the machine does not run").hint("start it first")),
    }
}
