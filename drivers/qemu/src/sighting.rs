//! What is to be seen of one machine right now; asks no program, so it takes
//! milliseconds.

use std::collections::BTreeMap;

use fleet_driver::{Console, Cx, ErrorKind, MachineId, Power, Result, Sighting};

use crate::args::Seed;
use crate::folder::{CONSOLE, Content, Folder, SERIAL};
use crate::machine::Machine;
use crate::process::Process;
use crate::{disk, power, seed};

/// Looks at a machine; none if it does not exist or is half made.
///
/// # Errors
/// `Host` if its folder cannot be read, `Interrupted`.
pub(crate) async fn look(id: &MachineId, cx: &Cx) -> Result<Option<Sighting>> {
    cx.check_scratch(id)?;
    let folder = Folder::new(id, cx);
    if let Some((process, place)) = Process::elsewhere(id, &folder) {
        let (pid, place) = (process.pid, place.display());
        let why = format!("it runs (process {pid}) from another data folder: {place}");
        return Ok(Some(broken(why)));
    }
    let process = Process::of(id, &folder);
    let machine = match folder.content() {
        Ok(Content::Whole(machine)) => machine,
        Ok(content) => {
            let lost = match content {
                Content::Half => "the rest of the machine",
                _ => "its folder",
            };
            let text = |pid| format!("QEMU runs (process {pid}), but {lost} is gone");
            return Ok(process.map(|process| broken(text(process.pid))));
        }
        Err(error) if error.kind() == ErrorKind::Conflict => {
            return Ok(Some(broken(error.to_string())));
        }
        Err(error) => return Err(error),
    };
    let power = match process {
        Some(process) if process.lost_its_disk() => {
            Power::Broken(format!("QEMU runs (process {}), but its disk is gone", process.pid))
        }
        None if disk::is_gone(&folder) => Power::Broken("its disk is gone".to_owned()),
        Some(process) => power::power(process, id, &folder, cx).await?,
        None => Power::Stopped,
    };
    Ok(Some(whole(&machine, &folder, process, power)))
}

fn whole(machine: &Machine, folder: &Folder, process: Option<Process>, power: Power) -> Sighting {
    let mut details = BTreeMap::from([("accel".to_owned(), machine.accel.name().to_owned())]);
    if let Some(process) = process {
        details.insert("pid".to_owned(), process.pid.to_string());
    }
    Sighting {
        power,
        host: None,
        ssh: Some(machine.ssh()),
        engine: Some(machine.engine()),
        lab: Some(machine.lab.address),
        cpus: machine.cpus,
        memory_mib: machine.memory_mib,
        disk_mib: disk::size_mib(folder).unwrap_or(machine.disk_mib),
        image_sha256: machine.image.sha256.clone(),
        forwards: machine.forwards.clone(),
        console: Some(Console { socket: folder.file(SERIAL), log: folder.file(CONSOLE) }),
        seeded: seed::of(folder) == Seed::Attached,
        mark: machine.mark.clone(),
        options_digest: machine.options_digest.clone(),
        details,
    }
}

/// What can be said of a machine whose description is gone or cannot be read.
fn broken(why: String) -> Sighting {
    Sighting {
        power: Power::Broken(why),
        host: None,
        ssh: None,
        engine: None,
        lab: None,
        cpus: 0,
        memory_mib: 0,
        disk_mib: 0,
        image_sha256: String::new(),
        forwards: Vec::new(),
        console: None,
        seeded: false,
        mark: BTreeMap::new(),
        options_digest: String::new(),
        details: BTreeMap::new(),
    }
}
