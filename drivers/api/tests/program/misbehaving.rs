//! Programs that are no drivers, or bad ones.

use std::time::Duration;

use fleet_driver::event::{EventKind, Reporter, Stream};
use fleet_driver::program::Program;
use fleet_driver::{Driver, Error, ErrorKind, MachineId, Settings};

use crate::stand::{READY, Stand, host1, is_gone};

async fn refused(text: &str) -> Error {
    let stand = Stand::new();
    let error = stand.start(text).await.err().expect("this is no driver");
    assert_eq!(error.kind(), ErrorKind::Host, "{error:?}");
    let named = error.context().iter().any(|(_, value)| value.ends_with("fleet-driver-x"));
    assert!(named && error.hint_text().is_some(), "{error:?}");
    error
}

#[tokio::test]
async fn what_does_not_answer_as_a_driver_is_named() {
    let error = refused("echo Hello, world").await.to_string();
    assert!(error.contains("no message: Hello, world"), "{error}");
    let error = refused("read -r hello; echo cannot find my feet >&2; exit 7").await.to_string();
    assert!(error.contains("ended with status 7: cannot find my feet"), "{error}");
    let error = refused(r#"echo '{"type":"ready","protocol":9}'"#).await.to_string();
    assert!(error.contains("chose version 9 of the protocol"), "{error}");
    let error = refused(r#"echo '{"type":"answer","id":1}'"#).await.to_string();
    assert!(error.contains("no message"), "{error}");
    let error = refused("head -c 9000000 /dev/zero | tr '\\0' x; cat >/dev/null").await.to_string();
    assert!(error.contains("a line of more than 8 MiB"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_the_program_with_it() {
    let stand = Stand::new();
    let path = stand.script("fleet-driver-x", "echo $$ > \"$HERE/pid\"; exec sleep 600");
    let cx = stand.cx().within(Duration::from_millis(700));
    let error = Program::start(&path, "x", &Settings::default(), &cx).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Host);
    assert!(error.to_string().contains("said nothing"), "{error}");
    is_gone(&stand.written("pid")).await;
}

#[tokio::test]
async fn a_missing_program_is_the_hosts_fault() {
    let stand = Stand::new();
    let path = stand.path("fleet-driver-none");
    let error = Program::start(&path, "x", &Settings::default(), &stand.cx()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Host);
}

#[tokio::test]
async fn a_program_that_dies_is_busy_and_is_started_anew_three_times() {
    let stand = Stand::new();
    let text = format!("{READY}echo x >> \"$HERE/starts\"; read -r call; echo so sad >&2; exit 3");
    let program = stand.start(&text).await.unwrap();
    for _ in 0..4 {
        let error = program.start(&host1(), &stand.cx()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
        let text = error.to_string();
        assert!(text.contains("ended with status 3, during `start`: so sad"), "{text}");
    }
    let error = program.start(&host1(), &stand.cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.to_string().contains("has died 4 times: so sad"), "{error}");
    assert_eq!(stand.written("starts").lines().count(), 4);
}

#[tokio::test]
async fn a_read_is_tried_once_more_by_itself() {
    let stand = Stand::new();
    let once = "[ -e \"$HERE/died\" ] || { : > \"$HERE/died\"; kill -9 $$; }";
    let answer = r#"echo '{"type":"answer","id":'$(id "$line")',"value":null}'"#;
    let text = format!("{READY}while read -r line; do {once}; {answer}; done");
    let program = stand.start(&text).await.unwrap();
    assert_eq!(program.inspect(&host1(), &stand.cx()).await.unwrap(), None);
    assert!(stand.path("died").exists());
}

#[tokio::test]
async fn a_program_that_never_answers_hangs_nobody() {
    let stand = Stand::new();
    let text = format!("{READY}echo $$ > \"$HERE/pid\"; while read -r line; do :; done");
    let program = stand.start(&text).await.unwrap();
    let cx = stand.cx().within(Duration::from_millis(100));
    let error = program.start(&host1(), &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.to_string().contains("did not end `start` in time"), "{error}");
    let first = stand.written("pid");
    // It does not give up the call either, so nobody knows what it does: it is ended.
    let error = program.stop(&host1(), fleet_driver::Stop::Hard, &stand.cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("did not give up a call"), "{error}");
    is_gone(&first).await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_before_the_next_one_of_its_machine() {
    let stand = Stand::new();
    // It answers a call when it is cancelled, and notes what comes.
    let text = format!(
        "{READY}{}",
        r#"while read -r line; do
    id=$(id "$line")
    case "$line" in
        *'"cancel"'*) echo cancel $id >> "$HERE/log"; sleep 0.3
            echo answered $id >> "$HERE/log" 
            echo '{"type":"failed","id":'$id',"error":{"kind":"interrupted","message":"x"}}' ;;
        *'"start"'*) echo start $id >> "$HERE/log" ;;
        *) echo other $id >> "$HERE/log"
            echo '{"type":"answer","id":'$id'}' ;;
    esac
done"#
    );
    let program = stand.start(&text).await.unwrap();
    let (id, cx) = (host1(), stand.cx());
    tokio::select! {
        result = program.start(&id, &cx) => panic!("{result:?}"),
        _ = stand.until_written("log", "start 1") => {}
    }
    let other = MachineId::new("lab-1", "host2");
    program.unseed(&other, &stand.cx()).await.unwrap();
    program.unseed(&id, &stand.cx()).await.unwrap();
    let log = stand.written("log");
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text} in {log}"));
    assert!(place("cancel 1") < place("answered 1"));
    assert!(place("answered 1") < place("other 3"), "{log}");
}

#[tokio::test]
async fn ctrl_c_cancels_the_call() {
    let stand = Stand::new();
    let text = format!("{READY}while read -r line; do echo \"$line\" >> \"$HERE/log\"; done");
    let program = stand.start(&text).await.unwrap();
    let (id, cx) = (host1(), stand.cx());
    let (result, ()) = tokio::join!(program.start(&id, &cx), async {
        stand.until_written("log", "start").await;
        cx.cancelled().cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
    stand.until_written("log", r#"{"type":"cancel","id":1}"#).await;
}

#[tokio::test]
async fn what_is_no_message_ends_the_program_and_its_call() {
    let stand = Stand::new();
    let answer = r#"echo '{"type":"answer","id":'$(id "$line")'}'"#;
    let once = "[ -e \"$HERE/once\" ] || { : > \"$HERE/once\"; echo Starting...; }";
    let text = format!("{READY}while read -r line; do {once}; {answer}; done");
    let program = stand.start(&text).await.unwrap();
    let error = program.start(&host1(), &stand.cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.to_string().contains("no message: Starting..., during `start`"), "{error}");
    program.start(&host1(), &stand.cx()).await.unwrap();
}

#[tokio::test]
async fn an_answer_of_the_wrong_shape_is_an_error_and_no_end() {
    let stand = Stand::new();
    let answer = r#"echo '{"type":"answer","id":'$(id "$line")',"value":{"power":"dancing"}}'"#;
    let program = stand.start(&format!("{READY}while read -r line; do {answer}; done")).await;
    let program = program.unwrap();
    let pid = program.pid().await;
    let error = program.inspect(&host1(), &stand.cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.to_string().contains("dancing"), "{error}");
    assert_eq!(program.pid().await, pid);
}

#[tokio::test]
async fn a_flood_of_words_is_borne_and_the_last_are_kept() {
    let stand = Stand::new();
    let flood = "i=0; while [ $i -lt 5000 ]; do echo word $i; i=$((i+1)); done >&2";
    let text = format!("{READY}read -r line; {flood}; printf 'x%.0s' $(seq 20000) >&2; exit 1");
    let program = stand.start(&text).await.unwrap();
    let (reporter, mut events) = Reporter::channel();
    let cx = stand.cx_with(reporter.about("host1"));
    let error = program.start(&host1(), &cx).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("word 4999") && !text.contains("word 4900"), "{text}");
    let mut lines = 0;
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.machine.as_deref(), Some("host1"));
        lines += usize::from(matches!(event.kind, EventKind::Line { stream: Stream::Stderr, .. }));
    }
    assert!(lines >= 5000, "{lines}");
}
