//! One line an event on standard error, for files and pipes.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use fleet_driver::event::{Event, EventKind, Outcome};

use super::{Sink, clean, words};
use crate::host::Host;

/// What goes on and on is told this often.
const EVERY: Duration = Duration::from_secs(15);

/// The plain sink.
pub(super) struct Plain {
    host: Host,
    /// When each machine was last spoken of.
    told: HashMap<Option<String>, SystemTime>,
}

impl Plain {
    pub(super) fn new(host: Host) -> Self {
        Self { host, told: HashMap::new() }
    }

    /// Whether it is time to say again that something goes on.
    fn due(&self, event: &Event) -> bool {
        self.told
            .get(&event.machine)
            .is_none_or(|last| event.at.duration_since(*last).is_ok_and(|silent| silent >= EVERY))
    }

    fn say(&mut self, event: &Event, text: &str) {
        let machine = event.machine.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        self.host.err(&format!("{machine}{text}\n"));
    }
}

impl Sink for Plain {
    fn event(&mut self, event: &Event) {
        let hint = match &event.kind {
            EventKind::StepAdvanced { .. } | EventKind::Waiting { .. } => {
                if !self.due(event) {
                    return;
                }
                None
            }
            // The summary says it better.
            EventKind::RunFinished { .. } => return,
            EventKind::StepFinished { outcome: Outcome::Failed { hint, .. }, .. } => hint.as_ref(),
            EventKind::PlanReady { .. }
            | EventKind::StepStarted { .. }
            | EventKind::Line { .. }
            | EventKind::StepFinished { .. }
            | EventKind::Note { .. } => None,
        };
        // What a guest prints is no reason to be silent about what is waited for.
        if !matches!(event.kind, EventKind::Line { .. } | EventKind::Note { .. }) {
            self.told.insert(event.machine.clone(), event.at);
        }
        self.say(event, &words::sentence(&event.kind));
        if let Some(hint) = hint {
            self.say(event, &format!("hint: {}", clean::line(hint)));
        }
    }
}
