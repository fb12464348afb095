//! Events in words: the only place with progress wording.

use std::time::Duration;

use fleet_driver::Level;
use fleet_driver::event::{EventKind, Outcome, StepId, Unit};
use indicatif::BinaryBytes;

use super::clean;

/// What is going on during a step.
pub(crate) fn doing(step: StepId) -> &'static str {
    match step {
        StepId::Image => "preparing the image",
        StepId::Adopt => "taking back",
        StepId::Create => "creating",
        StepId::Resize => "resizing",
        StepId::Start => "starting",
        StepId::Connect => "waiting for SSH",
        StepId::Unseed => "removing the first-boot seed",
        StepId::InstallEngine => "installing the engine",
        StepId::ConfigureEngine => "configuring the engine",
        StepId::WaitEngine => "waiting for the engine",
        StepId::InitSwarm => "initialising the swarm",
        StepId::RecoverSwarm => "bringing the swarm back",
        StepId::JoinSwarm => "joining the swarm",
        StepId::UpdateNode => "updating the node",
        StepId::Activate => "letting it take tasks again",
        StepId::WaitReady => "waiting until the node is ready",
        StepId::Drain => "draining the node",
        StepId::LeaveSwarm => "leaving the swarm",
        StepId::RemoveNode => "removing the node",
        StepId::Suspend => "putting to rest",
        StepId::Stop => "stopping",
        StepId::Destroy => "removing",
    }
}

/// What holds after a step.
pub(super) fn done(step: StepId) -> &'static str {
    match step {
        StepId::Image => "image ready",
        StepId::Adopt => "taken back",
        StepId::Create => "created",
        StepId::Resize => "resized",
        StepId::Start => "started",
        StepId::Connect => "answers by SSH",
        StepId::Unseed => "first-boot seed removed",
        StepId::InstallEngine => "engine installed",
        StepId::ConfigureEngine => "engine configured",
        StepId::WaitEngine => "engine answers",
        StepId::InitSwarm => "swarm initialised",
        StepId::RecoverSwarm => "swarm decides again",
        StepId::JoinSwarm => "joined the swarm",
        StepId::UpdateNode => "node updated",
        StepId::Activate => "takes tasks again",
        StepId::WaitReady => "node is ready",
        StepId::Drain => "node drained",
        StepId::LeaveSwarm => "left the swarm",
        StepId::RemoveNode => "node removed from the swarm",
        StepId::Suspend => "at rest",
        StepId::Stop => "stopped",
        StepId::Destroy => "removed",
    }
}

/// What a machine is once its lane has ended with this step.
pub(super) fn end(last: Option<StepId>) -> &'static str {
    match last {
        Some(StepId::Suspend) => "at rest",
        Some(StepId::Stop) => "stopped",
        Some(StepId::Destroy) => "removed",
        Some(StepId::Image) => "image ready",
        Some(StepId::LeaveSwarm | StepId::RemoveNode) => "left the swarm",
        Some(StepId::Drain) => "drained",
        Some(StepId::Create) => "created",
        Some(StepId::Resize) => "resized",
        Some(StepId::Adopt) => "taken back",
        Some(
            StepId::Start
            | StepId::Connect
            | StepId::Unseed
            | StepId::InstallEngine
            | StepId::ConfigureEngine
            | StepId::WaitEngine
            | StepId::InitSwarm
            | StepId::RecoverSwarm
            | StepId::JoinSwarm
            | StepId::UpdateNode
            | StepId::Activate
            | StepId::WaitReady,
        ) => "ready",
        None => "nothing to do",
    }
}

/// An event as a sentence without its machine; hints are left to the sinks.
pub(super) fn sentence(kind: &EventKind) -> String {
    match kind {
        EventKind::PlanReady { lanes } => {
            let steps: usize = lanes.iter().map(|(_, steps)| steps).sum();
            format!("{}, {}", count(lanes.len(), "machine"), count(steps, "step"))
        }
        EventKind::StepStarted { step } => doing(*step).to_owned(),
        EventKind::StepAdvanced { step, done, total, unit } => {
            format!("{}: {}", doing(*step), amount(*done, *total, *unit))
        }
        EventKind::Line { text, stream: _ } => format!("| {text}"),
        EventKind::Waiting { reason, elapsed } => {
            format!("{} ({})", waiting(reason), time(*elapsed))
        }
        EventKind::StepFinished { step, outcome, elapsed } => finished(*step, outcome, *elapsed),
        EventKind::Note { level, text } => format!("{}: {}", note(*level), clean::line(text)),
        EventKind::RunFinished { done, failed, skipped, elapsed } => {
            format!("{done} done, {failed} failed, {skipped} skipped ({})", time(*elapsed))
        }
    }
}

/// A lane that has not begun.
pub(super) const NOT_YET: &str = "waits for its turn";

/// What is waited for.
pub(super) fn waiting(reason: &str) -> String {
    format!("waiting for {reason}")
}

/// A lane that was left off, during this step or between two.
pub(super) fn left_off(step: Option<StepId>) -> String {
    match step {
        Some(step) => format!("left off while {}", doing(step)),
        None => "not finished".to_owned(),
    }
}

/// How a step ended.
pub(super) fn finished(step: StepId, outcome: &Outcome, elapsed: Duration) -> String {
    let time = time(elapsed);
    match outcome {
        Outcome::Done => format!("{} ({time})", done(step)),
        Outcome::Unchanged => format!("{}, as before ({time})", done(step)),
        Outcome::Failed { error, context: _, hint: _ } => {
            format!("{} failed: {} ({time})", doing(step), clean::line(error))
        }
        Outcome::Skipped { because } => {
            format!("{} was skipped, because {}", doing(step), clean::line(because))
        }
    }
}

/// How important a note is.
pub(super) fn note(level: Level) -> &'static str {
    match level {
        Level::Info => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// How much of something is done.
pub(super) fn amount(done: u64, total: Option<u64>, unit: Unit) -> String {
    match (unit, total) {
        (Unit::Bytes, Some(total)) => {
            format!("{} of {}{}", BinaryBytes(done), BinaryBytes(total), percent(done, total))
        }
        (Unit::Bytes, None) => BinaryBytes(done).to_string(),
        (Unit::Steps, Some(total)) => format!("{done} of {total}"),
        (Unit::Steps, None) => done.to_string(),
    }
}

fn percent(done: u64, total: u64) -> String {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    format!(" ({} %)", percent.min(100))
}

/// A time, as exact as it matters.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time that is running.
pub(super) fn ticking(running: Duration) -> String {
    match running.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => time(running),
    }
}

/// A number and its noun.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_it_matters() {
        let words = [0, 1234, 9_990, 41_900, 125_000, 3_720_000]
            .map(|ms| time(Duration::from_millis(ms)))
            .join(", ");
        assert_eq!(words, "0.0 s, 1.2 s, 10.0 s, 41 s, 2 min 5 s, 1 h 2 min");
    }

    #[test]
    fn amounts() {
        assert_eq!(
            amount(64 << 20, Some(256 << 20), Unit::Bytes),
            "64.00 MiB of 256.00 MiB (25 %)"
        );
        assert_eq!(amount(7, None, Unit::Steps), "7");
        assert_eq!(amount(5, Some(0), Unit::Bytes), "5 B of 0 B (100 %)");
    }

    #[test]
    fn a_failure_is_one_line() {
        let outcome =
            Outcome::Failed { error: "no space:\n on /".into(), context: Vec::new(), hint: None };
        assert_eq!(
            finished(StepId::Create, &outcome, Duration::from_secs(2)),
            "creating failed: no space: on / (2.0 s)"
        );
    }
}
