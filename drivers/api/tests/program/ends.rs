//! Nothing is left of a program, whatever ends.

use std::process::{Command, Stdio};

use fleet_driver::program::Program;
use fleet_driver::{Driver, Error, wait};

use crate::stand::{READY, Stand, host1, is_gone};

/// Names the folder of a test whose process is to be killed.
const DOOMED: &str = "FLEET_TEST_DOOMED";

async fn started(stand: &Stand) -> Program {
    Program::start(&stand.fake(), "fake", &stand.settings(), &stand.cx()).await.unwrap()
}

#[tokio::test]
async fn a_program_ends_by_itself_when_its_input_is_closed() {
    let stand = Stand::new();
    let program = started(&stand).await;
    assert!(program.list(None, &stand.cx()).await.unwrap().is_empty());
    let pid = program.pid().await.unwrap().to_string();
    program.end().await;
    is_gone(&pid).await;
    // It begins again if it is asked once more.
    assert!(program.list(None, &stand.cx()).await.unwrap().is_empty());
    assert_ne!(program.pid().await.unwrap().to_string(), pid);
    let pid = program.pid().await.unwrap().to_string();
    drop(program);
    is_gone(&pid).await;
}

#[tokio::test]
async fn a_program_that_does_not_listen_is_ended_with_its_children() {
    let stand = Stand::new();
    let text = format!(
        "trap '' TERM\n{READY}sleep 600 & echo $! > \"$HERE/child\"\necho $$ > \"$HERE/pid\"\n\
         cat > /dev/null; while :; do sleep 1; done"
    );
    let program = stand.start(&text).await.unwrap();
    stand.until_written("pid", "\n").await;
    program.end().await;
    is_gone(&stand.written("pid")).await;
    is_gone(&stand.written("child")).await;
}

#[test]
fn a_runtime_that_ends_takes_its_programs_with_it() {
    let stand = Stand::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = format!("{READY}echo $$ > \"$HERE/pid\"; exec sleep 600");
    let program = runtime.block_on(stand.start(&text)).unwrap();
    runtime.block_on(stand.until_written("pid", "\n"));
    runtime.shutdown_background();
    tokio::runtime::Runtime::new().unwrap().block_on(is_gone(&stand.written("pid")));
    drop(program);
}

#[tokio::test]
async fn a_program_ends_when_fleet_is_killed() {
    let stand = Stand::new();
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends::doomed", "--nocapture", "--test-threads", "1"])
        .env(DOOMED, stand.path(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = stand.until_written("pid", "\n").await;
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    is_gone(&pid).await;
}

/// Not a test: a process that calls a driver program until it is killed.
#[test]
fn doomed() {
    let Some(folder) = std::env::var_os(DOOMED) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stand = Stand::new();
        let program = started(&stand).await;
        let pid = format!("{}\n", program.pid().await.unwrap());
        std::fs::write(std::path::Path::new(&folder).join("pid"), pid).unwrap();
        let forever: Result<(), Error> = wait::until(&stand.cx(), "the end", "", || async {
            drop(program.inspect(&host1(), &stand.cx()).await);
            Err(Error::busy("not yet"))
        })
        .await;
        panic!("nobody killed this process: {forever:?}");
    });
}
