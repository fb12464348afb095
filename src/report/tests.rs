//! Sinks on a captured process, and on a small terminal.

mod screen;

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_driver::Level;
use fleet_driver::event::{Event, EventKind, Outcome, Reporter, StepId, Stream, Unit};
use indicatif::ProgressDrawTarget;

use super::human::{Frames, Human, Look};
use super::ink::Colour;
use super::live::Glyphs;
use super::*;
use crate::apply::LaneEnd;
use screen::Screen;

/// The moment at which the runs of these tests begin.
const BEGIN: Duration = Duration::from_millis(1_787_306_651_250);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + BEGIN + Duration::from_secs(seconds)
}

fn event(seconds: u64, machine: &str, kind: EventKind) -> Event {
    let machine = (!machine.is_empty()).then(|| machine.to_owned());
    Event {
        at: at(seconds),
        machine,
        kind,
    }
}

fn started(step: StepId) -> EventKind {
    EventKind::StepStarted { step }
}

fn finished(step: StepId, outcome: Outcome, seconds: u64) -> EventKind {
    EventKind::StepFinished {
        step,
        outcome,
        elapsed: Duration::from_secs(seconds),
    }
}

fn waiting(reason: &str, seconds: u64) -> EventKind {
    EventKind::Waiting {
        reason: reason.into(),
        elapsed: Duration::from_secs(seconds),
    }
}

fn line(text: &str) -> EventKind {
    EventKind::Line {
        stream: Stream::Stdout,
        text: text.into(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        error: "could not start: \x1b[31mVT-x\x1b[0m is\nnot available".into(),
        hint: Some("enable it".into()),
    }
}

/// A run in which everything happens once.
fn run() -> Vec<Event> {
    let lanes = vec![("host1".to_owned(), 2), ("worker-1".to_owned(), 2)];
    let note = |level, text: &str| EventKind::Note {
        level,
        text: text.into(),
    };
    let (done, total, unit) = (64 << 20, Some(256 << 20), Unit::Bytes);
    let skipped = Outcome::Skipped {
        because: "`worker-1` failed".into(),
    };
    vec![
        event(0, "", EventKind::PlanReady { lanes }),
        event(0, "", started(StepId::Image)),
        event(
            1,
            "",
            EventKind::StepAdvanced {
                step: StepId::Image,
                done,
                total,
                unit,
            },
        ),
        event(3, "", finished(StepId::Image, Outcome::Done, 3)),
        event(3, "host1", started(StepId::Create)),
        event(4, "host1", finished(StepId::Create, Outcome::Done, 1)),
        event(4, "host1", started(StepId::Connect)),
        event(9, "host1", waiting("SSH at 127.0.0.1:2201", 5)),
        event(20, "host1", waiting("SSH at 127.0.0.1:2201", 16)),
        event(21, "host1", waiting("SSH at 127.0.0.1:2201", 17)),
        event(22, "host1", line("login: \x1b[2J\x07grüß\tdich\r\n")),
        event(23, "", note(Level::Info, "All is well.")),
        event(
            23,
            "worker-1",
            note(Level::Warning, "The disk is nearly full."),
        ),
        event(24, "worker-1", started(StepId::Start)),
        event(25, "worker-1", finished(StepId::Start, failed(), 1)),
        event(
            44,
            "host1",
            finished(StepId::Connect, Outcome::Unchanged, 40),
        ),
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
    insta::assert_snapshot!(err, @"");
}

#[test]
fn json_is_one_object_an_event() {
    let (out, err) = play(Mode::Json, run());
    assert_eq!(err, "");
    insta::assert_snapshot!(out, @"");
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
        for field in object
            .keys()
            .filter(|f| !["v", "at", "machine", "event"].contains(&f.as_str()))
        {
            assert!(
                section.contains(&format!("| `{field}` |")),
                "`{field}` of `{event}`"
            );
        }
    }
}

/// A live display on a screen of so many columns, and its clock.
fn human(columns: u16, colour: Colour) -> (Human, Screen, Arc<AtomicU64>) {
    let screen = Screen::new(columns);
    let seconds = Arc::new(AtomicU64::new(0));
    let (clock, width) = (seconds.clone(), screen.clone());
    let look = Look {
        colour,
        glyphs: Glyphs::Unicode,
        width: Arc::new(move || width.columns()),
        clock: Arc::new(move || at(clock.load(Ordering::SeqCst))),
        frames: Frames::OnEvent,
    };
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
    (Human::new(target, look), screen, seconds)
}

/// Shows the first events of [`run`], up to a time, at that time.
fn shown_at(second: u64, columns: u16) -> String {
    let (mut human, screen, clock) = human(columns, Colour::Off);
    for mut event in run().into_iter().filter(|event| event.at <= at(second)) {
        clock.store(
            event.at.duration_since(at(0)).unwrap().as_secs(),
            Ordering::SeqCst,
        );
        clean::event(&mut event);
        human.event(&event);
    }
    screen.contents()
}

#[test]
fn human_shows_a_download() {
    insta::assert_snapshot!(shown_at(1, 100), @"");
}

#[test]
fn human_shows_what_each_machine_does() {
    insta::assert_snapshot!(shown_at(9, 100), @"");
    insta::assert_snapshot!(shown_at(24, 60), @"");
}

#[test]
fn human_fits_a_narrow_terminal() {
    let shown = shown_at(21, 40);
    assert!(
        shown.lines().all(|line| live::columns(line) <= 40),
        "{shown}"
    );
    insta::assert_snapshot!(shown, @"");
}

#[test]
fn human_leaves_one_line_a_lane() {
    insta::assert_snapshot!(shown_at(45, 100), @"");
}

#[test]
fn human_counts_a_lane_from_its_first_step() {
    let (mut human, screen, _) = human(80, Colour::Off);
    let lanes = vec![("a".to_owned(), 2)];
    human.event(&event(0, "", EventKind::PlanReady { lanes }));
    for (second, kind) in [
        (5, started(StepId::Stop)),
        (7, finished(StepId::Stop, Outcome::Done, 2)),
        (7, started(StepId::Destroy)),
        (45, finished(StepId::Destroy, Outcome::Done, 38)),
    ] {
        human.event(&event(second, "a", kind));
    }
    human.end();
    assert_eq!(screen.contents(), "✓ a      removed (40 s)");
}

#[test]
fn human_says_what_was_left_off() {
    let (mut human, screen, _) = human(80, Colour::Off);
    let lanes = vec![("a".to_owned(), 2), ("b".to_owned(), 1)];
    human.event(&event(0, "", EventKind::PlanReady { lanes }));
    human.event(&event(1, "a", started(StepId::Create)));
    human.end();
    assert_eq!(
        screen.contents(),
        "- a      left off while creating\n- b      not finished"
    );
}

#[test]
fn colour_is_never_alone() {
    let (mut human, screen, _) = human(80, Colour::On);
    human.event(&event(0, "a", started(StepId::Start)));
    human.event(&event(1, "a", finished(StepId::Start, failed(), 1)));
    human.end();
    let contents = screen.contents();
    assert!(
        contents.starts_with("\x1b[31m✗\x1b[0m a  \x1b[31mstarting failed:"),
        "{contents:?}"
    );
}

fn end(machine: &str, outcome: Outcome) -> LaneEnd {
    LaneEnd {
        machine: machine.into(),
        outcome,
        elapsed: Duration::from_secs(40),
    }
}

#[test]
fn the_summary_of_a_good_run_names_the_next_commands() {
    let ends = [
        end("host1", Outcome::Done),
        end("worker-1", Outcome::Unchanged),
    ];
    let next = [
        "eval $(fleet env host1)".to_owned(),
        "docker node ls".to_owned(),
    ];
    let text = summary(&ends, Duration::from_secs(41), &next, None, false);
    insta::assert_snapshot!(text, @"");
    let none = summary(&ends[1..], Duration::from_millis(400), &[], None, false);
    assert_eq!(none, "Nothing to do: 1 machine (0.4 s).\n");
}

#[test]
fn the_summary_of_a_failed_run_names_each_lane_and_the_log() {
    let ends = [
        end("host1", failed()),
        end(
            "worker-1",
            Outcome::Skipped {
                because: "`host1` failed".into(),
            },
        ),
        end("worker-2", Outcome::Done),
    ];
    let log = Path::new(".fleet/log/x.jsonl");
    let next = ["fleet up".to_owned()];
    let text = summary(&ends, Duration::from_secs(41), &next, Some(log), false);
    insta::assert_snapshot!(text, @"");
    let coloured = summary(&ends, Duration::from_secs(41), &next, Some(log), true);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text);
}

#[test]
fn tables_are_columns_without_lines() {
    let rows = vec![
        vec![
            "host1".to_owned(),
            "*".into(),
            "tcp://127.0.0.1:40123".into(),
            String::new(),
        ],
        vec![
            "worker-10".into(),
            "-".into(),
            String::new(),
            "no\nroute \x1b[31mto".into(),
        ],
    ];
    let host = Host::captured("/", &[]);
    let text = table(&["NAME", "ACTIVE", "URL", "ERRORS"], rows, &host);
    assert!(text.lines().all(|line| line.trim_end() == line));
    insta::assert_snapshot!(text, @"");
    let long = "x".repeat(500);
    let wide = table(&["A", "B"], vec![vec![long.clone(), long.clone()]], &host);
    assert!(
        wide.lines()
            .nth(1)
            .is_some_and(|line| line == format!("{long}   {long}"))
    );
    assert_eq!(
        table(&["A", "B"], Vec::<Vec<String>>::new(), &host),
        "A   B\n"
    );
}

#[tokio::test]
async fn a_run_is_logged_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log");
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Quiet, Some(&logs)).unwrap();
    for second in 0..1000 {
        reporter.about("host1").send(waiting("SSH", second));
    }
    drop(reporter);
    let path = reports.finish().await.expect("there is a log");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().last().unwrap().contains(r#""elapsed":999.0"#));
    assert_eq!(host.printed(), (String::new(), String::new()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[tokio::test]
async fn the_last_twenty_logs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=28 {
        fs::write(
            folder
                .path()
                .join(format!("2026-02-{day:02}T00-00-00.jsonl")),
            "",
        )
        .unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Quiet, Some(folder.path())).unwrap();
    drop(reporter);
    let new = reports.finish().await.unwrap();
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    left.sort();
    assert_eq!(left.len(), 21);
    assert!(left.contains(&new) && left.contains(&folder.path().join("notes.txt")));
    assert!(left[0].ends_with("2026-02-10T00-00-00.jsonl"), "{left:?}");
}

#[tokio::test]
async fn two_logs_of_one_second_are_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::captured("/", &[]);
    let mut paths = Vec::new();
    for _ in 0..3 {
        let (reporter, reports) = open(&host, Mode::Quiet, Some(folder.path())).unwrap();
        drop(reporter);
        paths.push(reports.finish().await.unwrap());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    fs::write(&file, "not a folder").unwrap();
    let host = Host::captured("/", &[]);
    let (reporter, reports) = open(&host, Mode::Plain, Some(&file)).unwrap();
    reporter.note(Level::Info, "It runs.");
    drop(reporter);
    assert_eq!(reports.finish().await, None);
    let (_, err) = host.printed();
    assert!(
        err.starts_with("note: It runs.\nwarning: the log is not complete: "),
        "{err}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_does_not_end_the_run() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    (&full)
        .write_all(b"x")
        .expect_err("this file is always full");
    let mut log = log::Log::on(full);
    for event in run() {
        log.event(&event);
    }
    assert!(
        log.close()
            .trouble
            .is_some_and(|trouble| trouble.contains("space"))
    );
}

#[tokio::test]
async fn a_forgotten_sender_is_not_waited_for() {
    let host = Host::captured("/", &[]);
    let (reporter, mut reports) = open(&host, Mode::Quiet, None).unwrap();
    reports.patience = Duration::from_millis(20);
    let forgotten: Reporter = reporter.about("host1");
    drop(reporter);
    assert_eq!(reports.finish().await, None);
    drop(forgotten);
}

#[test]
fn the_mode_follows_flags_and_terminal() {
    let host = Host::captured("/", &[]);
    let global = |json, quiet| Global {
        json,
        quiet,
        ..Global::default()
    };
    assert_eq!(Mode::choose(&host, &global(true, true)), Mode::Json);
    assert_eq!(Mode::choose(&host, &global(false, true)), Mode::Quiet);
    assert_eq!(Mode::choose(&host, &global(false, false)), Mode::Plain);
}
