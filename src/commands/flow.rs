//! What the commands that run a plan share: credentials, the look, the check of the
//! host, and the run with its display and summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fleet_driver::event::Outcome;
use fleet_driver::{Error, Finding, ImageFile, Level, MachineId, Result, VmSpec};

use super::{Exit, Global, Session};
use crate::apply::{self, Tools};
use crate::config::{ImageRef, Install, Spec};
use crate::guest::keys::{self, ClientEntry, KeyPair};
use crate::host::Host;
use crate::images::Images;
use crate::observe::{self, Depth, Observed, Patience};
use crate::pki::Pki;
use crate::plan::{self, Gate, Intent, Lane, Plan, Planned, Step, Wanted};
use crate::report;

/// The fleet's own keys.
pub(super) struct Credentials {
    pub(super) pki: Pki,
    pub(super) key: KeyPair,
}

/// Makes the fleet's certificates and login key where they are missing; needs the lock.
pub(super) fn credentials(session: &Session) -> Result<Credentials> {
    let pki = Pki::open_or_create(&session.dir().join("certs"), &session.fleet.name)?;
    let key = KeyPair::load_or_create(&session.dir().join("ssh/id_ed25519"))?;
    Ok(Credentials { pki, key })
}

/// Looks and plans.
pub(super) async fn plan(
    session: &Session,
    pki: Option<&Pki>,
    specs: &[Spec],
    intent: &Intent,
) -> Result<(Plan, Observed)> {
    // The swarm is asked through whichever manager answers, also one not named.
    // What all goes away needs no word with its engines.
    let depth = match intent {
        Intent::DownAll => Depth::Machines,
        Intent::Up(_) | Intent::Down(_) => Depth::Engines,
    };
    let machines = &session.fleet.machines;
    let observed = observe::observe(session, machines, depth, Patience::default()).await?;
    let images = Images::open(&session.host);
    let mut wanted = Wanted::default();
    for spec in specs {
        if let Some(pki) = pki
            && spec.engine.install != Install::None
        {
            let settings = apply::settings(spec, pki);
            wanted.settings.insert(spec.name.clone(), settings.digest().to_owned());
        }
        if let Some(file) = images.find(&spec.image)? {
            wanted.images.insert(spec.image.clone(), file.sha256);
        }
    }
    let plan = plan::plan(&session.fleet, session.store.records(), &observed, &wanted, intent);
    Ok((plan, observed))
}

/// Whether no machine of this fleet exists, whatever the records say.
pub(super) async fn none_exists(session: &Session) -> Result<bool> {
    let observed =
        observe::observe(session, &session.fleet.machines, Depth::Machines, Patience::default())
            .await?;
    Ok(observed.strays.is_empty() && observed.machines.values().all(|m| m.sighting.is_none()))
}

/// Asks the drivers whether this host can do what the plan needs, before anything is
/// made.
///
/// # Errors
/// `Host` with everything that stands in the way.
pub(super) async fn check(session: &Session, plan: &Plan) -> Result<()> {
    let images = Images::open(&session.host);
    let mut wanted: BTreeMap<&str, Vec<(MachineId, VmSpec)>> = BTreeMap::new();
    for lane in &plan.lanes {
        if !lane.steps.iter().any(|p| matches!(p.step, Step::Create | Step::Start)) {
            continue;
        }
        let spec = session.spec(&lane.machine)?;
        let image = images.find(&spec.image)?.unwrap_or_else(|| not_there_yet(&spec.image));
        let vm = apply::vm_spec(&session.fleet, spec, &image);
        wanted.entry(&spec.driver).or_default().push((session.id(&spec.name), vm));
    }
    let cx = session.cx().within(Duration::from_secs(30));
    let mut findings = Vec::new();
    for (name, machines) in &wanted {
        let driver = session.host.registry().driver(name, &session.host)?;
        findings.extend(driver.check(machines, &cx).await?);
    }
    let (errors, rest): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|f| f.level == Level::Error);
    for finding in rest {
        tell(session, &finding);
    }
    refuse(errors)
}

fn not_there_yet(image: &ImageRef) -> ImageFile {
    let path = match image {
        ImageRef::Path(path) => path.clone(),
        ImageRef::Name(_) | ImageRef::Url { .. } => std::path::PathBuf::new(),
    };
    ImageFile { path, sha256: String::new(), size_mib: 0 }
}

fn tell(session: &Session, finding: &Finding) {
    if session.global.quiet || session.global.json {
        return;
    }
    let level = match finding.level {
        Level::Info => "note",
        Level::Warning | Level::Error => "warning",
    };
    let about = finding.machine.as_ref().map(|m| format!("`{m}`: ")).unwrap_or_default();
    let hint = finding.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    session.host.err(&format!("{level}: {about}{}{hint}\n", finding.message));
}

fn refuse(errors: Vec<Finding>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    let mut error = Error::host(first.message);
    if let Some(machine) = first.machine {
        error = error.with("machine", machine);
    }
    let mut hints: Vec<String> = first.hint.into_iter().collect();
    for finding in errors {
        error = error.with("also", finding.message);
        hints.extend(finding.hint);
    }
    hints.dedup();
    if !hints.is_empty() {
        error = error.hint(hints.join("; "));
    }
    Err(error)
}

/// Prints the notes of a plan.
pub(super) fn notes(session: &Session, plan: &Plan) {
    if session.global.quiet || session.global.json {
        return;
    }
    for note in &plan.notes {
        session.host.err(&format!("note: {note}\n"));
    }
}

/// Runs a plan with its display and its summary, and gives the exit code.
pub(super) async fn run(
    session: &Session,
    plan: Plan,
    tools: Tools,
    next: &[String],
    again: &str,
) -> Exit {
    let began = Instant::now();
    let host = &session.host;
    let mode = report::Mode::choose(host, &session.global);
    let (reporter, reports) = report::open(host, mode, Some(&session.dir().join("log")))?;
    let applied = apply::apply(session, plan, tools, &reporter).await;
    drop(reporter);
    let log = reports.finish().await;
    let ends = match applied {
        Ok(ends) => ends,
        Err(error) => {
            let error = match &log {
                Some(log) => error.with("log", log.display()),
                None => error,
            };
            return Err(error.into());
        }
    };
    let failed = ends
        .iter()
        .any(|end| matches!(end.outcome, Outcome::Failed { .. } | Outcome::Skipped { .. }));
    if mode != report::Mode::Json && (mode != report::Mode::Quiet || failed) {
        let again = [again.to_owned()];
        let next = if failed { &again } else { next };
        let log = log.filter(|_| failed);
        host.err(&report::summary(
            &ends,
            began.elapsed(),
            next,
            log.as_deref(),
            host.stderr_has_colour(),
        ));
    }
    if host.cancel().is_cancelled() {
        return Ok(130);
    }
    Ok(u8::from(failed))
}

/// Writes `.fleet/ssh/config` and `known_hosts`, so that the user's own `ssh` reaches
/// the machines too.
pub(super) async fn write_ssh_config(session: &Session) -> Result<()> {
    let mut entries = Vec::new();
    for (name, record) in session.store.records() {
        let Ok(sighting) = session.sighting(name).await else { continue };
        let Some(address) = sighting.ssh else { continue };
        entries.push(ClientEntry {
            name: name.clone(),
            address,
            user: record.user.clone(),
            host_key: record.host_key.clone(),
        });
    }
    keys::write_client_config(&session.dir().join("ssh"), &entries)
}

/// Runs the same steps on each of the named machines: `start`, `stop`, `restart`.
///
/// # Errors
/// `NotFound` for a machine that does not exist, before anything is done.
pub(super) async fn power(
    host: &Host,
    global: &Global,
    names: &[String],
    command: &str,
    steps: impl Fn(&Spec) -> Vec<Step>,
) -> Exit {
    let mut session = Session::open(host, global)?;
    let specs = session.select(names)?;
    let _lock = session.lock(command).await?;
    let mut lanes = Vec::new();
    for spec in &specs {
        session.sighting(&spec.name).await?;
        let planned =
            steps(spec).into_iter().map(|step| Planned { step, why: String::new() }).collect();
        let driver = session.store.record(&spec.name).map_or(&spec.driver, |r| &r.driver).clone();
        lanes.push(Lane { machine: spec.name.clone(), driver, steps: planned });
    }
    let plan = Plan { images: BTreeSet::new(), lanes, gate: Gate::Unused, notes: Vec::new() };
    check(&session, &plan).await?;
    let credentials = credentials(&session)?;
    let tools = Tools { pki: Some(credentials.pki), key: Some(credentials.key), parallel: 16 };
    let code = run(&session, plan, tools, &[], command).await?;
    session.refresh()?;
    // A port that was taken meanwhile may have moved.
    write_ssh_config(&session).await?;
    Ok(code)
}
