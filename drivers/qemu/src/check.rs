//! Whether this host can run the machines that are wanted, before any is made.

pub(crate) mod ports;

use std::path::{Path, PathBuf};

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, ErrorKind, Finding, Level, MachineId, Result, VmSpec};

use crate::emulator::{Emulator, IMG, INSTALL, OLDEST};
use crate::folder::{Content, Folder};
use crate::machine::{Accel, Machine};
use crate::options::{AccelChoice, Options};
use crate::probe::Kvm;
use crate::process::Process;

/// What a machine's process takes beyond the guest's memory and the translator's
/// cache: measured, and rounded up.
const OVERHEAD_MIB: u64 = 96;
/// What must be free for the lab to do anything with its disks.
const FREE_MIB: u64 = 2048;
/// What a new machine's overlay takes before it does any work.
const OVERLAY_MIB: u64 = 300;

/// A machine that is wanted, with what is known of it.
pub(crate) struct Wanted<'a> {
    id: &'a MachineId,
    spec: &'a VmSpec,
    options: Options,
    /// Its description, if it was made already.
    made: Option<Machine>,
    runs: bool,
}

/// Looks at each wanted machine; those with bad options become findings.
pub(crate) fn look<'a>(
    wanted: &'a [(MachineId, VmSpec)],
    cx: &Cx,
    findings: &mut Vec<Finding>,
) -> Vec<Wanted<'a>> {
    let mut known = Vec::new();
    for (id, spec) in wanted {
        let options = match Options::parse(&spec.options) {
            Ok(options) => options,
            Err(error) => {
                findings.push(from_error(Some(id), &error));
                continue;
            }
        };
        if let Err(error) = cx.check_scratch(id) {
            findings.push(from_error(Some(id), &error));
            continue;
        }
        let folder = Folder::new(id, cx);
        let made = match folder.content() {
            Ok(Content::Whole(machine)) => Some(*machine),
            Ok(Content::Half | Content::Nothing | Content::Foreign) => None,
            Err(error) => {
                findings.push(from_error(Some(id), &error));
                None
            }
        };
        let runs = Process::of(id, &folder).is_some();
        known.push(Wanted { id, spec, options, made, runs });
    }
    known
}

/// The programs.
///
/// # Errors
/// `Interrupted`.
pub(crate) async fn programs(
    emulator: Result<&Emulator>,
    cx: &Cx,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    match emulator {
        Ok(emulator) if emulator.major() < OLDEST => findings.push(Finding {
            hint: Some(format!("install QEMU {OLDEST} or newer")),
            ..finding(Level::Error, None, format!("QEMU {} is too old", emulator.version))
        }),
        Ok(emulator) => {
            findings.push(finding(Level::Info, None, format!("QEMU {}", emulator.version)));
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) => findings.push(from_error(None, &error)),
    }
    match cx.run(&Cmd::new(IMG).arg("--version")).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) => findings.push(from_error(None, &error.hint(INSTALL))),
    }
    Ok(())
}

/// Whether `accel = "auto"` is to be decided for any of them.
pub(crate) fn has_choice(wanted: &[Wanted]) -> bool {
    wanted.iter().any(|machine| machine.options.accel == AccelChoice::Auto)
}

/// KVM where it was asked for without a trial; `closed` says why it is not there.
pub(crate) fn explicit_kvm(wanted: &[Wanted], closed: Option<&str>, findings: &mut Vec<Finding>) {
    let Some(why) = closed else { return };
    for machine in wanted.iter().filter(|machine| machine.options.accel == AccelChoice::Kvm) {
        let text = format!("{why}, and `accel` is \"kvm\"");
        findings.push(Finding {
            hint: Some(KVM_HINT.to_owned()),
            ..finding(Level::Error, Some(machine.id), text)
        });
    }
}

/// How to be allowed to use KVM.
pub(crate) const KVM_HINT: &str = "enable virtualisation in the firmware and join the group `kvm` \
     (`usermod -aG kvm $USER`, then log in again), or set `qemu.accel = \"auto\"`";

/// What `auto` comes to, and why.
pub(crate) fn explain(kvm: &Kvm) -> (Accel, String) {
    let emulated = |why: &str| {
        format!("machines are emulated, which is about ten times slower than KVM: {why}")
    };
    match kvm {
        Kvm::Works => (Accel::Kvm, "machines run under KVM".to_owned()),
        Kvm::Closed(why) => (Accel::Tcg, emulated(why)),
        Kvm::Useless(why) => (
            Accel::Tcg,
            emulated(&format!("/dev/kvm is there, but a small 64-bit guest failed on it ({why})")),
        ),
    }
}

/// The memory for all wanted machines that do not run yet.
pub(crate) fn memory(wanted: &[Wanted], auto: Accel, meminfo: &str, findings: &mut Vec<Finding>) {
    let idle: Vec<&Wanted> = wanted.iter().filter(|machine| !machine.runs).collect();
    let need: u64 = idle.iter().map(|machine| need_mib(machine, auto)).sum();
    let Some(available) = field_mib(meminfo, "MemAvailable") else {
        return;
    };
    if need <= available {
        return;
    }
    let swap = field_mib(meminfo, "SwapFree").unwrap_or(0);
    let (level, outcome) = if need > available + swap {
        (Level::Error, String::new())
    } else {
        (Level::Warning, format!(", and {swap} MiB of swap, which is slow"))
    };
    let guests: u64 = idle.iter().map(|machine| machine.spec.memory_mib).sum();
    let text = format!(
        "starting {} takes {need} MiB of memory ({guests} MiB for the guests, the rest for QEMU), \
         but this host has {available} MiB available{outcome}",
        match idle.len() {
            1 => "1 machine".to_owned(),
            many => format!("{many} machines"),
        },
    );
    findings.push(Finding {
        hint: Some(
            "give the machines less `memory`, have fewer of them, or stop others".to_owned(),
        ),
        ..finding(level, None, text)
    });
}

fn need_mib(machine: &Wanted, auto: Accel) -> u64 {
    let emulated = match machine.options.accel {
        AccelChoice::Auto => auto == Accel::Tcg,
        AccelChoice::Kvm => false,
        AccelChoice::Tcg => true,
    };
    let cache = if emulated { u64::from(machine.options.tcg_cache_mib) } else { 0 };
    machine.spec.memory_mib + cache + OVERHEAD_MIB
}

/// A line of `/proc/meminfo`, which counts in KiB (proc(5)).
fn field_mib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// The room for the disks.
///
/// # Errors
/// `Interrupted`.
pub(crate) async fn disk(
    wanted: &[Wanted<'_>],
    cx: &Cx,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let root = nearest_existing(cx.scratch_root());
    let output = match cx.run(&Cmd::new("df").arg("-kP").arg(&root)).await {
        Ok(output) => output.text(),
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) => {
            let text = format!("the free space could not be read: {error}");
            findings.push(finding(Level::Warning, None, text));
            return Ok(());
        }
    };
    let new = wanted.iter().filter(|machine| machine.made.is_none()).count() as u64;
    let need = if wanted.is_empty() { 0 } else { FREE_MIB + OVERLAY_MIB * new };
    if let Some(free) = free_mib(&output)
        && free < need
    {
        let text = format!(
            "{} has {free} MiB free, but {new} new machines need at least {need} MiB",
            root.display()
        );
        findings.push(Finding {
            hint: Some(
                "free some space, or set FLEET_DATA to a folder on another file system".to_owned(),
            ),
            ..finding(Level::Error, None, text)
        });
    }
    Ok(())
}

/// The fourth field of the last line: available KiB (POSIX, `df -kP`).
fn free_mib(df: &str) -> Option<u64> {
    Some(df.lines().last()?.split_whitespace().rev().nth(2)?.parse::<u64>().ok()? / 1024)
}

fn nearest_existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// The images that the machines' disks stand on.
pub(crate) fn images(wanted: &[Wanted], findings: &mut Vec<Finding>) {
    for machine in wanted {
        let image = machine.made.as_ref().map_or(&machine.spec.image, |made| &made.image);
        // An empty path: fleet gets the image before it creates the machine.
        if !image.path.as_os_str().is_empty() && !image.path.exists() {
            let text = format!("its image {} is not there", image.path.display());
            findings.push(Finding {
                hint: Some("`fleet image ls` shows the images that are there".to_owned()),
                ..finding(Level::Error, Some(machine.id), text)
            });
        }
    }
}

/// A finding without a hint.
pub(crate) fn finding(level: Level, id: Option<&MachineId>, message: String) -> Finding {
    Finding { level, machine: id.map(|id| id.machine().to_owned()), message, hint: None }
}

pub(crate) fn from_error(id: Option<&MachineId>, error: &Error) -> Finding {
    let hint = error.hint_text().map(str::to_owned);
    Finding { hint, ..finding(Level::Error, id, error.to_string()) }
}

#[cfg(test)]
mod tests;
