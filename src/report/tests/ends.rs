//! What is said at the end: summaries and tables.

use std::path::Path;
use std::time::Duration;

use fleet_driver::event::Outcome;

use super::failed;
use crate::apply::LaneEnd;
use crate::host::Host;
use crate::report::{summary, table};

fn end(machine: &str, outcome: Outcome) -> LaneEnd {
    LaneEnd { machine: machine.into(), outcome, elapsed: Duration::from_secs(40) }
}

#[test]
fn the_summary_of_a_good_run_names_the_next_commands() {
    let ends = [end("host1", Outcome::Done), end("worker-1", Outcome::Unchanged)];
    let next = ["eval $(fleet env host1)".to_owned(), "docker node ls".to_owned()];
    let text = summary(&ends, Duration::from_secs(41), &next, None, false);
    insta::assert_snapshot!(text, @r"
    Done: 2 machines (41 s).
    Next:
      eval $(fleet env host1)
      docker node ls
    ");
    let none = summary(&ends[1..], Duration::from_millis(400), &[], None, false);
    assert_eq!(none, "Nothing to do: 1 machine (0.4 s).\n");
}

#[test]
fn the_summary_of_a_failed_run_names_each_lane_and_the_log() {
    let ends = [
        end("host1", failed()),
        end("worker-1", Outcome::Skipped { because: "`host1` failed".into() }),
        end("worker-2", Outcome::Done),
    ];
    let log = Path::new(".fleet/log/x.jsonl");
    let next = ["fleet up".to_owned()];
    let text = summary(&ends, Duration::from_secs(41), &next, Some(log), false);
    insta::assert_snapshot!(text, @r"
    Not done: of 3 machines 1 failed, 1 skipped (41 s).
    ✗ host1     failed: could not start: VT-x is; not available
                console:
                  line 1
                  line 2
                hint: enable it
    - worker-1  skipped, because `host1` failed
    log: .fleet/log/x.jsonl
    Next:
      fleet up
    ");
    let coloured = summary(&ends, Duration::from_secs(41), &next, Some(log), true);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text);
}

#[test]
fn tables_are_columns_without_lines() {
    let rows = vec![
        vec!["host1".to_owned(), "*".into(), "tcp://127.0.0.1:40123".into(), String::new()],
        vec!["worker-10".into(), "-".into(), String::new(), "no\nroute \x1b[31mto".into()],
    ];
    let host = Host::captured("/", &[]);
    let text = table(&["NAME", "ACTIVE", "URL", "ERRORS"], rows, &host);
    assert!(text.lines().all(|line| line.trim_end() == line));
    insta::assert_snapshot!(text, @r"
    NAME        ACTIVE   URL                     ERRORS
    host1       *        tcp://127.0.0.1:40123
    worker-10   -                                no; route to
    ");
    let long = "x".repeat(500);
    let wide = table(&["A", "B"], vec![vec![long.clone(), long.clone()]], &host);
    assert!(wide.lines().nth(1).is_some_and(|line| line == format!("{long}   {long}")));
    assert_eq!(table(&["A", "B"], Vec::<Vec<String>>::new(), &host), "A   B\n");
}
