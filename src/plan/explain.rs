//! A plan in words.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{Lane, Plan, Planned, Stage, Step};
use crate::config::{Role, Spec};

/// The plan in a line a machine, as `up` shows it before it begins.
pub fn brief(plan: &Plan) -> String {
    let mut text = String::new();
    let width = plan.lanes.iter().map(|lane| lane.machine.len()).max().unwrap_or(0);
    for lane in &plan.lanes {
        // That it is drained is no reason, but what follows from one.
        let reasons = lane.steps.iter().filter(|p| p.step != Step::Drain || lane.steps.len() == 1);
        let why = reasons.map(|p| p.why.as_str()).find(|why| !why.is_empty());
        let steps = headline(lane);
        match why {
            Some(why) => {
                let _ = writeln!(text, "{:width$}  {steps} ({why})", lane.machine);
            }
            None => {
                let _ = writeln!(text, "{:width$}  {steps}", lane.machine);
            }
        }
    }
    text
}

/// The plan step by step with the reason of each, as `fleet plan` shows it.
pub fn full(plan: &Plan) -> String {
    let mut text = String::new();
    for image in &plan.images {
        let _ = writeln!(text, "image {}\n  get it: it is not on this host", image_name(image));
    }
    let mut stage = Stage::Build;
    for lane in &plan.lanes {
        if lane.stage != stage {
            let then = if text.is_empty() { "" } else { "then, " };
            stage = lane.stage;
            let _ = writeln!(text, "{then}{}:", heading(stage));
        }
        let _ = writeln!(text, "{}", lane.machine);
        for Planned { step, why } in &lane.steps {
            let sentence = words(step);
            if why.is_empty() {
                let _ = writeln!(text, "  {sentence}");
            } else {
                let _ = writeln!(text, "  {sentence}: {why}");
            }
        }
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let machines: BTreeSet<&str> = plan.lanes.iter().map(|lane| lane.machine.as_str()).collect();
    let (machines, steps) = (machines.len(), plan.lanes.iter().map(|l| l.steps.len()).sum());
    let _ = writeln!(text, "{} on {}.", count(steps, "step"), count(machines, "machine"));
    text
}

/// What is said before the lanes of a stage.
fn heading(stage: Stage) -> &'static str {
    match stage {
        Stage::Build | Stage::Leave => "side by side",
        Stage::Roll | Stage::Resign => "one after the other",
    }
}

/// The plan for programs.
pub fn to_json(plan: &Plan) -> Value {
    let step = |planned: &Planned, why: &str| {
        let mut step = json!({ "step": planned.step.id(), "why": why });
        if let Step::JoinSwarm(role) = &planned.step {
            step["role"] = json!(role);
        }
        step
    };
    let lane = |lane: &Lane| {
        let steps: Vec<Value> =
            lane.steps.iter().zip(reasons(lane)).map(|(planned, why)| step(planned, why)).collect();
        let stage = match lane.stage {
            Stage::Build => "build",
            Stage::Roll => "roll",
            Stage::Leave => "leave",
            Stage::Resign => "resign",
        };
        json!({ "machine": lane.machine, "stage": stage, "steps": steps })
    };
    json!({
        "v": 1,
        "changes": !plan.lanes.is_empty(),
        "images": plan.images,
        "machines": plan.lanes.iter().map(lane).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

/// The reason of each step: its own, else that of the step that it follows from, else
/// that of the one that it makes room for.
fn reasons(lane: &Lane) -> Vec<&str> {
    let given = |planned: &Planned| !planned.why.is_empty();
    let mut last = lane.steps.iter().find(|planned| given(planned)).map_or("", |p| p.why.as_str());
    let mut reasons = Vec::new();
    for planned in &lane.steps {
        if given(planned) {
            last = &planned.why;
        }
        reasons.push(last);
    }
    reasons
}

/// What is said of a plan without steps.
pub fn nothing(plan: &Plan, specs: &[Spec]) -> String {
    if plan.notes.is_empty() {
        format!("Nothing to do: {}.", as_asked(specs))
    } else {
        "Nothing to do without being told to; the notes say what differs.".to_owned()
    }
}

/// What a fleet is that needs nothing, such as `3 machines run as the file says`.
fn as_asked(specs: &[Spec]) -> String {
    match specs {
        [one] => format!("`{}` runs as the file says", one.name),
        many => format!("{} machines run as the file says", many.len()),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// An image as people name it.
pub fn image_name(image: &crate::config::ImageRef) -> String {
    use crate::config::ImageRef::{Name, Path, Url};
    match image {
        Name(name) => name.clone(),
        Path(path) => path.display().to_string(),
        Url { url, .. } => url.clone(),
    }
}

/// The steps worth naming in one line.
fn headline(lane: &Lane) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rolls = lane.stage == Stage::Roll && lane.steps.iter().all(|p| p.step != Step::Start);
    for Planned { step, .. } in &lane.steps {
        let part = match step {
            Step::Adopt => "take back",
            Step::Create => "create",
            Step::Resize => "resize",
            Step::Start => "start",
            Step::ConfigureEngine if rolls => "change the engine",
            Step::ConfigureEngine => "secure the engine",
            Step::InitSwarm => "initialise the swarm",
            Step::RecoverSwarm => "bring the swarm back",
            Step::JoinSwarm(Role::Manager) => "join as manager",
            Step::JoinSwarm(Role::Worker) => "join as worker",
            Step::UpdateNode if parts.is_empty() => "update the node",
            Step::WaitReady if parts.is_empty() => "wait for the node",
            Step::Unseed if parts.is_empty() => "finish the first boot",
            Step::WaitEngine if parts == ["start"] => "wait for the engine",
            Step::Drain => "drain",
            Step::LeaveSwarm => "leave the swarm",
            Step::EndSwarm => "end the swarm",
            Step::RemoveNode if lane.steps.len() == 1 => "take its node out of the swarm",
            Step::Suspend(_) => "put to rest",
            Step::Stop => "stop",
            Step::Kill => "cut the power",
            Step::UpgradeEngine => "upgrade the engine",
            Step::Destroy => "destroy",
            Step::Connect
            | Step::InstallEngine
            | Step::WaitEngine
            | Step::UpdateNode
            | Step::Activate
            | Step::WaitReady
            | Step::Unseed
            | Step::RemoveNode => continue,
        };
        parts.push(part);
    }
    parts.join(", ")
}

fn words(step: &Step) -> &'static str {
    match step {
        Step::Adopt => "write down again who it is",
        Step::Create => "create the machine",
        Step::Resize => "give it the size, ports and options of the file",
        Step::Start => "start it",
        Step::Connect => "go in by SSH, with its pinned host key",
        Step::InstallEngine => "install or exchange the engine, where needed",
        Step::ConfigureEngine => "write the engine's settings and certificates where they differ",
        Step::WaitEngine => "wait until the engine answers over mutual TLS",
        Step::InitSwarm => "initialise the swarm",
        Step::RecoverSwarm => "make the swarm decide again, with this manager alone at first",
        Step::JoinSwarm(Role::Manager) => "join the swarm as a manager",
        Step::JoinSwarm(Role::Worker) => "join the swarm as a worker",
        Step::UpdateNode => "set role, labels and availability of its node",
        Step::Activate => "let it take tasks again",
        Step::WaitReady => "wait until its node is ready",
        Step::Unseed => "take the first-boot seed away",
        Step::Drain => "drain its node, so that its tasks run elsewhere",
        Step::LeaveSwarm => "leave the swarm",
        Step::EndSwarm => "leave the swarm, which ends with its last manager",
        Step::RemoveNode => "remove its node from the swarm",
        Step::Suspend(_) => "put it to rest, with what is in its memory",
        Step::Stop => "shut it down",
        Step::Kill => "cut its power",
        Step::UpgradeEngine => "install the newest engine of the wanted version",
        Step::Destroy => "destroy the machine and its disk",
    }
}
