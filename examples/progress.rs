//! Plays a run that never happened, to look at the display:
//! `cargo run --example progress [-- plain|json|quiet] [machines]`.

use std::time::{Duration, Instant};

use fleet::apply::LaneEnd;
use fleet::host::Host;
use fleet::report::{self, Mode};
use fleet_driver::event::{EventKind, Outcome, StepId, Stream, Unit};
use fleet_driver::wait::pause_for;
use fleet_driver::{Cx, Level, Result};

const STEPS: [StepId; 6] = [
    StepId::Create,
    StepId::Start,
    StepId::Connect,
    StepId::InstallEngine,
    StepId::WaitEngine,
    StepId::JoinSwarm,
];

async fn image(cx: &Cx) -> Result<()> {
    let (step, began, total) = (StepId::Image, Instant::now(), 412 << 20);
    cx.report(EventKind::StepStarted { step });
    for part in 0..=40u64 {
        let done = total * part / 40;
        cx.report(EventKind::StepAdvanced { step, done, total: Some(total), unit: Unit::Bytes });
        pause_for(cx, Duration::from_millis(50)).await?;
    }
    let elapsed = began.elapsed();
    cx.report(EventKind::StepFinished { step, outcome: Outcome::Done, elapsed });
    Ok(())
}

async fn lane(cx: Cx, machine: String, number: u64) -> Result<LaneEnd> {
    let began = Instant::now();
    let mut last = Outcome::Done;
    for (index, step) in STEPS.into_iter().enumerate() {
        let started = Instant::now();
        cx.report(EventKind::StepStarted { step });
        for beat in 0..8 + number % 5 {
            match step {
                StepId::Connect | StepId::WaitEngine => cx.report(EventKind::Waiting {
                    reason: format!("it to answer at 127.0.0.1:{}", 40_000 + number),
                    elapsed: started.elapsed(),
                }),
                StepId::InstallEngine => cx.report(EventKind::Line {
                    stream: Stream::Stdout,
                    text: format!(
                        "\x1b[32mSetting up\x1b[0m package {beat} of a list of packages ..."
                    ),
                }),
                _ => {}
            }
            pause_for(&cx, Duration::from_millis(100)).await?;
        }
        let outcome = match (number % 4, index) {
            (3, 3) => Outcome::Failed {
                error: "`apt-get` ended with status 100:\nE: no space left on device".to_owned(),
                context: Vec::new(),
                hint: Some("give it a larger `disk`".to_owned()),
            },
            _ => Outcome::Done,
        };
        let elapsed = started.elapsed();
        cx.report(EventKind::StepFinished { step, outcome: outcome.clone(), elapsed });
        last = outcome;
        if matches!(last, Outcome::Failed { .. }) {
            break;
        }
    }
    Ok(LaneEnd { machine, outcome: last, elapsed: began.elapsed() })
}

#[tokio::main]
async fn main() -> Result<()> {
    let host = Host::system().map_err(|e| fleet_driver::Error::host("no process").because(e))?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mode = match words.first().map(String::as_str) {
        Some("plain") => Mode::Plain,
        Some("json") => Mode::Json,
        Some("quiet") => Mode::Quiet,
        _ => Mode::Human,
    };
    let machines: u64 = words.last().and_then(|word| word.parse().ok()).unwrap_or(4);
    let began = Instant::now();
    let (reporter, reports) = report::open(&host, mode, None)?;
    let cx = Cx::new(std::env::temp_dir(), reporter, host.cancel().clone());
    let names: Vec<String> = (1..=machines).map(|number| format!("host{number}")).collect();
    let lanes = names.iter().map(|name| (name.clone(), STEPS.len())).collect();
    cx.report(EventKind::PlanReady { lanes });
    image(&cx).await?;
    cx.reporter().note(Level::Warning, "An even number of managers is no safer than one less.");
    let lanes =
        names.into_iter().zip(1..).map(|(name, number)| lane(cx.about(&name), name, number));
    let ends: Vec<LaneEnd> = futures::future::try_join_all(lanes).await?;
    drop(cx);
    let log = reports.finish().await;
    let next = ["eval $(fleet env host1)".to_owned(), "docker node ls".to_owned()];
    let colour = host.stderr_has_colour();
    host.err(&report::summary(&ends, began.elapsed(), &next, log.as_deref(), colour));
    Ok(())
}
