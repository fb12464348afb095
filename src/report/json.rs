//! Events as JSON, one object a line; `docs/events.md` is its documentation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_driver::event::{Event, EventKind, Outcome};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;

use super::Sink;
use crate::host::Host;

/// The version of the format: fields may be added to it, nothing else.
pub(super) const VERSION: u32 = 1;

/// The JSON sink: standard output.
pub(super) struct Json {
    host: Host,
    /// Whether anybody reads.
    open: bool,
}

impl Json {
    pub(super) fn new(host: Host) -> Self {
        Self { host, open: true }
    }
}

impl Sink for Json {
    fn event(&mut self, event: &Event) {
        if self.open {
            self.open = self.host.out(&line(event)).is_ok();
        }
    }
}

/// One event, with the line's end.
pub(super) fn line(event: &Event) -> String {
    let mut line = serde_json::to_string(&Object(event)).expect("strings and numbers only");
    line.push('\n');
    line
}

/// An event whose fields keep their order: version, time, machine, name, the rest.
struct Object<'a>(&'a Event);

fn seconds(time: Duration) -> f64 {
    // Milliseconds fit a double exactly for the next 280,000 years.
    time.as_millis() as f64 / 1000.0
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Event { at, machine, kind } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("at", &unix(*at))?;
        map.serialize_entry("machine", machine)?;
        map.serialize_entry("event", name(kind))?;
        match kind {
            EventKind::PlanReady { lanes } => {
                let lanes: Vec<_> = lanes
                    .iter()
                    .map(|(machine, steps)| json!({ "machine": machine, "steps": steps }))
                    .collect();
                map.serialize_entry("lanes", &lanes)?;
            }
            EventKind::StepStarted { step } => map.serialize_entry("step", step)?,
            EventKind::StepAdvanced { step, done, total, unit } => {
                map.serialize_entry("step", step)?;
                map.serialize_entry("done", done)?;
                map.serialize_entry("total", total)?;
                map.serialize_entry("unit", unit)?;
            }
            EventKind::Line { stream, text } => {
                map.serialize_entry("stream", stream)?;
                map.serialize_entry("text", text)?;
            }
            EventKind::Waiting { reason, elapsed } => {
                map.serialize_entry("for", reason)?;
                map.serialize_entry("elapsed", &seconds(*elapsed))?;
            }
            EventKind::StepFinished { step, outcome, elapsed } => {
                map.serialize_entry("step", step)?;
                match outcome {
                    Outcome::Done => map.serialize_entry("outcome", "done")?,
                    Outcome::Unchanged => map.serialize_entry("outcome", "unchanged")?,
                    Outcome::Failed { error, context, hint } => {
                        map.serialize_entry("outcome", "failed")?;
                        map.serialize_entry("error", error)?;
                        map.serialize_entry("context", context)?;
                        map.serialize_entry("hint", hint)?;
                    }
                    Outcome::Skipped { because } => {
                        map.serialize_entry("outcome", "skipped")?;
                        map.serialize_entry("because", because)?;
                    }
                }
                map.serialize_entry("elapsed", &seconds(*elapsed))?;
            }
            EventKind::Note { level, text } => {
                map.serialize_entry("level", level)?;
                map.serialize_entry("text", text)?;
            }
            EventKind::RunFinished { done, failed, skipped, elapsed } => {
                map.serialize_entry("done", done)?;
                map.serialize_entry("failed", failed)?;
                map.serialize_entry("skipped", skipped)?;
                map.serialize_entry("elapsed", &seconds(*elapsed))?;
            }
        }
        map.end()
    }
}

fn unix(at: SystemTime) -> f64 {
    seconds(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::PlanReady { .. } => "plan-ready",
        EventKind::StepStarted { .. } => "step-started",
        EventKind::StepAdvanced { .. } => "step-advanced",
        EventKind::Line { .. } => "line",
        EventKind::Waiting { .. } => "waiting",
        EventKind::StepFinished { .. } => "step-finished",
        EventKind::Note { .. } => "note",
        EventKind::RunFinished { .. } => "run-finished",
    }
}
