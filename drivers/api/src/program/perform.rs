//! From a call to the verb of a driver, and from what it gives to an answer.

use serde::Serialize;
use serde_json::Value;

use super::wire::{Call, Id};
use crate::{Cx, Driver, Error, MachineId, Result, Snapshots, Suspend, VmSpec};

/// Does what the call asks for.
///
/// # Errors
/// Those of the verb; `Bug` if the call lacks an argument or its verb is unknown.
pub(super) async fn perform(driver: &dyn Driver, call: Call, cx: &Cx) -> Result<Value> {
    let Call { verb, machine, spec, wanted, fleet, how, rest, name, .. } = call;
    let lacks = |what: &str| Error::bug(format!("the call `{verb}` has no `{what}`"));
    let id = || machine.clone().map(MachineId::from).ok_or_else(|| lacks("machine"));
    let vm = || spec.clone().ok_or_else(|| lacks("spec")).and_then(VmSpec::try_from);
    let named = || name.clone().ok_or_else(|| lacks("name"));
    match verb.as_str() {
        "check" => {
            let wanted = wanted.ok_or_else(|| lacks("wanted"))?.into_iter();
            let wanted: Vec<(MachineId, VmSpec)> = wanted
                .map(|wanted| Ok((wanted.machine.into(), wanted.spec.try_into()?)))
                .collect::<Result<_>>()?;
            value(&driver.check(&wanted, cx).await?)
        }
        "list" => {
            let found = driver.list(fleet.as_deref(), cx).await?;
            value(&found.iter().map(Id::from).collect::<Vec<_>>())
        }
        "inspect" => value(&driver.inspect(&id()?, cx).await?),
        "cards" => value(&driver.cards(&id()?, &vm()?, cx).await?),
        "create" => nothing(driver.create(&id()?, &vm()?, cx).await),
        "start" => nothing(driver.start(&id()?, cx).await),
        "stop" => nothing(driver.stop(&id()?, how.ok_or_else(|| lacks("how"))?, cx).await),
        "unseed" => nothing(driver.unseed(&id()?, cx).await),
        "destroy" => nothing(driver.destroy(&id()?, cx).await),
        "console" => value(&driver.console(&id()?, cx).await?),
        "suspend" => {
            let rest = rest.ok_or_else(|| lacks("rest"))?;
            nothing(rests(driver)?.suspend(&id()?, rest, cx).await)
        }
        "snapshot" => nothing(keeps(driver)?.snapshot(&id()?, &named()?, cx).await),
        "snapshots" => value(&keeps(driver)?.snapshots(&id()?, cx).await?),
        "revert" => nothing(keeps(driver)?.revert(&id()?, &named()?, cx).await),
        "forget" => nothing(keeps(driver)?.forget(&id()?, &named()?, cx).await),
        _ => Err(Error::bug(format!("there is no verb `{verb}` in this version"))),
    }
}

fn rests(driver: &dyn Driver) -> Result<&dyn Suspend> {
    driver.suspending().ok_or_else(|| Error::bug("this driver puts no machine to rest"))
}

fn keeps(driver: &dyn Driver) -> Result<&dyn Snapshots> {
    driver.snapshotting().ok_or_else(|| Error::bug("this driver takes no snapshots"))
}

fn value(given: &impl Serialize) -> Result<Value> {
    serde_json::to_value(given).map_err(|e| Error::bug("an answer has no JSON").because(e))
}

fn nothing(result: Result<()>) -> Result<Value> {
    result.map(|()| Value::Null)
}
