//! What is to be seen of one machine right now; asks no program, so it takes
//! milliseconds.

use std::collections::BTreeMap;

use fleet_driver::{Console, Cx, ErrorKind, MachineId, Power, Result, Sighting};

use crate::args::Seed;
use crate::folder::{CONSOLE, Content, Folder, SERIAL};
use crate::machine::Machine;
use crate::power;
use crate::process::Process;
use crate::seed;

/// Looks at a machine; none if it does not exist or is half made.
///
/// # Errors
/// `Host` if its folder cannot be read, `Interrupted`.
pub(crate) async fn look(id: &MachineId, cx: &Cx) -> Result<Option<Sighting>> {
    let folder = Folder::new(id, cx);
    let process = Process::of(id, &folder);
    let machine = match folder.content() {
        Ok(Content::Whole(machine)) => machine,
        Ok(Content::Nothing | Content::Foreign | Content::Half) => {
            let text = |pid| format!("QEMU runs (process {pid}), but its folder is gone");
            return Ok(process.map(|process| broken(text(process.pid))));
        }
        Err(error) if error.kind() == ErrorKind::Conflict => {
            return Ok(Some(broken(error.to_string())));
        }
        Err(error) => return Err(error),
    };
    let power = match process {
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
        ssh: Some(machine.ssh()),
        engine: Some(machine.engine()),
        lab: Some(machine.lab.address),
        cpus: machine.cpus,
        memory_mib: machine.memory_mib,
        image_sha256: machine.image.sha256.clone(),
        forwards: machine.forwards.clone(),
        console: Some(Console { socket: folder.file(SERIAL), log: folder.file(CONSOLE) }),
        seeded: seed::of(folder) == Seed::Attached,
        details,
    }
}

/// What can be said of a machine whose description is gone or cannot be read.
fn broken(why: String) -> Sighting {
    Sighting {
        power: Power::Broken(why),
        ssh: None,
        engine: None,
        lab: None,
        cpus: 0,
        memory_mib: 0,
        image_sha256: String::new(),
        forwards: Vec::new(),
        console: None,
        seeded: false,
        details: BTreeMap::new(),
    }
}
