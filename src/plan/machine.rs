//! The lane of one machine: from what is seen of it to what the file says.

use fleet_driver::Power;

use super::{Gate, Planned, Step, swarm};
use crate::config::{Install, Spec};
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
    pub(super) image: Option<&'a str>,
}

/// The steps that this machine needs, in order; none if it is as it should be.
pub(super) fn lane(look: &Look<'_>, observed: &Observed, gate: &Gate) -> Vec<Planned> {
    let mut steps = Vec::new();
    let sighting = look.seen.and_then(|seen| seen.sighting.as_ref());
    let booted = match sighting.map(|s| &s.power) {
        None => {
            push(&mut steps, Step::Create, "it does not exist");
            push(&mut steps, Step::Start, "");
            true
        }
        Some(Power::Broken(why)) => {
            push(&mut steps, Step::Create, &format!("it is not whole: {why}"));
            push(&mut steps, Step::Start, "");
            true
        }
        Some(Power::Stopped) => {
            push(&mut steps, Step::Start, "it is stopped");
            true
        }
        Some(Power::Paused) => {
            push(&mut steps, Step::Start, "it is paused");
            true
        }
        Some(Power::Running) => false,
    };
    let settled = look.record.is_some_and(|r| r.settled) && !sighting.is_none_or(|s| s.seeded);
    if look.spec.engine.install == Install::None {
        if booted || !settled {
            push(&mut steps, Step::Connect, unsettled_why(booted));
        }
    } else {
        engine(&mut steps, look, booted);
        swarm::join(&mut steps, look, observed, gate);
    }
    if booted && steps.iter().all(|p| p.step != Step::Create) && settled {
        return steps;
    }
    if !settled || steps.iter().any(|p| p.step == Step::Create) {
        if steps.iter().all(|p| p.step != Step::Connect) {
            push(&mut steps, Step::Connect, unsettled_why(booted));
        }
        push(&mut steps, Step::Unseed, "");
    }
    steps
}

fn unsettled_why(booted: bool) -> &'static str {
    if booted { "" } else { "its first boot was not finished" }
}

/// Brings the engine to its settings, going into the guest only where the engine
/// itself does not say that all is well.
fn engine(steps: &mut Vec<Planned>, look: &Look<'_>, booted: bool) {
    let Some(why) = engine_why(look, booted) else { return };
    push(steps, Step::Connect, &why);
    push(steps, Step::InstallEngine, "");
    push(steps, Step::ConfigureEngine, "");
    push(steps, Step::WaitEngine, "");
}

fn engine_why(look: &Look<'_>, booted: bool) -> Option<String> {
    if booted {
        return Some(String::new());
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
    if look.settings.is_some() && facts.settings() == look.settings {
        None
    } else {
        Some("its engine has other settings than the file".to_owned())
    }
}

/// What the machine has and the file does not ask for, and `up` does not change by
/// itself.
pub(super) fn notes(look: &Look<'_>) -> Vec<String> {
    let Some(sighting) = look.seen.and_then(|seen| seen.sighting.as_ref()) else {
        return Vec::new();
    };
    if matches!(sighting.power, Power::Broken(_)) {
        return Vec::new();
    }
    let name = &look.spec.name;
    let mut notes = Vec::new();
    if (sighting.cpus, sighting.memory_mib) != (look.spec.cpus, look.spec.memory_mib) {
        notes.push(format!(
            "`{name}` has {} CPU and {} MiB, the file asks for {} and {} MiB; that needs a new machine: `fleet down {name}`, then `fleet up`.",
            sighting.cpus, sighting.memory_mib, look.spec.cpus, look.spec.memory_mib
        ));
    }
    if look.image.is_some_and(|image| image != sighting.image_sha256) {
        notes.push(format!(
            "`{name}` was made from another build of its image; that needs a new machine: `fleet down {name}`, then `fleet up`."
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
