//! What is said at the end of a run.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use fleet_driver::event::Outcome;

use super::ink::{Colour, Ink};
use super::{clean, words};
use crate::apply::LaneEnd;

/// The end of a run in words: how many lanes did what, each that did not reach its
/// end with its reason, the log, and what to type next.
///
/// Ends with a line's end. `colour` says whether the stream takes it.
pub fn summary(
    ends: &[LaneEnd],
    elapsed: Duration,
    next: &[String],
    log: Option<&Path>,
    colour: bool,
) -> String {
    let colour = Colour::when(colour);
    let mut text = headline(ends, elapsed, colour);
    write_rest(&mut text, ends, next, log, colour).expect("a string takes everything");
    text
}

fn write_rest(
    text: &mut String,
    ends: &[LaneEnd],
    next: &[String],
    log: Option<&Path>,
    colour: Colour,
) -> std::fmt::Result {
    let width = ends.iter().map(|end| end.machine.len()).max().unwrap_or(0);
    let one_line = |text: &str| clean::line(&clean::text(text));
    for LaneEnd { machine, outcome, elapsed: _ } in ends {
        match outcome {
            Outcome::Done | Outcome::Unchanged => {}
            Outcome::Failed { error, context, hint } => {
                let line = format!("✗ {machine:width$}  failed: {}", one_line(error));
                writeln!(text, "{}", colour.paint(Ink::Bad, &line))?;
                for (key, value) in context.iter().filter(|(key, _)| key != "machine") {
                    let value = clean::text(value);
                    let value = value.trim_matches('\n');
                    if value.contains('\n') {
                        writeln!(text, "  {:width$}  {key}:", "")?;
                        for line in value.lines() {
                            writeln!(text, "  {:width$}    {line}", "")?;
                        }
                    } else {
                        writeln!(text, "  {:width$}  {key}: {value}", "")?;
                    }
                }
                if let Some(hint) = hint {
                    writeln!(text, "  {:width$}  hint: {}", "", one_line(hint))?;
                }
            }
            Outcome::Skipped { because } => {
                writeln!(text, "- {machine:width$}  skipped, because {}", one_line(because))?;
            }
        }
    }
    if let Some(log) = log {
        writeln!(text, "log: {}", log.display())?;
    }
    if !next.is_empty() {
        writeln!(text, "Next:")?;
    }
    for command in next {
        writeln!(text, "  {}", colour.paint(Ink::Strong, command))?;
    }
    Ok(())
}

fn headline(ends: &[LaneEnd], elapsed: Duration, colour: Colour) -> String {
    let count = |wanted: fn(&Outcome) -> bool| ends.iter().filter(|e| wanted(&e.outcome)).count();
    let failed = count(|o| matches!(o, Outcome::Failed { .. }));
    let skipped = count(|o| matches!(o, Outcome::Skipped { .. }));
    let changed = count(|o| matches!(o, Outcome::Done));
    let machines = words::count(ends.len(), "machine");
    let time = words::time(elapsed);
    if failed + skipped > 0 {
        let mut parts = Vec::new();
        for (number, what) in [(failed, "failed"), (skipped, "skipped")] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        let line = format!("Not done: of {machines} {} ({time}).", parts.join(", "));
        format!("{}\n", colour.paint(Ink::Bad, &line))
    } else if changed == 0 {
        format!("Nothing to do: {machines} ({time}).\n")
    } else {
        format!("{}\n", colour.paint(Ink::Good, &format!("Done: {machines} ({time}).")))
    }
}
