//! Making a machine, and changing one that exists: `create`, which may be ended at any
//! moment and is finished by the next one.
//!
//! The description is written last, and whatever makes it untrue removes it first.

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Level, MachineId, Result, VmSpec, fault};

use crate::args::{self, Sandbox, Seed, Start};
use crate::folder::{Content, Folder};
use crate::machine::{Machine, disk_mib};
use crate::options::Options;
use crate::process::Process;
use crate::{Qemu, disk, ports, power, process, roll, seed};

impl Qemu {
    /// Makes the machine, or brings it to what is asked for now.
    ///
    /// # Errors
    /// As [`fleet_driver::Driver::create`].
    pub(crate) async fn create_one(&self, id: &MachineId, spec: &VmSpec, cx: &Cx) -> Result<()> {
        cx.check_scratch(id)?;
        let options = Options::parse(&spec.options)?;
        let folder = Folder::new(id, cx);
        Process::must_be_here(id, &folder)?;
        process::nobody_works_in(&folder, cx).await?;
        let content = folder.content()?;
        let mut process = Process::of(id, &folder);
        // Nobody can use what still runs of a machine that has lost its disk.
        if let Some(lost) = process
            && (lost.lost_its_disk() || !matches!(content, Content::Whole(_)))
        {
            power::cut(id, &folder, cx).await?;
            let text = "A process of this machine was still running although its disk is gone; \
                        it was ended.";
            cx.reporter().note(Level::Warning, text);
            process = None;
        }
        match content {
            Content::Whole(_) if disk::is_gone(&folder) => folder.undo()?,
            Content::Whole(mut machine) => {
                machine.agrees_with(spec)?;
                // An interrupted change may have grown the disk and not written it down.
                machine.disk_mib = disk::size_mib(&folder).unwrap_or(machine.disk_mib);
                let wanted = changed(id, &machine, spec, options);
                return apply(&folder, &machine, wanted, process, cx).await;
            }
            Content::Nothing | Content::Foreign | Content::Half => {}
        }
        self.make(id, &folder, spec, options, cx).await
    }

    /// Makes a machine that is not there.
    async fn make(
        &self,
        id: &MachineId,
        folder: &Folder,
        spec: &VmSpec,
        options: Options,
        cx: &Cx,
    ) -> Result<()> {
        folder.make(cx)?;
        fault::point("qemu-create-disk", id.machine())?;
        // `check` has told why; once for all machines is enough.
        let (accel, _) = self.accelerate(options.accel, cx).await?;
        disk::make(folder, spec, cx).await?;
        fault::point("qemu-create-seed", id.machine())?;
        seed::write(folder, spec)?;
        fault::point("qemu-create-ports", id.machine())?;
        let _choosing = self.choosing_ports.lock().await;
        let _alone = roll::alone(cx).await?;
        let siblings = roll::others(cx.scratch_root(), id);
        let ports = ports::choose(id, &options, None, &siblings)?;
        let machine = Machine::new(id, spec, options, ports, accel);
        is_possible(&machine)?;
        fault::point("qemu-create-description", id.machine())?;
        folder.save(&machine)
    }
}

/// What a machine that exists would be, were it as asked for now.
fn changed(id: &MachineId, machine: &Machine, spec: &VmSpec, options: Options) -> Machine {
    let mut wanted = Machine::new(id, spec, options, machine.ports, machine.accel);
    // The image may have moved, but its disk stands on the file it was made from; and a
    // disk does not shrink.
    wanted.image = machine.image.clone();
    wanted.disk_mib = machine.disk_mib.max(disk_mib(spec));
    wanted.ports.ssh = wanted.options.ssh_port.unwrap_or(machine.ports.ssh);
    wanted.ports.engine = wanted.options.engine_port.unwrap_or(machine.ports.engine);
    wanted
}

/// Brings a machine that exists to what is `wanted`: what needs a new start, such as its
/// size, waits for the next `create` while it is off.
async fn apply(
    folder: &Folder,
    machine: &Machine,
    wanted: Machine,
    process: Option<Process>,
    cx: &Cx,
) -> Result<()> {
    if wanted == *machine {
        return Ok(());
    }
    if process.is_some() {
        let mut marked = machine.clone();
        marked.mark.clone_from(&wanted.mark);
        if marked != *machine {
            folder.save(&marked)?;
        }
        if wanted != marked {
            waits(cx.reporter());
        }
        return Ok(());
    }
    is_possible(&wanted)?;
    if wanted.disk_mib > machine.disk_mib {
        disk::grow(folder, wanted.disk_mib, cx).await?;
    }
    folder.save(&wanted)
}

fn waits(reporter: &Reporter) {
    let text = "The machine runs; what was changed in `machines.toml` counts once it has \
                been stopped and `fleet up` is run again.";
    reporter.note(Level::Warning, text);
}

/// Refuses a description that QEMU cannot follow, before it exists.
fn is_possible(machine: &Machine) -> Result<()> {
    let start = Start { seed: Seed::Gone, sandbox: Sandbox::Unavailable };
    args::words(machine, start).map(drop)
}
