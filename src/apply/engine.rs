//! The steps that bring the engine into the guest and to its settings.

use std::net::IpAddr;
use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Level, Result, Sighting, wait};
use time::OffsetDateTime;

use super::{Ground, Machine, Stopped};
use crate::config::{Install, Spec};
use crate::engine::Engine;
use crate::guest::facts::{self, Firewall, FirstBootState, GuestFacts};
use crate::guest::settings::{FirstBoot, Settings, server_names};
use crate::guest::source::Init;
use crate::guest::{Guest, Script, install as scripts};
use crate::images::Images;
use crate::pki::Pki;
use crate::state::Record;

/// How long an engine may take to start, in an emulated guest that boots.
const STARTED: Duration = Duration::from_secs(300);
/// How long the engine of a new machine may take before fleet looks from inside.
const FIRST_START: Duration = Duration::from_secs(120);
/// How long an engine that runs may take to say so.
const QUICK: Duration = Duration::from_secs(5);
/// How long a driver may take to say where a machine is.
const ASK: Duration = Duration::from_secs(20);

/// The settings that a machine's engine should run with.
///
/// `record` and `seen` are what is known of the machine, if it exists: it keeps its
/// address on the lab network for life, and its certificate is for every address by
/// which it is reached right now.
pub(crate) fn settings(
    spec: &Spec,
    record: Option<&Record>,
    seen: Option<&Sighting>,
    pki: &Pki,
) -> Settings {
    let address = record.map_or(spec.address, |record| record.address);
    let spec = Spec { address, ..spec.clone() };
    let reached = seen.iter().flat_map(|seen| {
        let ports = [seen.engine, seen.ssh].into_iter().flatten().map(|at| at.ip());
        ports.chain(seen.lab.map(Into::into))
    });
    let more: Vec<IpAddr> = reached.filter(|ip| !ip.is_unspecified()).collect();
    Settings::new(&spec, pki, server_names(&spec, &more), record.map_or(0, |r| r.cert_serial))
}

/// The same in the middle of a run.
async fn wanted(ground: &Ground, machine: &Machine) -> Result<Settings> {
    let spec = ground.named(&machine.name)?;
    let seen = machine.driver.inspect(&machine.id, &machine.cx.within(ASK)).await?;
    let record = ground.store().record(&machine.name).cloned();
    Ok(settings(spec, record.as_ref(), seen.as_ref(), ground.pki()?))
}

/// The settings as part of the first boot, so that the engine's first start is
/// secured already; none where no engine is wanted.
pub(super) fn first_boot(ground: &Ground, spec: &Spec) -> Result<Option<FirstBoot>> {
    if spec.engine.install == Install::None {
        return Ok(None);
    }
    let pki = ground.pki()?;
    let record = ground.store().record(&spec.name).cloned();
    let settings = settings(spec, record.as_ref(), None, pki);
    let cert = pki.server(settings.names())?;
    settings.first_boot(&cert).map(Some)
}

/// A client of the engine of a machine.
pub(super) async fn client(ground: &Ground, name: &str, cx: &Cx) -> Result<Engine> {
    let id = ground.store().machine_id(&ground.fleet.name, name);
    let driver = ground.driver(name).await?;
    let seen = driver.inspect(&id, &cx.within(ASK.min(cx.left()))).await?;
    let address = seen.and_then(|s| s.engine).ok_or_else(|| {
        Error::not_found(format!("the engine of `{name}` has no address"))
            .hint(format!("is it running? Ask `fleet status {name}`"))
    })?;
    Engine::new(address, ground.pki()?)
}

async fn look(machine: &mut Machine) -> Result<GuestFacts> {
    let ssh = machine
        .ssh
        .as_ref()
        .ok_or_else(|| Error::bug("the engine's steps came before the connection"))?;
    let script = facts::script();
    let found = facts::parse(&ssh.run(&script, &machine.cx.within(script.limit)).await?)?;
    machine.init = found.init;
    Ok(found)
}

/// Waits for the engine of a machine that was just made, where the image has one: its
/// first start is secured already, and it tells so itself sooner than a look into a
/// guest that is busy booting. Tells whether it did.
async fn first_start(ground: &Ground, machine: &Machine, spec: &Spec) -> Result<bool> {
    let new = ground.store().record(&machine.name).is_some_and(|record| !record.settled);
    if !new || !Images::open(&ground.host).has_engine(&spec.image) {
        return Ok(false);
    }
    let digest = wanted(ground, machine).await?.digest().to_owned();
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(FIRST_START);
    let reason = format!("the engine at {}", engine.address());
    let told = wait::until(&cx, &reason, "", || async {
        let facts = engine.facts(&cx).await?;
        let pinned = spec.engine.version.as_ref();
        Ok(facts.settings() == Some(digest.as_str())
            && pinned.is_none_or(|version| scripts::matches(version, &facts.version)))
    })
    .await;
    match told {
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        // Whatever is wrong is seen better from inside.
        told => Ok(told.unwrap_or(false)),
    }
}

/// Installs the engine where it is missing or of another version than the pinned one.
pub(super) async fn install(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground.named(&machine.name)?;
    if first_start(ground, machine, spec).await? {
        machine.secured = true;
        return Ok(Outcome::Unchanged);
    }
    let found = look(machine).await?;
    let text = own_script(spec)?;
    let script = scripts::install(&spec.engine, text.as_deref(), &found, &spec.user)?;
    let Some(script) = script else {
        machine.facts = Some(found);
        return Ok(Outcome::Unchanged);
    };
    run_installer(ground, machine, &script).await?;
    Ok(Outcome::Done)
}

/// Installs the newest engine of the wanted version, also where an older one is.
pub(super) async fn upgrade(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground.named(&machine.name)?;
    let found = look(machine).await?;
    let text = own_script(spec)?;
    let script = scripts::upgrade(&spec.engine, text.as_deref(), &found, &spec.user)?;
    run_installer(ground, machine, &script).await?;
    let (before, after) = (found.engine, machine.facts.as_ref().and_then(|f| f.engine.clone()));
    if before == after {
        return Ok(Outcome::Unchanged);
    }
    if let (Some(before), Some(after)) = (before, after) {
        let text = format!("The engine was {before} and is {after} now.");
        machine.cx.reporter().note(Level::Info, text);
    }
    Ok(Outcome::Done)
}

/// The text of the user's own script, where the engine is installed by one.
fn own_script(spec: &Spec) -> Result<Option<String>> {
    let Install::Script(path) = &spec.engine.install else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).map_err(|e| {
        Error::config("your install script cannot be read")
            .with("script", path.display())
            .because(e)
    })
}

/// Runs what installs the engine, and looks at what there is then.
async fn run_installer(ground: &Ground, machine: &mut Machine, script: &Script) -> Result<()> {
    let cx = machine.cx.within(script.limit);
    let ssh = machine.ssh.as_ref().ok_or_else(|| Error::bug("no connection"))?;
    ssh.run(script, &cx).await.map_err(|e| scripts::explain(e, ground.fleet.network.internet))?;
    machine.installed = true;
    let found = look(machine).await?;
    if found.engine.is_none() {
        return Err(Error::guest("the engine is still missing after its installation")
            .hint("does your script install `dockerd` in one of the usual folders?"));
    }
    machine.facts = Some(found);
    Ok(())
}

/// Writes settings and certificates into the guest and restarts the engine, unless it
/// runs with them already or is about to.
pub(super) async fn configure(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    if machine.secured {
        return Ok(Outcome::Unchanged);
    }
    let spec = ground.named(&machine.name)?;
    let pki = ground.pki()?;
    let settings = wanted(ground, machine).await?;
    let found = match machine.facts.take() {
        Some(found) => found,
        None => look(machine).await?,
    };
    if found.firewall == Firewall::Firewalld {
        let network = &ground.fleet.network;
        let script = scripts::firewall(&format!("{}/{}", network.subnet, network.prefix))?;
        let ssh = machine.ssh.as_ref().ok_or_else(|| Error::bug("no connection"))?;
        ssh.run(&script, &machine.cx.within(script.limit)).await?;
    }
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let now = OffsetDateTime::now_utc();
    // Not every package starts its engine anew.
    let outdated = |running: &str| match (&spec.engine.version, &found.engine) {
        (Some(wanted), Some(there)) => {
            scripts::matches(wanted, there) && !scripts::matches(wanted, running)
        }
        _ => false,
    };
    let on_disk = found.settings().as_deref() == Some(settings.digest());
    match engine.facts(&machine.cx.within(QUICK)).await {
        Ok(running)
            if running.settings() == Some(settings.digest())
                && !outdated(&running.version)
                && !running.cert_ends().is_some_and(|ends| pki.due(ends, now)) =>
        {
            return Ok(Outcome::Unchanged);
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error.into()),
        Err(error) if error.kind() == ErrorKind::Busy && on_disk => {
            let by_itself = found.unit.as_ref().is_some_and(|unit| match unit.active.as_str() {
                // SSH answers before the engine's service begins to start.
                "inactive" => machine.starts && !machine.installed && unit.enabled == "enabled",
                "failed" => false,
                _ => true,
            });
            let booting = found.first_boot == FirstBootState::Running;
            if by_itself || booting && !machine.installed {
                return Ok(Outcome::Unchanged);
            }
        }
        Ok(_) | Err(_) => {}
    }
    let cert = pki.server(settings.names())?;
    let ssh = machine.ssh.as_ref().ok_or_else(|| Error::bug("no connection"))?;
    let cx = machine.cx.within(STARTED);
    scripts::configure(ssh, &settings, &cert, &found, &cx).await?;
    Ok(Outcome::Done)
}

/// What to try when an engine does not do what it should.
pub(super) fn engine_log(machine: &Machine) -> String {
    let log = match machine.init.unwrap_or_default() {
        Init::Systemd => "journalctl -u docker",
        Init::OpenRc => "tail -n 50 /var/log/docker.log",
    };
    format!("look at its log: `fleet ssh {} sudo {log}`", machine.name)
}

/// Waits until the engine answers over mutual TLS.
pub(super) async fn wait(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(STARTED);
    let reason = format!("the engine at {}", engine.address());
    let hint = engine_log(machine);
    wait::until(&cx, &reason, &hint, || async { engine.facts(&cx).await.map(drop) }).await?;
    Ok(Outcome::Unchanged)
}
