//! What the commands that run a plan share: the look, the check of the host, and the run
//! with its display and summary.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet_driver::event::Outcome;
use fleet_driver::{Error, ErrorKind, Finding, ImageFile, Level, MachineId, Result, VmSpec};
use time::format_description::well_known::Rfc3339;

use super::{Exit, Global, Session, credentials, life};
use crate::apply::{self, Tools};
use crate::config::{ImageRef, Install, Spec};
use crate::guest::keys::{self, ClientEntry};
use crate::host::Host;
use crate::images::Images;
use crate::observe::{self, Depth, Observed, Patience, Seen};
use crate::pki::{LEAF_DUE, Pki};
use crate::plan::{self, Intent, Lane, Plan, Planned, Stage, Step, Wanted};
use crate::{report, state};

/// Tells a person something that is no result.
pub(super) fn say(session: &Session, text: &str) {
    if !session.global.quiet && !session.global.json {
        session.host.err(text);
    }
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
        Intent::DownAll(_) => Depth::Machines,
        Intent::Up(_) | Intent::Down(..) | Intent::Restart(_) => Depth::Engines,
    };
    let machines = &session.fleet.machines;
    let observed = observe::observe(session, machines, depth, Patience::PLAN).await?;
    let images = Images::open(&session.host);
    let mut wanted = Wanted {
        // What ends together with the authority cannot be had any later.
        certs_due: pki.map(|pki| (session.host.now() + LEAF_DUE).min(pki.ca_expires())),
        protected: life::guarded(session),
        ..Wanted::default()
    };
    for spec in specs {
        let exists = observed.seen(&spec.name).is_some_and(Seen::whole);
        let file = if exists {
            // It may be another one than the machine was made from.
            images.look(&spec.image, &session.cx()).await?
        } else {
            images.find(&spec.image)?
        };
        if let Some(pki) = pki
            && spec.engine.install != Install::None
        {
            wanted.settings.insert(spec.name.clone(), digest(session, pki, spec, &observed));
        }
        let vm = apply::vm_spec(&session.fleet, spec, &not_there_yet(&spec.image));
        wanted.options.insert(spec.name.clone(), vm.options_digest());
        if let Some(file) = file {
            wanted.images.insert(spec.image.clone(), file);
        }
    }
    let records = session.store.records();
    let plan = plan::plan(&session.fleet, records, &observed, &wanted, intent)?;
    Ok((plan, observed))
}

/// The digest of the settings that a machine's engine should run with.
pub(super) fn digest(session: &Session, pki: &Pki, spec: &Spec, observed: &Observed) -> String {
    let seen = observed.seen(&spec.name).and_then(|seen| seen.sighting.as_ref());
    let record = session.store.record(&spec.name);
    apply::settings(spec, record, seen, pki).digest().to_owned()
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
        let driver = session.driver_called(name).await?;
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

/// Says where a run that was cut off stood; the next one goes on from what is there.
pub(super) fn tell_cut_off(session: &Session) {
    let Some(cut) = state::cut_off(session.dir()) else { return };
    let open: Vec<String> = cut
        .open
        .iter()
        .map(|(machine, step)| format!("`{machine}` at \"{}\"", report::doing(*step)))
        .collect();
    let stood = if open.is_empty() { String::new() } else { format!(": {}", open.join(", ")) };
    say(
        session,
        &format!(
            "note: The run before, `{}` of {}, was cut off{stood}. Going on from what is there.\n",
            cut.command, cut.at
        ),
    );
}

/// Asks before somebody's work is interrupted, if there is anybody to ask.
///
/// # Errors
/// `Interrupted` if the answer is not yes.
pub(super) async fn confirm(session: &Session, plan: &Plan, yes: Yes) -> Result<()> {
    let host = &session.host;
    if yes == Yes::Given || session.global.json || !host.stdin_is_terminal() {
        return Ok(());
    }
    let going = |wanted: fn(&Step) -> bool| {
        let has = |lane: &&Lane| lane.steps.iter().any(|planned| wanted(&planned.step));
        plan.lanes.iter().filter(has).map(|l| l.machine.clone()).collect::<Vec<_>>().join(", ")
    };
    let destroyed = going(|step| *step == Step::Destroy);
    let ends = going(|step| *step == Step::EndSwarm);
    let stopped = going(|step| *step == Step::Stop);
    let mut what = Vec::new();
    for (machines, verb) in [
        (destroyed, "destroys the disks of"),
        (ends, "ends the swarm of"),
        (stopped, "shuts down and starts again"),
    ] {
        if !machines.is_empty() {
            what.push(format!("{verb} {machines}"));
        }
    }
    if what.is_empty() {
        return Ok(());
    }
    host.err(&format!("This {}. Go on? [y/N] ", what.join(", and ")));
    if host.ask_line().await?.trim().to_lowercase().starts_with('y') {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Interrupted, "nothing was changed").hint("say `--yes` to go on"))
}

/// Whether the person has agreed beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yes {
    /// By `--yes`.
    Given,
    /// Not yet.
    Ask,
}

impl Yes {
    /// From the flag.
    pub(super) fn when(flag: bool) -> Self {
        if flag { Self::Given } else { Self::Ask }
    }
}

/// Runs a plan with its display and its summary, and gives the exit code.
pub(super) async fn run(
    session: &mut Session,
    plan: Plan,
    tools: Tools,
    next: &[String],
    again: &str,
) -> Exit {
    let began = Instant::now();
    life::remember(session)?;
    let session = &*session;
    let host = &session.host;
    let now = session.host.now().format(&Rfc3339).unwrap_or_default();
    let journal = state::Journal::begin(session.dir(), again, &now)?;
    let mode = report::Mode::choose(host, &session.global);
    let (reporter, reports) = report::open(host, mode, Some(&session.dir().join("log")))?;
    let applied = apply::apply(session, plan, tools, journal, &reporter).await;
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

/// Sees that the machines exist, before anything is done to one of them.
///
/// # Errors
/// `NotFound` for the first that does not.
pub(super) async fn exist(session: &Session, specs: &[Spec]) -> Result<()> {
    for spec in specs {
        session.sighting(&spec.name).await?;
    }
    Ok(())
}

/// Runs the same steps on each of the named machines, side by side: `start`, `stop`.
///
/// # Errors
/// `NotFound` for a machine that does not exist, before anything is done.
pub(super) async fn each(
    host: &Host,
    global: &Global,
    names: &[String],
    command: &str,
    steps: impl Fn(&Spec) -> Vec<Step>,
) -> Exit {
    let mut session = Session::open(host, global)?;
    let specs = session.select(names)?;
    let _lock = session.lock(command).await?;
    exist(&session, &specs).await?;
    let lanes = specs.iter().map(|spec| {
        let planned = |step| Planned { step, why: String::new() };
        let steps = steps(spec).into_iter().map(planned).collect();
        let driver = session.store.record(&spec.name).map_or(&spec.driver, |r| &r.driver).clone();
        Lane { machine: spec.name.clone(), driver, stage: Stage::Build, steps }
    });
    let plan = Plan { lanes: lanes.collect(), ..Plan::default() };
    power(session, plan, command).await
}

/// Runs a plan that starts or stops machines that exist; the lock is held.
pub(super) async fn power(mut session: Session, plan: Plan, command: &str) -> Exit {
    tell_cut_off(&session);
    check(&session, &plan).await?;
    let credentials = credentials::open(&session)?;
    let tools = Tools::of(Some(credentials.pki), Some(credentials.key));
    let code = run(&mut session, plan, tools, &[], command).await?;
    session.refresh()?;
    // A port that was taken meanwhile may have moved.
    write_ssh_config(&session).await?;
    Ok(code)
}

/// The machines of these names; all of the file that exist if none is named.
///
/// # Errors
/// `NotFound` for one that was named and does not exist, or if there is none at all.
pub(super) async fn existing(session: &Session, names: &[String]) -> Result<Vec<String>> {
    let specs = session.select(names)?;
    if !names.is_empty() {
        exist(session, &specs).await?;
        return Ok(specs.into_iter().map(|spec| spec.name).collect());
    }
    let observed = observe::observe(session, &specs, Depth::Machines, Patience::default()).await?;
    let there = |name: &String| observed.machines.get(name).is_some_and(|m| m.sighting.is_some());
    let names: Vec<String> = specs.into_iter().map(|spec| spec.name).filter(there).collect();
    if names.is_empty() {
        return Err(
            Error::not_found("none of these machines exists yet").hint("create them: `fleet up`")
        );
    }
    Ok(names)
}
