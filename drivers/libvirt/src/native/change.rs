//! Changing machines that exist: another size, another mark, no seed.

use fleet_driver::{Level, MachineId, Power, Result, VmSpec, fault};
use virt::sys;

use super::create::{self, Parts};
use super::disks::{self, Pool};
use super::find::{self, Here};
use super::job::Job;
use super::{kvm, lan, power};
use crate::hosts::Lan;
use crate::names;
use crate::options::Options;
use crate::record::Record;

/// Brings a machine to what is asked for now; what needs a new start waits until it is off.
pub(super) fn apply(
    job: &Job,
    id: &MachineId,
    spec: &VmSpec,
    options: &Options,
    here: &Here,
) -> Result<()> {
    here.record.agrees_with(spec)?;
    let mut wanted = Record::new(id, spec, options, &here.record.pool);
    wanted.disk_mib = wanted.disk_mib.max(here.record.disk_mib);
    wanted.ports = here.record.ports;
    let same_size = (here.next.memory_mib, here.next.cpus) == (spec.memory_mib, spec.cpus);
    let mut marked = here.record.clone();
    marked.mark.clone_from(&wanted.mark);
    if wanted == marked && same_size {
        return if marked == here.record { Ok(()) } else { mark(here, &marked) };
    }
    if power::of(&here.link, &here.domain)? != Power::Stopped {
        if marked != here.record {
            mark(here, &marked)?;
        }
        let text = "The machine runs; what was changed in `machines.toml` counts once it has \
                    been stopped and `fleet up` is run again.";
        job.cx.reporter().note(Level::Warning, text);
        return Ok(());
    }
    let lan = here.host.lan(options);
    if lan == Lan::Own {
        lan::join(job, &here.link, &here.host, id, spec, options, &wanted)?;
    }
    let pool = Pool::open(&here.link, &wanted.pool)?;
    pool.grow(id, wanted.disk_mib)?;
    job.go_on()?;
    fault::point("libvirt-resize-domain", id.machine())?;
    let kind = kvm::kind(job, &here.link, &here.host, options)?;
    let disk = format!("{}/{}", pool.folder.trim_end_matches('/'), names::disk(id));
    let seed = here.next.seed.clone().unwrap_or_default();
    let parts = Parts { kind: &kind, disk: &disk, seed: &seed, pool: &pool.folder };
    create::define(&here.link, id, spec, options, &lan, &wanted, &parts)
}

/// Writes another record on a machine.
fn mark(here: &Here, record: &Record) -> Result<()> {
    let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
    if here.link.ok("read the domain's state", here.domain.is_active())? {
        flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
    }
    let done = here.domain.set_metadata(
        sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed(),
        Some(&record.element()),
        Some("fleet"),
        Some(names::NAMESPACE),
        flags,
    );
    here.link.ok("write the mark on the domain", done)
}

/// Takes the seed away.
pub(super) fn unseed(job: &Job, id: &MachineId) -> Result<()> {
    let here = find::must(job, id)?;
    take_seed(job, id, &here)
}

/// Takes the seed out of the drive and removes it.
pub(super) fn take_seed(job: &Job, id: &MachineId, here: &Here) -> Result<()> {
    if here.seen.seed.is_some() || here.next.seed.is_some() {
        disks::eject(&here.link, &here.domain)?;
    }
    job.go_on()?;
    fault::point("libvirt-unseed-volume", id.machine())?;
    Pool::open(&here.link, &here.record.pool)?.remove(&names::seed(id))
}
