//! The steps that bring the engine into the guest and to its settings.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Result, wait};

use super::{Ground, Machine, Stopped};
use crate::config::{Install, Spec};
use crate::engine::Engine;
use crate::guest::facts::{self, FirstBootState, GuestFacts};
use crate::guest::settings::{FirstBoot, Settings, server_names};
use crate::guest::{Guest, install as scripts};
use crate::images::Images;

/// How long an engine may take to start, in an emulated guest that boots.
const STARTED: Duration = Duration::from_secs(300);
/// How long the engine of a new machine may take before fleet looks from inside.
const FIRST_START: Duration = Duration::from_secs(120);
/// How long an engine that runs may take to say so.
const QUICK: Duration = Duration::from_secs(5);

/// The settings that a machine's engine should run with.
pub(crate) fn settings(spec: &Spec, pki: &crate::pki::Pki) -> Settings {
    Settings::new(spec, pki, server_names(spec, &[]), 0)
}

/// The settings as part of the first boot, so that the engine's first start is
/// secured already; none where no engine is wanted.
pub(super) fn first_boot(ground: &Ground, spec: &Spec) -> Result<Option<FirstBoot>> {
    if spec.engine.install == Install::None {
        return Ok(None);
    }
    let pki = ground.pki()?;
    let settings = settings(spec, pki);
    let cert = pki.server(settings.names())?;
    settings.first_boot(&cert).map(Some)
}

/// A client of the engine of a machine.
pub(super) async fn client(ground: &Ground, name: &str, cx: &Cx) -> Result<Engine> {
    let (id, driver) = {
        let store = ground.store();
        let recorded = store.record(name).map(|record| record.driver.clone());
        let named = || ground.spec(name).map(|spec| spec.driver.clone());
        let driver = recorded.or_else(named).unwrap_or_default();
        (store.machine_id(&ground.fleet.name, name), driver)
    };
    let driver = ground.host.registry().driver(&driver, &ground.host)?;
    let seen = driver.inspect(&id, &cx.within(Duration::from_secs(20))).await?;
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
    facts::parse(&ssh.run(&script, &machine.cx.within(script.limit)).await?)
}

/// Waits for the engine of a machine that was just made, where the image has one: its
/// first start is secured already, and it tells so itself sooner than a look into a
/// guest that is busy booting. Tells whether it did.
async fn first_start(ground: &Ground, machine: &Machine, spec: &Spec) -> Result<bool> {
    let new = ground.store().record(&machine.name).is_some_and(|record| !record.settled);
    if !new || !Images::open(&ground.host).has_engine(&spec.image) {
        return Ok(false);
    }
    let digest = settings(spec, ground.pki()?).digest().to_owned();
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
    let spec = ground
        .spec(&machine.name)
        .ok_or_else(|| Error::bug(format!("`{}` is not in the file", machine.name)))?;
    if first_start(ground, machine, spec).await? {
        machine.secured = true;
        return Ok(Outcome::Unchanged);
    }
    let found = look(machine).await?;
    let text = match &spec.engine.install {
        Install::Script(path) => Some(std::fs::read_to_string(path).map_err(|e| {
            Error::config("your install script cannot be read")
                .with("script", path.display())
                .because(e)
        })?),
        Install::Auto | Install::Distro | Install::GetDocker | Install::None => None,
    };
    let script = scripts::install(&spec.engine, text.as_deref(), &found, &spec.user)?;
    let Some(script) = script else {
        machine.facts = Some(found);
        return Ok(Outcome::Unchanged);
    };
    let cx = machine.cx.within(script.limit);
    let ssh = machine.ssh.as_ref().ok_or_else(|| Error::bug("no connection"))?;
    ssh.run(&script, &cx).await.map_err(|e| scripts::explain(e, ground.fleet.network.internet))?;
    let found = look(machine).await?;
    if found.engine.is_none() {
        return Err(Error::guest("the engine is still missing after its installation")
            .hint("does your script install `dockerd` in one of the usual folders?")
            .into());
    }
    machine.facts = Some(found);
    Ok(Outcome::Done)
}

/// Writes settings and certificates into the guest and restarts the engine, unless it
/// runs with them already or is about to.
pub(super) async fn configure(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground
        .spec(&machine.name)
        .ok_or_else(|| Error::bug(format!("`{}` is not in the file", machine.name)))?;
    if machine.secured {
        return Ok(Outcome::Unchanged);
    }
    let pki = ground.pki()?;
    let settings = settings(spec, pki);
    let found = match machine.facts.take() {
        Some(found) => found,
        None => look(machine).await?,
    };
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let on_disk = found.settings().as_deref() == Some(settings.digest());
    match engine.facts(&machine.cx.within(QUICK)).await {
        Ok(running) if running.settings() == Some(settings.digest()) => {
            return Ok(Outcome::Unchanged);
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error.into()),
        Err(error) if error.kind() == ErrorKind::Busy && on_disk => {
            let coming = found.first_boot == FirstBootState::Running
                || found
                    .unit
                    .as_ref()
                    .is_some_and(|u| u.active.contains("activ") && u.active != "inactive");
            if coming {
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
pub(super) fn engine_log(machine: &str) -> String {
    format!("look at its log: `fleet ssh {machine} sudo journalctl -u docker`")
}

/// Waits until the engine answers over mutual TLS.
pub(super) async fn wait(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(STARTED);
    let reason = format!("the engine at {}", engine.address());
    let hint = engine_log(&machine.name);
    wait::until(&cx, &reason, &hint, || async { engine.facts(&cx).await.map(drop) }).await?;
    Ok(Outcome::Unchanged)
}
