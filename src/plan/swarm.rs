//! Who joins the swarm, how a node becomes what the file says, and in which order
//! machines may be away.

use super::gate::manages;
use super::machine::{in_swarm, push};
use super::{Gate, Lane, Plan, Planned, Quorum, Stage, Step, Up};
use crate::config::{Availability, Fleet, Role, Spec};
use crate::engine::NodeFacts;
use crate::observe::{Observed, Seen};

/// What the swarm knows of a machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Member<'a> {
    /// It is this node.
    Node(&'a NodeFacts),
    /// It is in some swarm, and whether it is this one nobody could tell.
    Unknown,
    /// It is a manager by name, and its swarm was recovered without it.
    Voteless,
    /// It is in no swarm, or in another one.
    No,
}

/// The machine's own node, as its managers see it.
pub(super) fn node_of<'a>(seen: Option<&Seen>, observed: &'a Observed) -> Member<'a> {
    let facts = seen.and_then(Seen::facts).filter(|_| in_swarm(seen));
    let (Some(facts), Some(nodes)) = (facts, observed.nodes.as_ref()) else {
        return if facts.is_some() { Member::Unknown } else { Member::No };
    };
    let own = nodes.iter().find(|node| Some(&node.id) == facts.swarm.node_id.as_ref());
    match own {
        None => Member::No,
        Some(node) if node.role == Role::Manager && !node.votes => Member::Voteless,
        Some(node) => Member::Node(node),
    }
}

/// Adds what the machine needs to be a node as the file says; `holds` says whether it has
/// a vote in its swarm, as far as anybody knows.
pub(super) fn join(
    steps: &mut Vec<Planned>,
    spec: &Spec,
    member: Member<'_>,
    gate: &Gate,
    stage: Stage,
    holds: bool,
) {
    let Some(role) = spec.role else { return };
    let booting = steps.iter().any(|p| p.step == Step::Start);
    match (gate, member) {
        (Gate::Seed(seed), _) if *seed == spec.name => {
            push(steps, Step::InitSwarm, if booting { "" } else { "no manager answers" });
            update_seed(steps, spec);
        }
        (Gate::Recover(seed), _) if *seed == spec.name => {
            push(steps, Step::RecoverSwarm, "most managers of its swarm are gone for good");
            update_seed(steps, spec);
        }
        (Gate::Open(_), Member::Node(node)) => {
            let differs = node_differs(spec, node);
            if stage == Stage::Roll {
                push(steps, Step::WaitReady, "");
                push(steps, Step::Activate, "");
            } else {
                let busy = !steps.is_empty();
                let changes = differs.is_some();
                if let Some(why) = differs {
                    push(steps, Step::UpdateNode, &why);
                }
                if !node.ready || booting || busy || changes {
                    let why = if node.ready { "" } else { "its node is not ready" };
                    push(steps, Step::WaitReady, why);
                }
            }
        }
        (_, member) => {
            let why = match (booting, member, gate) {
                (true, ..) => String::new(),
                (_, Member::Node(_), Gate::Seed(seed)) => format!("its swarm goes with `{seed}`"),
                (_, Member::Node(_) | Member::Unknown, _) => {
                    "its swarm could not be asked about it".to_owned()
                }
                (_, Member::Voteless, _) => "its swarm was recovered without it".to_owned(),
                (_, Member::No, _) => "it is not in the fleet's swarm".to_owned(),
            };
            push(steps, Step::JoinSwarm(role), &why);
            // A vote that the swarm may need to decide again is given up later.
            if matches!(gate, Gate::Open(_)) || role == Role::Manager || !holds {
                push(steps, Step::UpdateNode, "");
            }
            push(steps, Step::WaitReady, "");
        }
    }
}

/// The change of role of a machine that is interrupted in this plan for another reason:
/// up before that, down after it.
pub(super) fn turn(spec: &Spec, member: Member<'_>) -> Option<(Stage, Vec<Planned>)> {
    let Member::Node(node) = member else { return None };
    let why = node_differs(spec, node).filter(|_| Some(node.role) != spec.role)?;
    let stage = if node.role == Role::Worker { Stage::Build } else { Stage::Resign };
    let mut steps = Vec::new();
    push(&mut steps, Step::UpdateNode, &why);
    push(&mut steps, Step::WaitReady, "");
    Some((stage, steps))
}

/// What follows for the machine that opens the gate. One that is to become a worker stays
/// a manager as long as the others come through it.
fn update_seed(steps: &mut Vec<Planned>, spec: &Spec) {
    if spec.role == Some(Role::Manager) {
        push(steps, Step::UpdateNode, "");
    }
    push(steps, Step::WaitReady, "");
}

/// Moves the tasks away before the machine is interrupted, if another node takes them.
pub(super) fn drain(steps: &mut Vec<Planned>, seen: Option<&Seen>, observed: &Observed) {
    let drained = steps.iter().any(|planned| planned.step == Step::Drain);
    if let Member::Node(node) = node_of(seen, observed)
        && !drained
        && takes_tasks(node)
        && elsewhere(&node.hostname, observed)
    {
        push(steps, Step::Drain, "");
    }
}

fn takes_tasks(node: &NodeFacts) -> bool {
    node.ready && node.availability != Availability::Drain
}

/// Whether another node would take the tasks of this one.
fn elsewhere(name: &str, observed: &Observed) -> bool {
    let takes = |node: &NodeFacts| node.ready && node.availability == Availability::Active;
    observed.nodes.iter().flatten().any(|node| node.hostname != name && takes(node))
}

/// Takes a machine out of its swarm, whatever of it is left.
pub(super) fn farewell(steps: &mut Vec<Planned>, name: &str, observed: &Observed) {
    let own = || observed.nodes.iter().flatten().filter(|node| node.hostname == name);
    if own().next().is_none() {
        return;
    }
    if own().any(takes_tasks) && elsewhere(name, observed) {
        push(steps, Step::Drain, "");
    }
    if observed.seen(name).is_some_and(Seen::running) {
        push(steps, Step::LeaveSwarm, "");
    }
    push(steps, Step::RemoveNode, "");
}

/// What of a node is not as the file says; `None` if all is well.
pub(crate) fn node_differs(spec: &Spec, node: &NodeFacts) -> Option<String> {
    let role = spec.role.unwrap_or(Role::Worker);
    if node.role != role {
        return Some(format!("it is a {}, the file says {}", word(node.role), word(role)));
    }
    if node.availability != spec.availability {
        return Some(format!(
            "its availability is {}, the file says {}",
            availability(node.availability),
            availability(spec.availability)
        ));
    }
    (node.labels != spec.labels).then(|| "its node has other labels than the file".to_owned())
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Manager => "manager",
        Role::Worker => "worker",
    }
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

/// The managers that there will be once what is built is built.
pub(super) fn after_build(fleet: &Fleet, observed: &Observed, plan: &Plan) -> Quorum {
    let mut quorum = Quorum::of(observed.nodes.as_deref().unwrap_or_default());
    let votes = quorum.clone();
    for lane in plan.lanes.iter().filter(|lane| lane.stage == Stage::Build) {
        let spec = fleet.machines.iter().find(|spec| spec.name == lane.machine);
        let joins = lane.steps.iter().any(|p| p.step == Step::WaitReady);
        let manages = spec.is_some_and(|spec| spec.role == Some(Role::Manager));
        let made = lane.steps.iter().any(|p| p.step == Step::Create);
        if joins && made && !manages {
            // The vote of the one before it goes when it joins.
            quorum = quorum.without(&lane.machine);
        } else if joins && (manages || votes.has(&lane.machine)) {
            quorum.reach(&lane.machine);
        }
    }
    quorum
}

/// Moves demotions to the end and leaves out what would cost the swarm its quorum; tells
/// whether anything was left out.
pub(super) fn keep_quorum(fleet: &Fleet, observed: &Observed, plan: &mut Plan) -> bool {
    let Some(nodes) = &observed.nodes else { return false };
    let is_manager = |name: &str| {
        nodes.iter().any(|n| n.hostname == name && (n.votes || n.role == Role::Manager))
    };
    let stays = |name: &str| {
        let spec = fleet.machines.iter().find(|spec| spec.name == name);
        spec.is_some_and(|spec| spec.role == Some(Role::Manager))
    };
    let mut resigning = Vec::new();
    for lane in &mut plan.lanes {
        if lane.stage == Stage::Build && is_manager(&lane.machine) && !stays(&lane.machine) {
            resigning.extend(resign(lane));
        }
    }
    plan.lanes.retain(|lane| !lane.steps.is_empty());
    plan.lanes.append(&mut resigning);
    let mut quorum = after_build(fleet, observed, plan);
    let mut kept = Vec::new();
    let mut lanes = std::mem::take(&mut plan.lanes);
    let is_anew = |lane: &Lane| lane.steps.iter().any(|planned| planned.step == Step::Destroy);
    // Those who lose their vote on the way first: after them it must be borne too that
    // others are away, whoever comes first in the end.
    lanes.sort_by_key(|lane| (lane.stage, !is_anew(lane)));
    let before = quorum.clone();
    let all = lanes.len();
    for lane in lanes {
        let name = &lane.machine;
        let anew = is_anew(&lane);
        let why = match lane.stage {
            _ if !quorum.has(name) => None,
            Stage::Build | Stage::Leave => None,
            Stage::Roll => {
                let bears = if anew {
                    quorum.without(name).holds()
                } else {
                    quorum.bears_absence_of(name) && before.bears_absence_of(name)
                };
                if bears && anew && !stays(name) {
                    quorum = quorum.without(name);
                }
                (!bears).then_some("is left as it is for now")
            }
            Stage::Resign if quorum.without(name).holds() => {
                quorum = quorum.without(name);
                None
            }
            Stage::Resign => Some("stays a manager for now"),
        };
        match why {
            None => kept.push(lane),
            Some(what) => plan.notes.push(format!(
                "`{name}` {what}: the swarm would lose its quorum. Bring the other managers up \
                 first: `fleet up`."
            )),
        }
    }
    let left_out = kept.len() < all;
    plan.lanes = kept;
    left_out
}

/// Takes the demotion out of a lane that is built: it comes back first, and goes later.
fn resign(lane: &mut Lane) -> Option<Lane> {
    let at = lane.steps.iter().position(|planned| planned.step == Step::UpdateNode)?;
    let update = lane.steps.remove(at);
    if lane.steps.iter().all(|planned| planned.step == Step::WaitReady) {
        lane.steps.clear();
    }
    let ready = Planned { step: Step::WaitReady, why: String::new() };
    Some(Lane { stage: Stage::Resign, steps: vec![update, ready], ..lane.clone() })
}

/// Ends the swarm that the file no longer asks for, if that was allowed.
pub(super) fn dissolve(fleet: &Fleet, observed: &Observed, up: &Up, plan: &mut Plan) {
    if fleet.swarm.is_some() {
        return;
    }
    let in_one =
        |spec: &&Spec| up.names.contains(&spec.name) && in_swarm(observed.machines.get(&spec.name));
    let members: Vec<&Spec> = fleet.machines.iter().filter(in_one).collect();
    if members.is_empty() {
        return;
    }
    if !up.prune {
        plan.notes.push(
            "The machines are in a swarm, and the file has no `[swarm]`. `fleet up --prune` ends \
             the swarm, with its services."
                .to_owned(),
        );
        return;
    }
    for spec in members {
        let manager = observed.machines.get(&spec.name).is_some_and(manages);
        let stage = if manager { Stage::Resign } else { Stage::Leave };
        let step = Planned { step: Step::EndSwarm, why: "the file asks for no swarm".to_owned() };
        if let Some(lane) = plan.lanes.iter_mut().find(|lane| lane.machine == spec.name) {
            lane.steps.push(step);
        } else {
            plan.lanes.push(Lane {
                machine: spec.name.clone(),
                driver: spec.driver.clone(),
                stage,
                steps: vec![step],
            });
        }
    }
}

/// Brings the lanes into the order in which they run: of those that run one after the
/// other, managers before workers and the leader after the other managers, and of those
/// that resign, who is away already first.
pub(super) fn in_order(observed: &Observed, plan: &mut Plan) {
    let rank = |lane: &Lane| {
        let node = observed.nodes.iter().flatten().find(|n| n.hostname == lane.machine);
        match (lane.stage, node) {
            (Stage::Roll, Some(n)) if n.role == Role::Worker => 3,
            (Stage::Roll | Stage::Resign, Some(n)) if n.leader => 2,
            (Stage::Roll, _) => 1,
            (Stage::Resign, Some(n)) if n.ready && n.reachable => 1,
            _ => 0,
        }
    };
    plan.lanes.sort_by_key(|lane| (lane.stage, rank(lane)));
}
