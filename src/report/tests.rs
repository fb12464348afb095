//! Sinks on a captured process: lines, JSON, and the events that all these tests play.

mod ends;
mod live;
mod logs;
mod screen;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_driver::Level;
use fleet_driver::event::{Event, EventKind, Outcome, StepId, Stream, Unit};

use super::*;

/// The moment at which the runs of these tests begin.
const BEGIN: Duration = Duration::from_millis(1_787_306_651_250);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + BEGIN + Duration::from_secs(seconds)
}

fn event(seconds: u64, machine: &str, kind: EventKind) -> Event {
    let machine = (!machine.is_empty()).then(|| machine.to_owned());
    Event { at: at(seconds), machine, kind }
}

fn started(step: StepId) -> EventKind {
    EventKind::StepStarted { step }
}

fn finished(step: StepId, outcome: Outcome, seconds: u64) -> EventKind {
    EventKind::StepFinished { step, outcome, elapsed: Duration::from_secs(seconds) }
}

fn waiting(reason: &str, seconds: u64) -> EventKind {
    EventKind::Waiting { reason: reason.into(), elapsed: Duration::from_secs(seconds) }
}

fn line(text: &str) -> EventKind {
    EventKind::Line { stream: Stream::Stdout, text: text.into() }
}

fn failed() -> Outcome {
    Outcome::Failed {
        error: "could not start: \x1b[31mVT-x\x1b[0m is\nnot available".into(),
        context: vec![("console".into(), "line 1\nline 2".into())],
        hint: Some("enable it".into()),
    }
}

/// A run in which everything happens once.
fn run() -> Vec<Event> {
    let lanes = vec![("host1".to_owned(), 3), ("worker-1".to_owned(), 2)];
    let note = |level, text: &str| EventKind::Note { level, text: text.into() };
    let (done, total, unit) = (64 << 20, Some(256 << 20), Unit::Bytes);
    let skipped = Outcome::Skipped { because: "`worker-1` failed".into() };
    vec![
        event(0, "", EventKind::PlanReady { lanes }),
        event(0, "", started(StepId::Image)),
        event(1, "", EventKind::StepAdvanced { step: StepId::Image, done, total, unit }),
        event(3, "", finished(StepId::Image, Outcome::Done, 3)),
        event(3, "host1", started(StepId::Create)),
        event(4, "host1", finished(StepId::Create, Outcome::Done, 1)),
        event(4, "host1", started(StepId::Connect)),
        event(9, "host1", waiting("SSH at 127.0.0.1:2201", 5)),
        event(20, "host1", waiting("SSH at 127.0.0.1:2201", 16)),
        event(21, "host1", waiting("SSH at 127.0.0.1:2201", 17)),
        event(22, "host1", line("login: \x1b[2J\x07grüß\tdich\r\n")),
        event(23, "", note(Level::Info, "All is well.")),
        event(23, "worker-1", note(Level::Warning, "The disk is nearly full.")),
        event(24, "worker-1", started(StepId::Start)),
        event(25, "worker-1", finished(StepId::Start, failed(), 1)),
        event(44, "host1", finished(StepId::Connect, Outcome::Unchanged, 40)),
        event(44, "host1", started(StepId::JoinSwarm)),
        event(45, "host1", finished(StepId::JoinSwarm, skipped, 1)),
        event(
            45,
            "",
            EventKind::RunFinished {
                done: 0,
                failed: 1,
                skipped: 1,
                elapsed: Duration::from_millis(45_125),
            },
        ),
    ]
}

/// Runs events through the pump of a captured process.
fn play(mode: Mode, events: Vec<Event>) -> (String, String) {
    let host = Host::captured("/", &[]);
    let mut display: Box<dyn Sink> = match mode {
        Mode::Plain => Box::new(plain::Plain::new(host.clone())),
        Mode::Json | Mode::Human | Mode::Quiet => Box::new(json::Json::new(host.clone())),
    };
    for mut event in events {
        clean::event(&mut event);
        display.event(&event);
    }
    display.end();
    host.printed()
}

#[test]
fn plain_is_one_line_an_event() {
    let (out, err) = play(Mode::Plain, run());
    assert_eq!(out, "");
    assert!(err.chars().all(|c| c == '\n' || !c.is_control()), "{err:?}");
    insta::assert_snapshot!(err, @r"
    2 machines, 5 steps
    preparing the image
    image ready (3.0 s)
    host1: creating
    host1: created (1.0 s)
    host1: waiting for SSH
    host1: waiting for SSH at 127.0.0.1:2201 (16 s)
    host1: | login: grüß dich
    note: All is well.
    worker-1: warning: The disk is nearly full.
    worker-1: starting
    worker-1: starting failed: could not start: VT-x is; not available (1.0 s)
    worker-1: hint: enable it
    host1: answers by SSH, as before (40 s)
    host1: joining the swarm
    host1: joining the swarm was skipped, because `worker-1` failed
    ");
}

#[test]
fn json_is_one_object_an_event() {
    let (out, err) = play(Mode::Json, run());
    assert_eq!(err, "");
    insta::assert_snapshot!(out, @r#"
    {"v":1,"at":1787306651.25,"machine":null,"event":"plan-ready","lanes":[{"machine":"host1","steps":3},{"machine":"worker-1","steps":2}]}
    {"v":1,"at":1787306651.25,"machine":null,"event":"step-started","step":"image"}
    {"v":1,"at":1787306652.25,"machine":null,"event":"step-advanced","step":"image","done":67108864,"total":268435456,"unit":"bytes"}
    {"v":1,"at":1787306654.25,"machine":null,"event":"step-finished","step":"image","outcome":"done","elapsed":3.0}
    {"v":1,"at":1787306654.25,"machine":"host1","event":"step-started","step":"create"}
    {"v":1,"at":1787306655.25,"machine":"host1","event":"step-finished","step":"create","outcome":"done","elapsed":1.0}
    {"v":1,"at":1787306655.25,"machine":"host1","event":"step-started","step":"connect"}
    {"v":1,"at":1787306660.25,"machine":"host1","event":"waiting","for":"SSH at 127.0.0.1:2201","elapsed":5.0}
    {"v":1,"at":1787306671.25,"machine":"host1","event":"waiting","for":"SSH at 127.0.0.1:2201","elapsed":16.0}
    {"v":1,"at":1787306672.25,"machine":"host1","event":"waiting","for":"SSH at 127.0.0.1:2201","elapsed":17.0}
    {"v":1,"at":1787306673.25,"machine":"host1","event":"line","stream":"stdout","text":"login: grüß dich"}
    {"v":1,"at":1787306674.25,"machine":null,"event":"note","level":"info","text":"All is well."}
    {"v":1,"at":1787306674.25,"machine":"worker-1","event":"note","level":"warning","text":"The disk is nearly full."}
    {"v":1,"at":1787306675.25,"machine":"worker-1","event":"step-started","step":"start"}
    {"v":1,"at":1787306676.25,"machine":"worker-1","event":"step-finished","step":"start","outcome":"failed","error":"could not start: VT-x is\nnot available","context":[["console","line 1\nline 2"]],"hint":"enable it","elapsed":1.0}
    {"v":1,"at":1787306695.25,"machine":"host1","event":"step-finished","step":"connect","outcome":"unchanged","elapsed":40.0}
    {"v":1,"at":1787306695.25,"machine":"host1","event":"step-started","step":"join-swarm"}
    {"v":1,"at":1787306696.25,"machine":"host1","event":"step-finished","step":"join-swarm","outcome":"skipped","because":"`worker-1` failed","elapsed":1.0}
    {"v":1,"at":1787306696.25,"machine":null,"event":"run-finished","done":0,"failed":1,"skipped":1,"elapsed":45.125}
    "#);
}

#[test]
fn json_begins_with_its_version_and_names_documented_fields() {
    let documentation = include_str!("../../docs/events.md");
    for line in play(Mode::Json, run()).0.lines() {
        assert!(line.starts_with(r#"{"v":1,"at":17873066"#), "{line}");
        let object: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        let event = object["event"].as_str().unwrap();
        let title = format!("## `{event}`\n");
        let section = documentation.split(&title).nth(1).expect(event);
        let section = section.split("\n## ").next().unwrap();
        for field in
            object.keys().filter(|f| !["v", "at", "machine", "event"].contains(&f.as_str()))
        {
            assert!(section.contains(&format!("| `{field}` |")), "`{field}` of `{event}`");
        }
    }
}

#[test]
fn the_mode_follows_flags_and_terminal() {
    let host = Host::captured("/", &[]);
    let global = |json, quiet| Global { json, quiet, ..Global::default() };
    assert_eq!(Mode::choose(&host, &global(true, true)), Mode::Json);
    assert_eq!(Mode::choose(&host, &global(false, true)), Mode::Quiet);
    assert_eq!(Mode::choose(&host, &global(false, false)), Mode::Plain);
}
