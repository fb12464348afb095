//! On and off: starting a machine's process, asking it, and ending it.

use std::time::{Duration, Instant};

use fleet_driver::run::{Cmd, tail};
use fleet_driver::wait::{pause_for, until};
use fleet_driver::{Cx, Error, ErrorKind, MachineId, Power, Result};
use serde_json::json;

use crate::args::{self, Start};
use crate::emulator::PROGRAM;
use crate::folder::{CONSOLE, Folder};
use crate::machine::{Accel, Machine};
use crate::process::Process;
use crate::qmp::Qmp;

/// Starting takes a second; with a host under load and much memory to lock, more.
const START: Duration = Duration::from_secs(60);
/// How long a QEMU that runs may keep silent before it counts as stuck.
const ANSWER: Duration = Duration::from_secs(30);
/// A guest that is still booting ignores the button, so it is pressed again.
const PRESS_EVERY: Duration = Duration::from_secs(4);
/// How soon a guest shows that its disk is still full.
const RELAPSE: Duration = Duration::from_millis(500);
/// How long QEMU has to end by itself when told to, and when killed.
const QUIT: Duration = Duration::from_secs(3);
const KILL: Duration = Duration::from_secs(20);

/// Asks the machine's process how it is.
///
/// # Errors
/// `Interrupted`.
pub(crate) async fn power(
    process: Process,
    id: &MachineId,
    folder: &Folder,
    cx: &Cx,
) -> Result<Power> {
    match status(folder, cx).await {
        Ok(status) => Ok(meaning(&status)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        Err(_) if !process.is(id) => Ok(Power::Stopped),
        Err(error) => Ok(Power::Broken(format!("process {}: {error}", process.pid))),
    }
}

/// QEMU's run state (`RunState` in its QMP reference) in the words of the contract.
fn meaning(status: &str) -> Power {
    match status {
        "running" => Power::Running,
        // `io-error`: QEMU pauses a guest that writes more than the host's disk holds, and
        // lets it write again when it is to go on.
        "paused" | "prelaunch" | "suspended" | "debug" | "io-error" => Power::Paused,
        // About to end: the guest has switched itself off.
        "shutdown" => Power::Stopped,
        "internal-error" => Power::Broken("the hypervisor could not go on with the guest".into()),
        "guest-panicked" => Power::Broken("the guest's kernel panicked".into()),
        other => Power::Broken(format!("QEMU is in the state `{other}`")),
    }
}

async fn status(folder: &Folder, cx: &Cx) -> Result<String> {
    let mut qmp = Qmp::connect(folder.path(), cx).await?;
    let answer = qmp.execute("query-status", json!({})).await?;
    Ok(answer["status"].as_str().unwrap_or_default().to_owned())
}

/// Lets a machine that has a process run: one that is paused, that waits for space on
/// a disk, or whose start was interrupted.
///
/// # Errors
/// `NotFound` if its process has gone meanwhile, `Driver` if it cannot go on.
pub(crate) async fn go_on(id: &MachineId, folder: &Folder, cx: &Cx) -> Result<()> {
    let cx = &cx.within(ANSWER.min(cx.left()));
    let attempt = || async {
        match resume(folder, cx).await {
            Err(_) if Process::of(id, folder).is_none() => Err(Error::not_found("it has ended")),
            other => other,
        }
    };
    until(cx, "QEMU's control socket", "`fleet restart` the machine", attempt).await
}

async fn resume(folder: &Folder, cx: &Cx) -> Result<()> {
    let mut qmp = Qmp::connect(folder.path(), cx).await?;
    let answer = qmp.execute("query-status", json!({})).await?;
    match answer["status"].as_str().unwrap_or_default() {
        "running" => Ok(()),
        "suspended" => qmp.execute("system_wakeup", json!({})).await.map(drop),
        "paused" | "prelaunch" | "debug" => qmp.execute("cont", json!({})).await.map(drop),
        "io-error" => {
            qmp.execute("cont", json!({})).await?;
            stays_on(folder, &mut qmp, cx).await
        }
        other => Err(Error::driver("the machine cannot go on")
            .with("state", other)
            .hint("`fleet restart` it")),
    }
}

/// Looks whether a guest that was paused since the disk was full goes on now: what it
/// could not write is written again first, which fails within milliseconds or not at all.
///
/// # Errors
/// `Host` if it was paused again.
async fn stays_on(folder: &Folder, qmp: &mut Qmp<'_>, cx: &Cx) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < RELAPSE {
        pause_for(cx, RELAPSE / 10).await?;
        let answer = qmp.execute("query-status", json!({})).await?;
        if answer["status"] == "io-error" {
            return Err(Error::host("the machine was paused again: it cannot write to its disk")
                .with("folder", folder.path().display())
                .hint("free some space on the file system of that folder, then start it again"));
        }
    }
    Ok(())
}

/// Starts the process of a machine that has none.
///
/// # Errors
/// `Driver` with what QEMU said.
pub(crate) async fn spawn(
    id: &MachineId,
    folder: &Folder,
    machine: &Machine,
    start: Start,
    cx: &Cx,
) -> Result<()> {
    let words = args::words(machine, start)?;
    let cmd = Cmd::new(PROGRAM).args(words).cwd(folder.path()).within(START);
    let hinted = |error: Error| match machine.accel {
        Accel::Kvm => error.hint("if KVM is at fault, set `qemu.accel = \"tcg\"`"),
        Accel::Tcg => error,
    };
    cx.run(&cmd).await.map_err(hinted)?;
    let answers = || async {
        if Process::of(id, folder).is_none() {
            let log = std::fs::read(folder.file(CONSOLE)).unwrap_or_default();
            let log = tail(&String::from_utf8_lossy(&log), 12);
            return Err(
                Error::driver("the machine went off right after it was started").because(log)
            );
        }
        status(folder, cx).await
    };
    until(cx, "QEMU's control socket", "`fleet down` the machine and try again", answers)
        .await
        .map(drop)
        .map_err(hinted)
}

/// Presses the power button until the process has ended.
///
/// # Errors
/// `Busy` if it still runs at the deadline.
pub(crate) async fn press(id: &MachineId, folder: &Folder, cx: &Cx) -> Result<()> {
    let mut next = Instant::now();
    while Process::of(id, folder).is_some() {
        cx.go_on()?;
        if cx.left().is_zero() {
            return Err(Error::busy("the guest did not shut down in time")
                .hint("`fleet logs` shows what it is doing"));
        }
        if Instant::now() >= next {
            match press_once(folder, cx).await {
                Err(e) if e.kind() == ErrorKind::Interrupted => return Err(e),
                // It may have gone just now, or be busy; the loop will see.
                Ok(()) | Err(_) => next = Instant::now() + PRESS_EVERY,
            }
        }
        pause_for(cx, Duration::from_millis(100)).await?;
    }
    Ok(())
}

async fn press_once(folder: &Folder, cx: &Cx) -> Result<()> {
    // A paused guest does not feel the button.
    resume(folder, cx).await?;
    let mut qmp = Qmp::connect(folder.path(), cx).await?;
    qmp.execute("system_powerdown", json!({})).await.map(drop)
}

/// Ends the process at once: by its own hand, or else by a signal.
///
/// # Errors
/// `Driver` if it cannot be ended.
pub(crate) async fn cut(id: &MachineId, folder: &Folder, cx: &Cx) -> Result<()> {
    // There are two while QEMU is becoming a daemon; either may be found first.
    for _ in 0..4 {
        let Some(process) = Process::of(id, folder) else {
            return Ok(());
        };
        if end(process, id, folder, cx).await? {
            continue;
        }
        let error = Error::driver("QEMU could not be ended").with("process", process.pid);
        return Err(error.hint("it may be waiting for a disk that does not answer"));
    }
    Err(Error::busy("QEMU is being started by somebody else"))
}

/// Ends one process; tells whether it has gone.
async fn end(process: Process, id: &MachineId, folder: &Folder, cx: &Cx) -> Result<bool> {
    let quit = async {
        let mut qmp = Qmp::connect(folder.path(), cx).await?;
        qmp.execute("quit", json!({})).await
    };
    match quit.await {
        Err(e) if e.kind() == ErrorKind::Interrupted => return Err(e),
        Ok(_) if gone(process, id, QUIT, cx).await? => return Ok(true),
        Ok(_) | Err(_) => {}
    }
    // The number may be another program's by now.
    if process.is(id) {
        // The shell's own `kill`, since not every host has the program.
        let words = ["-c", "kill -KILL \"$1\"", "sh", &process.pid.to_string()];
        cx.run(&Cmd::new("sh").args(words).any_status().within(KILL)).await?;
    }
    gone(process, id, KILL, cx).await
}

async fn gone(process: Process, id: &MachineId, time: Duration, cx: &Cx) -> Result<bool> {
    let began = Instant::now();
    while process.is(id) {
        if began.elapsed() > time || cx.left().is_zero() {
            return Ok(false);
        }
        pause_for(cx, Duration::from_millis(20)).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use fleet_driver::event::Reporter;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::folder::QMP;

    #[test]
    fn states_are_told_apart() {
        assert_eq!(meaning("running"), Power::Running);
        assert_eq!(meaning("paused"), Power::Paused);
        assert_eq!(meaning("io-error"), Power::Paused);
        assert_eq!(meaning("shutdown"), Power::Stopped);
        for broken in ["internal-error", "guest-panicked", "what-is-this"] {
            assert!(matches!(meaning(broken), Power::Broken(_)), "{broken}");
        }
    }

    /// Answers like a QEMU whose guest is paused for want of space; `cont` lets it run,
    /// until it has been asked so often how it is.
    async fn full(listener: UnixListener, mut runs_for: usize) -> usize {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut say = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n".to_owned();
        let (mut status, mut continued) = ("io-error", 0);
        loop {
            stream.get_mut().write_all(say.as_bytes()).await.unwrap();
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return continued;
            }
            let command: serde_json::Value = serde_json::from_str(&line).unwrap();
            let answer = match command["execute"].as_str().unwrap() {
                "query-status" if status == "running" && runs_for == 0 => {
                    status = "io-error";
                    json!({ "status": status })
                }
                "query-status" => {
                    runs_for = runs_for.saturating_sub(usize::from(status == "running"));
                    json!({ "status": status })
                }
                "cont" => {
                    continued += 1;
                    status = "running";
                    json!({})
                }
                _ => json!({}),
            };
            say = format!("{}\r\n", json!({ "return": answer }));
        }
    }

    async fn resumed(runs_for: usize) -> (Result<()>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::new(dir.path(), Reporter::silent(), CancellationToken::new())
            .within(Duration::from_secs(20));
        let folder = Folder::new(&MachineId::new("lab-none", "host1"), &cx);
        folder.make(&cx).unwrap();
        let listener = UnixListener::bind(folder.file(QMP)).unwrap();
        let server = tokio::spawn(full(listener, runs_for));
        let result = resume(&folder, &cx).await;
        (result, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_guest_that_waited_for_space_goes_on_when_there_is_some() {
        let (result, continued) = resumed(usize::MAX).await;
        result.unwrap();
        assert_eq!(continued, 1);
    }

    #[tokio::test]
    async fn a_guest_whose_disk_is_still_full_is_an_error_with_the_way_out() {
        for runs_for in [0, 1] {
            let (result, continued) = resumed(runs_for).await;
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Host);
            assert!(error.hint_text().unwrap().contains("free some space"), "{error:?}");
            assert_eq!(continued, 1);
        }
    }
}
