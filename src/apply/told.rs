//! A step and the events that frame it, whatever happens in between.

use std::time::Instant;

use fleet_driver::event::{EventKind, Outcome, StepId};
use fleet_driver::{Cx, Error, ErrorKind};

use super::Stopped;

/// Runs a step and reports its beginning and its end, whatever happens, including
/// when it is dropped.
pub(super) async fn timed<T, E, F>(cx: &Cx, step: StepId, work: F) -> Result<T, E>
where
    E: From<Error> + Brief,
    F: Future<Output = Result<(Outcome, T), E>>,
{
    let mut ending = Ending { cx, step, began: Instant::now(), told: false };
    cx.report(EventKind::StepStarted { step });
    match work.await {
        Ok((outcome, value)) => {
            ending.tell(outcome);
            Ok(value)
        }
        Err(error) => {
            ending.tell(error.outcome());
            Err(error)
        }
    }
}

/// A failure that can be told as the outcome of a step.
pub(super) trait Brief {
    fn outcome(&self) -> Outcome;
}

impl Brief for Error {
    fn outcome(&self) -> Outcome {
        if self.kind() == ErrorKind::Interrupted {
            return Outcome::Skipped { because: "you interrupted".to_owned() };
        }
        Outcome::failed(self)
    }
}

impl Brief for Stopped {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Failed(error) => error.outcome(),
            Self::Skipped(because) => Outcome::Skipped { because: because.clone() },
        }
    }
}

struct Ending<'a> {
    cx: &'a Cx,
    step: StepId,
    began: Instant,
    told: bool,
}

impl Ending<'_> {
    fn tell(&mut self, outcome: Outcome) {
        self.told = true;
        let elapsed = self.began.elapsed();
        self.cx.report(EventKind::StepFinished { step: self.step, outcome, elapsed });
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Outcome::Skipped { because: "you interrupted".to_owned() });
        }
    }
}
