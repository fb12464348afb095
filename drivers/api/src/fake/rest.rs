//! The fake world's machines at rest, and their snapshots.

use std::time::{SystemTime, UNIX_EPOCH};

use super::world::Machine;
use super::{Fake, Verb};
use crate::error::{Error, Result};
use crate::spec::{Power, Rest, Snapshot};
use crate::{Answer, Cx, MachineId, Snapshots, Suspend};

impl Suspend for Fake {
    fn suspend<'a>(&'a self, id: &'a MachineId, rest: Rest, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Suspend, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            let resting = match rest {
                Rest::Memory => Power::Paused,
                Rest::Disk => Power::Saved,
            };
            self.change(id, |machine| match &machine.power {
                Power::Running => {
                    machine.power = resting;
                    Ok(())
                }
                same if *same == resting => Ok(()),
                other => Err(Error::conflict(format!("the machine is {other:?}, not running"))
                    .with("machine", id)
                    .hint("start it first")),
            })?
        })
    }
}

impl Snapshots for Fake {
    fn snapshot<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Snapshot, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            self.change(id, |machine| {
                if machine.snapshots.iter().any(|snapshot| snapshot.name == name) {
                    return Err(Error::conflict(format!("there is a snapshot `{name}` already"))
                        .with("machine", id)
                        .hint("take another name, or forget that one"));
                }
                let running = machine.power == Power::Running;
                machine.snapshots.push(Snapshot { name: name.to_owned(), created: now(), running });
                Ok(())
            })?
        })
    }

    fn snapshots<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Vec<Snapshot>> {
        Box::pin(async move {
            let _running = self.enter(Verb::Snapshots, &[id.machine()], cx).await?;
            self.change(id, |machine| machine.snapshots.clone())
        })
    }

    fn revert<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Revert, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            self.change(id, |machine| back_to(machine, id, name))?
        })
    }

    fn forget<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Forget, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            self.change(id, |machine| machine.snapshots.retain(|kept| kept.name != name))
        })
    }
}

fn back_to(machine: &mut Machine, id: &MachineId, name: &str) -> Result<()> {
    let kept = machine.snapshots.iter().find(|snapshot| snapshot.name == name);
    let kept = kept.ok_or_else(|| {
        Error::not_found(format!("there is no snapshot `{name}`"))
            .with("machine", id)
            .hint("list them first")
    })?;
    machine.power = if kept.running { Power::Running } else { Power::Stopped };
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
