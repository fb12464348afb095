//! Rules that need more than one field.

use std::collections::BTreeMap;

use super::diagnose::{Problem, Problems, Span, some};
use super::expand::Group;
use super::raw::{At, File};
use super::{Install, Role, Spec, ports};

/// Whether something was taken out of the file because it was wrong. What seems to be
/// missing may be just that, and is not complained about a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intact {
    /// All of the file is there.
    Whole,
    /// Parts were taken out.
    Damaged,
}

/// Checks the file as a whole.
pub(crate) fn check(file: &File, groups: &[Group<'_>], intact: Intact, problems: &mut Problems) {
    names(groups, problems);
    forwards(groups, problems);
    unused_options(file, groups, intact, problems);
    if file.swarm.is_some() {
        managers(file, groups, intact, problems);
        without_engine(groups, problems);
        idle(groups, problems);
    } else if intact == Intact::Whole {
        without_swarm(file, groups, problems);
    }
}

fn names(groups: &[Group<'_>], problems: &mut Problems) {
    let mut owners: BTreeMap<&str, &Group<'_>> = BTreeMap::new();
    for group in groups {
        for spec in &group.specs {
            let Some(other) = owners.insert(&spec.name, group) else {
                continue;
            };
            let count = [other, group].into_iter().find_map(|group| group.raw.count.as_ref());
            let problem = Problem::error(format!("two machines are called `{}`", spec.name))
                .at(group.name.span(), "here")
                .at(other.name.span(), "and here");
            let problem = match count {
                Some(count) => problem.at(count.span(), "`count` numbers the machines"),
                None => problem,
            };
            problems.push(problem.help("give one of the tables another name"));
        }
    }
}

fn forwards(groups: &[Group<'_>], problems: &mut Problems) {
    let mut seen: Vec<(&fleet_driver::Forward, &Spec, Span)> = Vec::new();
    for group in groups {
        let written = group.raw.ports.iter().flatten();
        if let [first, _, ..] = group.specs.as_slice() {
            let (Some(at), Some(forward)) = (written.clone().next(), first.ports.first()) else {
                continue;
            };
            let port = forward.host.port();
            let machines = some(group.specs.len(), "machine");
            problems.push(
                Problem::error(format!("{machines} cannot share the port {port} of this computer"))
                    .at(at.span(), format!("`{}` has a `count`", group.name.get()))
                    .help(
                        "a published port of a swarm service answers on every machine: forward \
                         it to one of them, or give each a table of its own",
                    ),
            );
            continue;
        }
        let Some(spec) = group.specs.first() else {
            continue;
        };
        let good =
            written.filter_map(|at| Some((ports::parse(at.get(), at.span()).ok()?, at.span())));
        for (forward, (_, span)) in spec.ports.iter().zip(good) {
            let other = seen.iter().find(|(other, ..)| ports::clash(other, forward));
            if let Some((_, other, first)) = other {
                let port = forward.host.port();
                let who = if other.name == spec.name {
                    format!("twice to `{}`", spec.name)
                } else {
                    format!("to `{}` and to `{}`", other.name, spec.name)
                };
                problems.push(
                    Problem::error(format!("the port {port} of this computer leads {who}"))
                        .at(span.clone(), "taken")
                        .at(first.clone(), "by this one")
                        .help(format!("take another one, such as `\"{}\"`", elsewhere(forward))),
                );
            }
            seen.push((forward, spec, span));
        }
    }
}

fn elsewhere(forward: &fleet_driver::Forward) -> String {
    let port = forward.host.port();
    let free = if port < u16::MAX - 1000 { port + 1000 } else { port - 1000 };
    format!("{free}:{}", forward.guest)
}

fn unused_options(file: &File, groups: &[Group<'_>], intact: Intact, problems: &mut Problems) {
    let warning = |driver: &str, span: Span, label: String, help: String| {
        Problem::warning(format!("the options of `{driver}` have no effect"))
            .at(span, label)
            .help(help)
    };
    for group in groups {
        let Some(used) = group.specs.first().map(|spec| spec.driver.as_str()) else {
            continue;
        };
        for driver in group.raw.drivers().filter(|driver| *driver != used) {
            let Some(at) = group.raw.options(driver) else {
                continue;
            };
            problems.push(warning(
                driver,
                at.span(),
                format!("`{}` is made by `{used}`", group.name.get()),
                format!("write `driver = \"{driver}\"`, or remove the options"),
            ));
        }
    }
    let used = |driver: &str| {
        groups.iter().flat_map(|group| &group.specs).any(|spec| spec.driver == driver)
    };
    if intact == Intact::Damaged {
        return;
    }
    for driver in file.driver.drivers().filter(|driver| !used(driver)) {
        let Some(at) = file.driver.options(driver) else {
            continue;
        };
        problems.push(warning(
            driver,
            at.span(),
            format!("no machine is made by `{driver}`"),
            format!("write `driver = \"{driver}\"` below `[defaults]`, or remove the options"),
        ));
    }
}

/// Which machines manage, and whether that is a good number.
fn managers(file: &File, groups: &[Group<'_>], intact: Intact, problems: &mut Problems) {
    let managing: Vec<&Group<'_>> = groups.iter().filter(|group| manages(group)).collect();
    let number: usize = managing.iter().map(|group| group.specs.len()).sum();
    let mut marks = managing.iter().filter_map(|group| group.raw.role.as_ref().map(At::span));
    let swarm = file.swarm.as_ref().map_or(0..0, At::span);
    if number == 0 {
        let Some(first) = groups.first().filter(|_| intact == Intact::Whole) else {
            return;
        };
        problems.push(
            Problem::error("a swarm needs a manager")
                .at(swarm, "no machine has `role = \"manager\"`")
                .help(format!("write `role = \"manager\"` below `[machine.{}]`", first.name.get())),
        );
        return;
    }
    let mark = marks.next().unwrap_or(swarm);
    let odd = number.saturating_sub(1);
    let (message, label, help) = match number {
        2 => (
            "two managers are worse than one".to_owned(),
            "decisions need both of them".to_owned(),
            "if either stops, so does the swarm's management; have 1 manager, or 3, of which one \
             may fail"
                .to_owned(),
        ),
        n if n > 7 => (
            format!("{n} managers are too many"),
            "each decision waits for more than half of them".to_owned(),
            "have 3, 5 or 7; the other machines can be workers".to_owned(),
        ),
        n if n % 2 == 0 => (
            format!("an even number of managers: {n}"),
            format!("a majority of {n} is {}, so only {} may fail", n / 2 + 1, (n - 1) / 2),
            format!("{odd} managers bear as many failures, {} bear one more", n + 1),
        ),
        _ => return,
    };
    let mut problem = Problem::warning(message).at(mark, label);
    for other in marks {
        problem = problem.at(other, "");
    }
    problems.push(problem.help(help));
}

fn manages(group: &Group<'_>) -> bool {
    group.raw.role.as_ref().is_some_and(|role| *role.get() == Role::Manager)
}

fn without_engine(groups: &[Group<'_>], problems: &mut Problems) {
    for group in groups {
        let bare = group.specs.first().is_some_and(|spec| spec.engine.install == Install::None);
        if bare {
            let at = group.raw.engine.install.as_ref().map_or(group.name.span(), At::span);
            problems.push(
                Problem::error(format!("`{}` cannot join the swarm", group.name.get()))
                    .at(at, "no engine is installed in it")
                    .help("write `install = \"auto\"`; it keeps an engine that is there already"),
            );
        }
    }
}

/// Nobody would run a task.
fn idle(groups: &[Group<'_>], problems: &mut Problems) {
    let set = |group: &Group<'_>| {
        let at = group.raw.availability.as_ref()?;
        (*at.get() != super::Availability::Active).then(|| at.span())
    };
    let mut spans = groups.iter().map(set);
    if let (Some(Some(first)), true) = (spans.next(), spans.all(|span| span.is_some())) {
        problems.push(
            Problem::warning("no machine takes tasks")
                .at(first, "this one does not, nor does any other")
                .help("leave `availability` out of at least one machine"),
        );
    }
}

/// What only means something in a swarm.
fn without_swarm(file: &File, groups: &[Group<'_>], problems: &mut Problems) {
    let roles = groups.iter().filter_map(|group| group.raw.role.as_ref());
    let mut marks = roles.map(At::span);
    if let Some(first) = marks.next() {
        let mut problem = Problem::error("a `role` needs a swarm")
            .at(first, "there is no `[swarm]` in this file");
        for other in marks {
            problem = problem.at(other, "");
        }
        problems.push(problem.help("add a line `[swarm]`, or remove `role`"));
        return;
    }
    let labels =
        groups.iter().filter_map(|group| Some(("labels", group.raw.labels.keys().next()?.span())));
    let defaults = file.defaults.labels.keys().next().map(|key| ("labels", key.span()));
    let availability = groups
        .iter()
        .filter_map(|group| Some(("availability", group.raw.availability.as_ref()?.span())));
    for (key, span) in labels.chain(defaults).chain(availability) {
        let engine =
            if key == "labels" { "; labels of the engine go below `[engine]`" } else { "" };
        problems.push(
            Problem::warning(format!("`{key}` has no effect without `[swarm]`"))
                .at(span, "about a node of a swarm")
                .help(format!("add a line `[swarm]`, or remove it{engine}")),
        );
    }
}
