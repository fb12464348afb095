//! Starting a machine: `start`, which finds the process of an earlier one that was killed
//! half-way, and settles the machine's ports before it starts another.

use fleet_driver::{Cx, Error, ErrorKind, Level, MachineId, Result, fault};

use crate::args::Start;
use crate::folder::{CONSOLE, Folder};
use crate::machine::Machine;
use crate::process::Process;
use crate::{Qemu, check, disk, ports, power, process, roll, seed};

impl Qemu {
    /// Starts the machine, or lets one go on that has a process.
    ///
    /// # Errors
    /// As [`fleet_driver::Driver::start`].
    pub(crate) async fn start_one(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let folder = Folder::new(id, cx);
        Process::must_be_here(id, &folder)?;
        process::nobody_works_in(&folder, cx).await?;
        let mut machine = folder.machine()?;
        let process = Process::of(id, &folder);
        if process.is_some_and(Process::lost_its_disk) || disk::is_gone(&folder) {
            return Err(Error::driver("the machine's disk is gone")
                .with("folder", folder.path().display())
                .hint("`fleet up` makes the machine anew"));
        }
        if process.is_some() {
            match power::go_on(id, &folder, cx).await {
                // It was on its way out.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return other,
            }
        }
        // What an earlier process has left stays: QEMU replaces it, and the lock on the pid
        // file keeps a second process from taking the sockets of one that comes up late.
        let emulator = self.emulator(cx).await?;
        machine.accel = self.accelerate(machine.options.accel, cx).await?.0;
        let start = Start { seed: seed::of(&folder), sandbox: emulator.sandbox };
        fault::point("qemu-start-ports", id.machine())?;
        self.settle_ports(id, &folder, &mut machine, cx).await?;
        if !folder.file(CONSOLE).exists() {
            folder.write(CONSOLE, b"")?;
        }
        fault::point("qemu-start-process", id.machine())?;
        let failure = match power::spawn(id, &folder, &machine, start, cx).await {
            Ok(()) => return fault::point("qemu-started", id.machine()),
            Err(failure) => failure,
        };
        if failure.kind() == ErrorKind::Interrupted || cx.left().is_zero() {
            return Err(failure);
        }
        if Process::of(id, &folder).is_some() {
            // Perhaps that of a start that was killed before it could be seen; it holds the
            // disk, which is why there is no second one.
            return power::go_on(id, &folder, cx).await.map_err(|_| failure);
        }
        // Another program may have taken a port in the last moment; then others are
        // chosen, once.
        let before = machine.ports;
        self.settle_ports(id, &folder, &mut machine, cx).await?;
        if machine.ports == before {
            return Err(failure);
        }
        power::spawn(id, &folder, &machine, start, cx).await
    }

    /// Sees that the machine's ports can be had, and writes down what was decided.
    async fn settle_ports(
        &self,
        id: &MachineId,
        folder: &Folder,
        machine: &mut Machine,
        cx: &Cx,
    ) -> Result<()> {
        check::ports::still_free(id, machine)?;
        let _choosing = self.choosing_ports.lock().await;
        let _alone = roll::alone(cx).await?;
        let siblings = roll::others(cx.scratch_root(), id);
        let ports = ports::choose(id, &machine.options, Some(machine.ports), &siblings)?;
        if ports != machine.ports {
            if Process::of(id, folder).is_some() {
                // It has the ports itself: a start that was killed has come through.
                return Ok(());
            }
            let text = "Another program has taken a port of this machine, so it has got a new \
                        one; run `fleet env` again where you use it.";
            cx.reporter().note(Level::Warning, text);
            machine.ports = ports;
        }
        folder.save(machine)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use fleet_driver::event::Reporter;
    use fleet_driver::{ImageFile, LabNic, VmSpec};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::machine::Accel;
    use crate::options::Options;

    fn machine(id: &MachineId) -> Machine {
        let spec = VmSpec {
            cpus: 1,
            memory_mib: 32,
            disk_mib: 16,
            image: ImageFile { path: "/nowhere".into(), sha256: "aa".to_owned(), size_mib: 1 },
            lab: LabNic { address: [10, 77, 0, 11].into(), prefix: 24 },
            internet: false,
            forwards: Vec::new(),
            seed: Vec::new(),
            mark: std::collections::BTreeMap::new(),
            apart: None,
            options: toml::Table::new(),
        };
        let ports = ports::choose(id, &Options::default(), None, &[]).unwrap();
        Machine::new(id, &spec, Options::default(), ports, Accel::Tcg)
    }

    /// A program that looks like the machine's process and has its port.
    #[tokio::test]
    async fn a_port_that_the_machines_own_process_has_stays_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::new(dir.path(), Reporter::silent(), CancellationToken::new());
        let id = MachineId::new("lab-none", "start");
        let folder = Folder::new(&id, &cx);
        folder.make(&cx).unwrap();
        let made = machine(&id);
        folder.save(&made).unwrap();
        let _taken = TcpListener::bind(made.ssh()).unwrap();
        let settled = async || {
            let mut machine = made.clone();
            Qemu::new(dir.path()).settle_ports(&id, &folder, &mut machine, &cx).await.unwrap();
            assert_eq!(machine, folder.machine().unwrap());
            machine.ports
        };
        let mut own = Command::new("sh")
            .arg0("qemu-system-pretends")
            .args(["-c", "read line", "sh", "-uuid", &id.uuid()])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let there = cx.within(std::time::Duration::from_secs(10));
        let seen = || async { Process::of(&id, &folder).map(drop).ok_or(Error::busy("not yet")) };
        fleet_driver::wait::until(&there, "the process to show", "", seen).await.unwrap();
        assert_eq!(settled().await, made.ports);
        own.kill().unwrap();
        own.wait().unwrap();
        assert_ne!(settled().await, made.ports);
    }
}
