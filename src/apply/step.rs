//! One `match`: step → driver, guest or engine call → what to write down.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Level, Power, Rest, Stop, wait};

use super::{Ground, Machine, Stopped, adopt, connect, create, drain, engine, leave, swarm};
use crate::plan::Step;

/// How long a hypervisor may take for one verb.
const VERB: Duration = Duration::from_secs(120);
/// How long it may take until a machine is there: its image may have to be sent to a host
/// far away first.
const CREATE: Duration = Duration::from_secs(3600);
/// How long the memory of a machine may take to be written.
const SAVE: Duration = Duration::from_secs(600);
/// How long a guest may take to shut down before its power is cut.
const SHUTDOWN: Duration = Duration::from_secs(90);

/// How often a step is run again whose connection broke.
const AGAIN: usize = 2;
/// How long a connection that broke may take to say that it has ended.
const ENDED: Duration = Duration::from_millis(300);

/// Runs one step of a machine; whatever was reached before is found again and left
/// as it is.
///
/// A step is run again over a new connection if the one that it used broke: what it does
/// in the guest may be repeated.
pub(super) async fn run(
    ground: &Ground,
    machine: &mut Machine,
    step: &Step,
) -> Result<Outcome, Stopped> {
    for _ in 0..AGAIN {
        let error = match Box::pin(once(ground, machine, step)).await {
            Err(Stopped::Failed(error)) if broke(machine, &error).await => error,
            ended => return ended,
        };
        let text = format!("{}; it is tried again over a new one.", capital(&error.to_string()));
        machine.cx.reporter().note(Level::Warning, text);
        machine.ssh = None;
        connect::connect(ground, machine).await?;
    }
    Box::pin(once(ground, machine, step)).await
}

/// Whether a step failed because its connection ended.
async fn broke(machine: &Machine, error: &Error) -> bool {
    let Some(ssh) = machine.ssh.as_ref().filter(|_| error.kind() == ErrorKind::Guest) else {
        return false;
    };
    let cx = machine.cx.within(ENDED);
    let ended = || async { if ssh.is_closed() { Ok(()) } else { Err(Error::busy("it is open")) } };
    wait::until(&cx, "the end of the connection", "", ended).await.is_ok()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

async fn once(ground: &Ground, machine: &mut Machine, step: &Step) -> Result<Outcome, Stopped> {
    match step {
        Step::Adopt => adopt::adopt(ground, machine).await,
        Step::Create => create::create(ground, machine, CREATE).await,
        Step::Resize => create::resize(ground, machine, VERB).await,
        Step::Start => start(ground, machine).await,
        Step::Connect => connect::connect(ground, machine).await,
        Step::InstallEngine => engine::install(ground, machine).await,
        Step::UpgradeEngine => engine::upgrade(ground, machine).await,
        Step::ConfigureEngine => engine::configure(ground, machine).await,
        Step::WaitEngine => engine::wait(ground, machine).await,
        Step::InitSwarm => swarm::init(ground, machine).await,
        Step::RecoverSwarm => swarm::recover(ground, machine).await,
        Step::JoinSwarm(role) => swarm::join(ground, machine, *role).await,
        Step::UpdateNode => swarm::update(ground, machine).await,
        Step::Activate => swarm::activate(ground, machine).await,
        Step::WaitReady => swarm::ready(ground, machine).await,
        Step::Unseed => connect::unseed(ground, machine).await,
        Step::Drain => drain::drain(ground, machine).await,
        Step::LeaveSwarm => leave::leave(ground, machine).await,
        Step::EndSwarm => leave::end(ground, machine).await,
        Step::RemoveNode => leave::remove(ground, machine).await,
        Step::Suspend(rest) => suspend(ground, machine, *rest).await,
        Step::Stop => stop(machine).await,
        Step::Kill => kill(machine).await,
        Step::Destroy => create::destroy(ground, machine, VERB).await,
    }
}

async fn start(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (driver, id) = (&machine.driver, &machine.id);
    let seen = driver.inspect(id, &machine.cx.within(VERB)).await?;
    if seen.is_some_and(|s| s.power == Power::Running) {
        return Ok(Outcome::Unchanged);
    }
    machine.verb(ground, VERB, "start", |cx| async move { driver.start(id, &cx).await }).await?;
    Ok(Outcome::Done)
}

async fn suspend(ground: &Ground, machine: &mut Machine, rest: Rest) -> Result<Outcome, Stopped> {
    let seen = machine.driver.inspect(&machine.id, &machine.cx.within(VERB)).await?;
    let (way, at_rest) = match rest {
        Rest::Memory => ("in its memory", Power::Paused),
        Rest::Disk => ("on disk", Power::Saved),
    };
    if seen.is_some_and(|seen| seen.power == at_rest) {
        return Ok(Outcome::Unchanged);
    }
    let (driver, id) = (&machine.driver, &machine.id);
    let about = driver.about();
    let able = match rest {
        Rest::Memory => about.capabilities.suspend,
        Rest::Disk => about.capabilities.save,
    };
    let suspending = driver.suspending().filter(|_| able).ok_or_else(|| {
        Error::host(format!("the driver `{}` cannot put machines to rest {way}", about.name))
            .hint("`fleet driver ls` shows what drivers can; `fleet stop` shuts the machine down")
    })?;
    // What was known of the guest may not hold when it wakes.
    let verb = |cx: Cx| async move { suspending.suspend(id, rest, &cx).await };
    machine.verb(ground, SAVE, "put to rest", verb).await?;
    (machine.ssh, machine.facts, machine.secured) = (None, None, false);
    Ok(Outcome::Done)
}

async fn stop(machine: &mut Machine) -> Result<Outcome, Stopped> {
    let cx = machine.cx.within(VERB);
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_none_or(|s| s.power == Power::Stopped) {
        return Ok(Outcome::Unchanged);
    }
    // What was known of the guest ends with this boot.
    (machine.ssh, machine.facts, machine.secured) = (None, None, false);
    let soft = machine.driver.stop(&machine.id, Stop::Soft, &cx.within(SHUTDOWN)).await;
    match soft {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Busy => {
            machine.cx.reporter().note(
                Level::Warning,
                format!(
                    "The guest did not shut down within {} s; its power was cut.",
                    SHUTDOWN.as_secs()
                ),
            );
            machine.driver.stop(&machine.id, Stop::Hard, &cx.within(VERB)).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome::Done)
}

async fn kill(machine: &mut Machine) -> Result<Outcome, Stopped> {
    let cx = machine.cx.within(VERB);
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_none_or(|s| s.power == Power::Stopped) {
        return Ok(Outcome::Unchanged);
    }
    (machine.ssh, machine.facts, machine.secured) = (None, None, false);
    machine.driver.stop(&machine.id, Stop::Hard, &cx).await?;
    Ok(Outcome::Done)
}
