//! The lane of one machine: from what is seen of it to what the file says.

use fleet_driver::{ImageFile, Power, Sighting};
use time::OffsetDateTime;

use super::{Force, Gate, Planned, Stage, Step, Up, gate, swarm};
use crate::config::{Install, Role, Spec};
use crate::engine::SwarmState;
use crate::guest::install;
use crate::observe::{EngineSeen, Observed, Seen};
use crate::state::Record;

/// Everything that is known of one machine.
pub(super) struct Look<'a> {
    pub(super) spec: &'a Spec,
    pub(super) record: Option<&'a Record>,
    pub(super) seen: Option<&'a Seen>,
    pub(super) settings: Option<&'a str>,
    pub(super) image: Option<&'a ImageFile>,
    pub(super) options: Option<&'a str>,
    pub(super) certs_due: Option<OffsetDateTime>,
}

impl<'a> Look<'a> {
    /// What the driver sees of it, unless it is not whole.
    fn whole(&self) -> Option<&'a Sighting> {
        let sighting = self.seen.and_then(|seen| seen.sighting.as_ref());
        sighting.filter(|s| !matches!(s.power, Power::Broken(_)))
    }

    /// Whether it has a vote in its swarm, as far as anybody knows.
    fn holds_a_vote(&self) -> bool {
        gate::holds_a_vote(self.seen, self.record)
    }

    /// Whether its first boot is behind it.
    fn settled(&self) -> bool {
        self.record.is_none_or(|record| record.settled) && self.whole().is_some_and(|s| !s.seeded)
    }
}

/// The steps that this machine needs, in order, and when; none if it is as it should be.
pub(super) fn lane(
    look: &Look<'_>,
    observed: &Observed,
    gate: &Gate,
    up: &Up,
) -> (Stage, Vec<Planned>) {
    if let Some(why) = replaced(look, up)
        && may_go(look, gate, up)
    {
        return replace(look, observed, gate, &why);
    }
    let mut steps = Vec::new();
    if look.whole().is_some() && look.record.is_none() {
        push(&mut steps, Step::Adopt, "its record was lost, and its mark says who it is");
    }
    let member = swarm::node_of(look.seen, observed);
    let serves = look.spec.role.is_some() && in_swarm(look.seen);
    let waits = waits(look, gate);
    let mut stage = Stage::Build;
    let booted = match power(&mut steps, look, up) {
        Boot::None => false,
        Boot::Cold => true,
        Boot::Again(_) if waits => false,
        Boot::Again(why) => {
            if serves {
                stage = Stage::Roll;
                swarm::drain(&mut steps, look.seen, observed);
            }
            push(&mut steps, Step::Stop, &why);
            push(&mut steps, Step::Resize, "");
            push(&mut steps, Step::Start, "");
            true
        }
    };
    if look.spec.engine.install == Install::None {
        if booted || !look.settled() {
            push(&mut steps, Step::Connect, unsettled_why(booted));
        }
    } else {
        let upgrades = up.upgrade.contains(&look.spec.name);
        if let Some(why) = engine_why(look, up, booted) {
            let answers = look.seen.and_then(Seen::facts).is_some();
            let interrupts = !booted && serves && answers;
            if interrupts && !waits {
                stage = Stage::Roll;
                swarm::drain(&mut steps, look.seen, observed);
            }
            if !(interrupts && waits) {
                engine(
                    &mut steps,
                    &why,
                    if upgrades { Step::UpgradeEngine } else { Step::InstallEngine },
                );
            }
        }
        swarm::join(&mut steps, look.spec, member, gate, stage, look.holds_a_vote());
    }
    let made = steps.iter().any(|p| p.step == Step::Create);
    if made || !look.settled() {
        if steps.iter().all(|p| p.step != Step::Connect) {
            push(&mut steps, Step::Connect, unsettled_why(booted));
        }
        push(&mut steps, Step::Unseed, "");
    }
    (stage, steps)
}

/// Whether a machine that works must not be interrupted yet: it is in a swarm that does
/// not decide, and may be what the others need to decide again.
fn waits(look: &Look<'_>, gate: &Gate) -> bool {
    let answers = look.seen.and_then(Seen::facts).is_some();
    look.spec.role.is_some() && in_swarm(look.seen) && answers && !matches!(gate, Gate::Open(_))
}

/// Whether the machine needs more than these steps, and only has to wait until its swarm
/// decides.
pub(super) fn is_for_now(look: &Look<'_>, gate: &Gate, up: &Up, steps: &[Planned]) -> bool {
    let (undecided, opens) = match gate {
        Gate::Seed(seed) | Gate::Recover(seed) => (true, *seed == look.spec.name),
        Gate::Open(_) | Gate::Unused => (false, false),
    };
    let resigns = look.spec.role == Some(Role::Worker) && (opens || look.holds_a_vote());
    let replaced = replaced(look, up).is_some() && !may_go(look, gate, up);
    replaced || (undecided && resigns) || put_off(look, gate, up, steps).is_some()
}

/// What is put off until the machine's swarm decides.
fn put_off(look: &Look<'_>, gate: &Gate, up: &Up, steps: &[Planned]) -> Option<String> {
    let has = |step: Step| steps.iter().any(|planned| planned.step == step);
    if !waits(look, gate) || has(Step::ConfigureEngine) {
        return None;
    }
    let size = look.whole().and_then(|sighting| size_why(look, sighting));
    size.filter(|_| up.restart && !has(Step::Resize)).or_else(|| engine_why(look, up, false))
}

/// Whether and how a machine boots in this plan.
enum Boot {
    /// It runs on.
    None,
    /// It is off now; the steps are pushed.
    Cold,
    /// It must be shut down first, for this reason.
    Again(String),
}

fn power(steps: &mut Vec<Planned>, look: &Look<'_>, up: &Up) -> Boot {
    let Some(sighting) = look.seen.and_then(|seen| seen.sighting.as_ref()) else {
        push(steps, Step::Create, "it does not exist");
        push(steps, Step::Start, "");
        return Boot::Cold;
    };
    let size = size_why(look, sighting);
    match (&sighting.power, size) {
        (Power::Broken(why), _) => {
            push(steps, Step::Create, &format!("it is not whole: {why}"));
            push(steps, Step::Start, "");
            Boot::Cold
        }
        (Power::Stopped, size) => {
            if let Some(why) = size {
                push(steps, Step::Resize, &why);
            }
            push(steps, Step::Start, "it is stopped");
            Boot::Cold
        }
        (Power::Paused | Power::Saved | Power::Running, Some(why)) if up.restart => {
            Boot::Again(why)
        }
        (Power::Paused | Power::Saved, _) => {
            push(steps, Step::Start, "it is at rest");
            Boot::Cold
        }
        (Power::Running, _) => Boot::None,
    }
}

/// Why a machine that `--replace` names is made anew; `None` if it need not be, because
/// it is new and only has to be finished.
fn replaced(look: &Look<'_>, up: &Up) -> Option<String> {
    if !up.replace.contains(&look.spec.name) || look.whole().is_none() {
        return None;
    }
    match anew_why(look) {
        Some(why) => Some(why),
        None if look.settled() => Some("you asked for it".to_owned()),
        None => None,
    }
}

/// Whether a machine may be made anew now: not while its swarm, which it may be needed for,
/// does not decide.
fn may_go(look: &Look<'_>, gate: &Gate, up: &Up) -> bool {
    match gate {
        Gate::Open(_) | Gate::Unused => true,
        // Together with the one that would bring the swarm back nothing of it is left.
        Gate::Seed(seed) | Gate::Recover(seed) => {
            up.force == Force::Yes && (*seed == look.spec.name || up.replace.contains(seed))
        }
    }
}

fn replace(look: &Look<'_>, observed: &Observed, gate: &Gate, why: &str) -> (Stage, Vec<Planned>) {
    let mut steps = Vec::new();
    let seeds = matches!(gate, Gate::Seed(seed) if *seed == look.spec.name);
    let member = observed.nodes.iter().flatten().any(|node| node.hostname == look.spec.name);
    let stage = if member && !seeds {
        swarm::farewell(&mut steps, &look.spec.name, observed);
        Stage::Roll
    } else {
        Stage::Build
    };
    push(&mut steps, Step::Destroy, why);
    push(&mut steps, Step::Create, "");
    push(&mut steps, Step::Start, "");
    if look.spec.engine.install == Install::None {
        push(&mut steps, Step::Connect, "");
    } else {
        engine(&mut steps, "", Step::InstallEngine);
        swarm::join(&mut steps, look.spec, swarm::Member::No, gate, Stage::Build, false);
    }
    push(&mut steps, Step::Unseed, "");
    (stage, steps)
}

fn unsettled_why(booted: bool) -> &'static str {
    if booted { "" } else { "its first boot was not finished" }
}

/// Brings the engine to its settings, going into the guest only where the engine
/// itself does not say that all is well.
fn engine(steps: &mut Vec<Planned>, why: &str, install: Step) {
    push(steps, Step::Connect, why);
    push(steps, install, "");
    push(steps, Step::ConfigureEngine, "");
    push(steps, Step::WaitEngine, "");
}

fn engine_why(look: &Look<'_>, up: &Up, booted: bool) -> Option<String> {
    if booted {
        return Some(String::new());
    }
    if up.upgrade.contains(&look.spec.name) {
        return Some("you asked for its newest engine".to_owned());
    }
    let facts = match look.seen.map(|seen| &seen.engine) {
        Some(EngineSeen::Answers(facts)) => facts,
        Some(EngineSeen::Silent(why)) => return Some(format!("its engine does not answer: {why}")),
        Some(EngineSeen::NotAsked) | None => {
            return Some("its engine was not secured yet".to_owned());
        }
    };
    if let Some(version) = &look.spec.engine.version
        && !install::matches(version, &facts.version)
    {
        return Some(format!("the file asks for engine {version}, it has {}", facts.version));
    }
    if look.settings.is_none() || facts.settings() != look.settings {
        return Some("its engine has other settings than the file".to_owned());
    }
    match (facts.cert_ends(), look.certs_due) {
        (Some(ends), Some(due)) if ends < due => {
            Some(format!("the certificate of its engine ends on {}", ends.date()))
        }
        _ => None,
    }
}

/// What of a machine can be had by shutting it down and starting it again.
fn size_why(look: &Look<'_>, sighting: &Sighting) -> Option<String> {
    let spec = look.spec;
    if (sighting.cpus, sighting.memory_mib) != (spec.cpus, spec.memory_mib) {
        return Some(format!(
            "it has {} CPU and {} MiB, the file says {} and {} MiB",
            sighting.cpus, sighting.memory_mib, spec.cpus, spec.memory_mib
        ));
    }
    if spec.disk_mib > sighting.disk_mib {
        return Some(format!(
            "its disk has {} MiB, the file says {} MiB",
            sighting.disk_mib, spec.disk_mib
        ));
    }
    let sorted = |ports: &[fleet_driver::Forward]| {
        let mut ports: Vec<String> =
            ports.iter().map(|p| format!("{}:{}/{:?}", p.host, p.guest, p.protocol)).collect();
        ports.sort();
        ports
    };
    if sorted(&sighting.forwards) != sorted(&spec.ports) {
        return Some("other ports lead into it than the file says".to_owned());
    }
    let options = look.options.filter(|_| !sighting.options_digest.is_empty());
    options
        .is_some_and(|digest| digest != sighting.options_digest)
        .then(|| "its driver has other options than the file".to_owned())
}

/// What of a machine can only be had by making it anew.
fn anew_why(look: &Look<'_>) -> Option<String> {
    let (spec, sighting) = (look.spec, look.whole()?);
    if let Some(record) = look.record {
        if record.driver != spec.driver {
            return Some(format!("`{}` made it, the file says `{}`", record.driver, spec.driver));
        }
        if record.address != spec.address {
            return Some(format!(
                "its address is {}, the file says {}",
                record.address, spec.address
            ));
        }
        if record.user != spec.user {
            return Some(format!(
                "its account is `{}`, the file says `{}`",
                record.user, spec.user
            ));
        }
    }
    let other = look.image.is_some_and(|image| image.sha256 != sighting.image_sha256);
    other.then(|| "it was made from another image than the file says".to_owned())
}

/// What the machine has and the file does not ask for, and `up` does not change without
/// being told to.
pub(super) fn notes(look: &Look<'_>, gate: &Gate, up: &Up, steps: &[Planned]) -> Vec<String> {
    let Some(sighting) = look.whole() else {
        return Vec::new();
    };
    let has = |step: Step| steps.iter().any(|planned| planned.step == step);
    let name = &look.spec.name;
    let mut notes = Vec::new();
    if has(Step::Destroy) {
        return notes;
    }
    if let Some(why) = anew_why(look) {
        notes.push(format!(
            "`{name}`: {why}. That needs a new machine: `fleet up --replace {name}`."
        ));
    }
    if let Some(why) = size_why(look, sighting)
        && !has(Step::Resize)
        && !up.restart
    {
        notes.push(format!("`{name}`: {why}. That needs a restart: `fleet up --restart`."));
    } else if let Some(why) = put_off(look, gate, up, steps) {
        notes.push(format!("`{name}`: {why}. That waits until its swarm decides again."));
    }
    let least = look.image.map_or(u64::MAX, |image| image.size_mib.max(look.spec.disk_mib));
    if sighting.disk_mib > least {
        notes.push(format!(
            "`{name}`: its disk has {} MiB, the file says {} MiB. A disk does not shrink: \
             `fleet up --replace {name}` makes it anew.",
            sighting.disk_mib, look.spec.disk_mib
        ));
    }
    notes
}

pub(super) fn push(steps: &mut Vec<Planned>, step: Step, why: &str) {
    steps.push(Planned { step, why: why.to_owned() });
}

/// Whether the machine takes part in a swarm already.
pub(super) fn in_swarm(seen: Option<&Seen>) -> bool {
    seen.and_then(Seen::facts)
        .is_some_and(|facts| matches!(facts.swarm.state, SwarmState::Active | SwarmState::Pending))
}
