//! The live display on a small terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleet_driver::event::{EventKind, Outcome, StepId};

use super::screen::Screen;
use super::{at, event, failed, finished, run, started};
use crate::report::human::{Frames, Human, Look};
use crate::report::ink::Colour;
use crate::report::live::{Glyphs, columns};
use crate::report::{Sink, clean};

/// A live display on a screen of so many columns, and its clock.
fn human(columns: u16, colour: Colour) -> (Human, Screen, Arc<AtomicU64>) {
    let screen = Screen::new(columns);
    let seconds = Arc::new(AtomicU64::new(0));
    let (clock, sized, written) = (seconds.clone(), screen.clone(), screen.clone());
    let look = Look {
        colour,
        glyphs: Glyphs::Unicode,
        size: Arc::new(move || sized.size()),
        clock: Arc::new(move || at(clock.load(Ordering::SeqCst))),
        frames: Frames::OnEvent,
    };
    (Human::new(look, move |text| written.print(text)), screen, seconds)
}

/// Shows the first events of [`run`], up to a time, at that time.
fn shown_at(second: u64, columns: u16) -> String {
    let (mut human, screen, clock) = human(columns, Colour::Off);
    for mut event in run().into_iter().filter(|event| event.at <= at(second)) {
        clock.store(event.at.duration_since(at(0)).unwrap().as_secs(), Ordering::SeqCst);
        clean::event(&mut event);
        human.event(&event);
    }
    screen.contents()
}

#[test]
fn human_shows_a_download() {
    insta::assert_snapshot!(shown_at(1, 100), @r"
    ⠸ fleet     preparing the image  ━━━━━───────────────  64.00 MiB of 256.00 MiB (25 %) (1 s)
    ⠙ host1     waits for its turn
    ⠙ worker-1  waits for its turn
    ");
}

#[test]
fn human_shows_what_each_machine_does() {
    insta::assert_snapshot!(shown_at(9, 100), @r"
    ✓ fleet     image ready (3.0 s)
    ⠴ host1     waiting for SSH at 127.0.0.1:2201 (5 s)
    ⠙ worker-1  waits for its turn
    ");
    insta::assert_snapshot!(shown_at(24, 60), @r"
    ✓ fleet     image ready (3.0 s)
    note: All is well.
    worker-1: warning: The disk is nearly full.
    ⠇ host1     waiting for SSH: login: grüß dich (18 s)
    ⠹ worker-1  starting (0 s)
    ");
}

#[test]
fn human_fits_a_narrow_terminal() {
    let shown = shown_at(21, 40);
    assert!(shown.lines().all(|line| columns(line) <= 40), "{shown}");
    insta::assert_snapshot!(shown, @r"
    ✓ fleet     image ready (3.0 s)
    ⠧ host1     waiting for SSH at … (17 s)
    ⠙ worker-1  waits for its turn
    ");
}

#[test]
fn human_leaves_one_line_a_lane() {
    insta::assert_snapshot!(shown_at(45, 100), @r"
    ✓ fleet     image ready (3.0 s)
    note: All is well.
    worker-1: warning: The disk is nearly full.
    ✗ worker-1  starting failed: could not start: VT-x is; not available (1.0 s)
    - host1     joining the swarm was skipped, because `worker-1` failed
    ");
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
    assert_eq!(screen.contents(), "- a      left off while creating\n- b      not finished");
}

#[test]
fn colour_is_never_alone() {
    let (mut human, screen, _) = human(80, Colour::On);
    human.event(&event(0, "a", started(StepId::Start)));
    human.event(&event(1, "a", finished(StepId::Start, failed(), 1)));
    human.end();
    let contents = screen.contents();
    assert!(contents.starts_with("\x1b[31m✗\x1b[0m a  \x1b[31mstarting failed:"), "{contents:?}");
}

#[test]
fn a_narrower_window_leaves_nothing_behind() {
    let (mut human, screen, _) = human(100, Colour::On);
    let mut events = run().into_iter();
    for columns in [100, 60, 30, 25, 80, 40] {
        screen.resize(columns);
        for mut event in events.by_ref().take(4) {
            clean::event(&mut event);
            human.event(&event);
        }
    }
    human.end();
    let shown = anstream::adapter::strip_str(&screen.contents()).to_string();
    let joined = shown.replace('\n', "");
    for (text, times) in [("⠋", 0), ("waits for its turn", 0), ("✓ fleet", 1), ("✗ worker-1", 1)]
    {
        assert_eq!(joined.matches(text).count(), times, "{text} in\n{shown}");
    }
    assert!(shown.starts_with("✓ fleet     image ready (3.0 s)\nnote: All is well.\n"), "{shown}");
}

#[test]
fn what_follows_begins_on_a_line_of_its_own() {
    let (mut human, screen, _) = human(80, Colour::Off);
    screen.print("$ fleet up\r\n");
    human.event(&event(0, "a", started(StepId::Start)));
    human.event(&event(1, "a", finished(StepId::Start, Outcome::Done, 1)));
    human.end();
    screen.print("Done.\r\n");
    assert_eq!(screen.contents(), "$ fleet up\n✓ a  started (1.0 s)\nDone.");
}
