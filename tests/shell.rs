//! `ssh`, `console` and `logs`, whole commands on the fake driver, and the user's own
//! `ssh` with the configuration that fleet wrote.

use std::process::Stdio;

use fleet::guest::keys::KeyPair;

use crate::support::scenario::Scenario;

async fn lab() -> Scenario {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    lab
}

#[tokio::test]
async fn a_command_goes_to_the_machine_as_it_was_typed() {
    let lab = lab().await;
    lab.fleet(&["ssh", "-n", "web-1", "ls", "-la", "--json", "$HOME"]).await.exits(0);
    lab.fleet(&["ssh", "-n", "web-1", "echo 'a  b' | wc"]).await.exits(0);
    let commands = lab.server("web-1").seen().commands;
    assert_eq!(commands[commands.len() - 2..], ["ls -la --json $HOME", "echo 'a  b' | wc"]);
    assert!(lab.server("web-1").seen().terminals.is_empty());
}

#[tokio::test]
async fn what_cannot_be_reached_says_what_to_do() {
    let lab = lab().await;
    lab.fleet(&["stop", "web-2"]).await;
    lab.fleet(&["ssh", "-n", "web-2", "true"]).await.exits(5).says("fleet start web-2");
    lab.fleet(&["ssh", "-n", "web-3", "true"]).await.exits(5).says("did you mean");
    lab.fleet(&["logs", "web-1"]).await.exits(5).says("has no serial console");
    lab.fleet(&["console", "web-1"]).await.exits(5).says("has no serial console");
}

#[tokio::test]
async fn a_changed_host_key_is_255_and_nothing_is_run() {
    let lab = lab().await;
    let before = lab.server("web-1").seen();
    let state = lab.dir().join(".fleet/state.toml");
    let pinned = KeyPair::generate("another").unwrap().public;
    let text = std::fs::read_to_string(&state).unwrap();
    let changed = text.replace(&lab.server("web-1").host_key.public, &pinned);
    assert_ne!(text, changed, "the record holds the host key");
    std::fs::write(&state, changed).unwrap();
    lab.fleet(&["ssh", "-n", "web-1", "true"]).await.exits(255).says("has changed");
    let after = lab.server("web-1").seen();
    assert_eq!((after.logins, after.commands), (before.logins, before.commands));
}

#[tokio::test]
async fn the_users_own_ssh_reaches_the_machines() {
    let lab = lab().await;
    let run = tokio::process::Command::new("ssh")
        .arg("-F")
        .arg(lab.dir().join(".fleet/ssh/config"))
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "web-2", "hostname"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(out) = run.await else { return }; // OpenSSH is not installed.
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(lab.server("web-2").seen().commands.last().unwrap(), "hostname");
}
