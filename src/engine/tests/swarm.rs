//! The verbs of a swarm.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleet_driver::Secret;
use serde_json::{Value, json};

use super::*;
use crate::config::Swarm;

const TOKEN: &str = "SWMTKN-1-2ryaxc8s-89cc9kp5";
const ME: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 12);
const MANAGER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 11);

fn says(text: &str) -> String {
    json!({ "message": text }).to_string()
}

/// Answers `/info` with the given state, and everything else with `reply`.
fn in_state(swarm: Value, reply: Reply) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        if request.line == "GET /info" {
            (200, json!({ "Swarm": swarm }).to_string())
        } else {
            reply.clone()
        }
    }
}

fn active(managers: &[&str], control: bool) -> Value {
    let peers: Vec<Value> = managers.iter().map(|addr| json!({ "Addr": addr })).collect();
    json!({ "LocalNodeState": "active", "ControlAvailable": control, "RemoteManagers": peers })
}

fn inactive() -> Value {
    json!({ "LocalNodeState": "inactive" })
}

fn swarm(pools: &[&str]) -> Swarm {
    Swarm {
        address_pools: pools.iter().map(|&p| p.to_owned()).collect(),
        subnet_size: 26,
        task_history: 3,
    }
}

#[tokio::test]
async fn a_swarm_is_made_as_asked() {
    let (_dir, pki) = pki();
    let (fake, engine) = engine(&pki, "127.0.0.1", always("\"nodeid\"")).await;
    engine.swarm_init(ME, &swarm(&["10.20.0.0/16"]), &cx()).await.unwrap();
    engine.swarm_init(ME, &swarm(&[]), &cx()).await.unwrap();
    let bodies: Vec<Value> =
        fake.requests().iter().map(|r| serde_json::from_str(&r.body).unwrap()).collect();
    assert_eq!(bodies[0]["AdvertiseAddr"], "10.77.0.12:2377");
    assert_eq!(bodies[0]["ListenAddr"], "0.0.0.0:2377");
    assert_eq!(bodies[0]["DefaultAddrPool"], json!(["10.20.0.0/16"]));
    assert_eq!(bodies[0]["SubnetSize"], 26);
    assert_eq!(bodies[0]["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"], 3);
    assert_eq!(bodies[1].get("DefaultAddrPool"), None);
    assert_eq!(bodies[1].get("SubnetSize"), None);
}

#[tokio::test]
async fn a_swarm_that_is_there_is_a_conflict() {
    let (_dir, pki) = pki();
    let reply = (503, says("This node is already part of a swarm."));
    let (_fake, engine) = engine(&pki, "127.0.0.1", in_state(active(&[], true), reply)).await;
    let error = engine.swarm_init(ME, &swarm(&[]), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn joining_ends_well_where_it_has_joined() {
    let (_dir, pki) = pki();
    let token = Secret::new(TOKEN.to_owned());
    for (managers, joined) in [("10.77.0.11:2377", true), ("10.99.0.1:2377", false)] {
        let reply = (503, says("This node is already part of a swarm."));
        let state = active(&[managers], false);
        let (fake, engine) = engine(&pki, "127.0.0.1", in_state(state, reply)).await;
        let result = engine.join(ME, &[MANAGER], &token, &cx()).await;
        let kind = result.err().map(|error| error.kind());
        assert_eq!(kind, (!joined).then_some(ErrorKind::Conflict));
        let body: Value = serde_json::from_str(&fake.requests()[0].body).unwrap();
        assert_eq!(body["RemoteAddrs"], json!(["10.77.0.11:2377"]));
        assert_eq!(body["JoinToken"], TOKEN);
    }
}

#[tokio::test]
async fn joining_that_goes_on_or_finds_nobody_passes() {
    let (_dir, pki) = pki();
    let token = Secret::new(TOKEN.to_owned());
    for state in [json!({ "LocalNodeState": "pending" }), inactive()] {
        let reply = (503, says("Timeout was reached before node joined."));
        let (_fake, engine) = engine(&pki, "127.0.0.1", in_state(state, reply)).await;
        let error = engine.join(ME, &[MANAGER], &token, &cx()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
    }
}

#[tokio::test]
async fn no_error_holds_a_token() {
    let (_dir, pki) = pki();
    for status in [400, 500, 503] {
        let reply = (status, says(&format!("invalid join token {TOKEN}")));
        let state = json!({ "LocalNodeState": "error", "Error": format!("token {TOKEN}") });
        let (_fake, engine) = engine(&pki, "127.0.0.1", in_state(state, reply)).await;
        let token = Secret::new(TOKEN.to_owned());
        let error = engine.join(ME, &[MANAGER], &token, &cx()).await.unwrap_err();
        let all = format!("{error:?} {error} {:?} {:?}", error.context(), error.causes());
        assert!(!all.contains("SWMTKN"), "{all}");
    }
}

#[tokio::test]
async fn tokens_come_from_a_manager() {
    let (_dir, pki) = pki();
    let body = json!({ "JoinTokens": { "Worker": "w", "Manager": "m" } }).to_string();
    let (_fake, good) = engine(&pki, "127.0.0.1", always(&body)).await;
    let tokens = good.tokens(&cx()).await.unwrap();
    assert_eq!((tokens.manager.expose().as_str(), tokens.worker.expose().as_str()), ("m", "w"));

    let reply = (503, says("This node is not a swarm manager."));
    let (_fake, worker) = engine(&pki, "127.0.0.1", in_state(active(&[], false), reply)).await;
    assert_eq!(worker.tokens(&cx()).await.unwrap_err().kind(), ErrorKind::Conflict);

    let reply = (500, says("rpc error: The swarm does not have a leader."));
    let (_fake, lone) = engine(&pki, "127.0.0.1", in_state(active(&[], true), reply)).await;
    assert_eq!(lone.nodes(&cx()).await.unwrap_err().kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn leaving_twice_is_leaving() {
    let (_dir, pki) = pki();
    let reply = (503, says("This node is not part of a swarm"));
    let (fake, gone) = engine(&pki, "127.0.0.1", in_state(inactive(), reply)).await;
    gone.leave(Force::Yes, &cx()).await.unwrap();
    assert_eq!(fake.requests()[0].query, "force=true");

    let reply = (503, says("You are attempting to leave the swarm on a manager."));
    let (_fake, manager) = engine(&pki, "127.0.0.1", in_state(active(&[], true), reply)).await;
    assert_eq!(manager.leave(Force::No, &cx()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// A node whose updates fail `failures` times because another one came first.
fn contended(failures: usize) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    let updates = AtomicUsize::new(0);
    move |request| match request.line.as_str() {
        "GET /info" => (200, json!({ "Swarm": active(&[], true) }).to_string()),
        "GET /nodes/n1" => {
            let version = 7 + updates.load(Ordering::SeqCst);
            let spec =
                json!({ "Role": "worker", "Availability": "active", "Labels": { "a": "1" } });
            (200, json!({ "ID": "n1", "Version": { "Index": version }, "Spec": spec }).to_string())
        }
        "POST /nodes/n1/update" if updates.fetch_add(1, Ordering::SeqCst) < failures => {
            (500, says("rpc error: code = Unknown desc = update out of sequence"))
        }
        "POST /nodes/n1/update" => (200, String::new()),
        _ => (404, says("no such node")),
    }
}

#[tokio::test]
async fn an_update_that_was_overtaken_is_tried_again() {
    let (_dir, pki) = pki();
    let (fake, engine) = engine(&pki, "127.0.0.1", contended(2)).await;
    let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    engine.update_node("n1", Role::Manager, Availability::Drain, &labels, &cx()).await.unwrap();
    let updates: Vec<_> =
        fake.requests().into_iter().filter(|r| r.line.ends_with("/update")).collect();
    let versions: Vec<_> = updates.iter().map(|r| r.query.as_str()).collect();
    assert_eq!(versions, ["version=7", "version=8", "version=9"]);
    let body: Value = serde_json::from_str(&updates[2].body).unwrap();
    assert_eq!(
        body,
        json!({ "Role": "manager", "Availability": "drain", "Labels": { "disk": "ssd" } })
    );
}

#[tokio::test]
async fn nothing_is_updated_that_is_so_already() {
    let (_dir, pki) = pki();
    let (fake, engine) = engine(&pki, "127.0.0.1", contended(0)).await;
    let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    engine.update_node("n1", Role::Worker, Availability::Active, &labels, &cx()).await.unwrap();
    assert_eq!(fake.lines(), ["GET /nodes/n1"]);
    let error = engine
        .update_node("n2", Role::Worker, Availability::Active, &labels, &cx())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_node_is_removed_once_it_is_down() {
    let (_dir, pki) = pki();
    let reply = (400, says("node n1 is not down and can't be removed"));
    let (_fake, up) = engine(&pki, "127.0.0.1", in_state(active(&[], true), reply)).await;
    assert_eq!(up.remove_node("n1", Force::No, &cx()).await.unwrap_err().kind(), ErrorKind::Busy);
    let reply = (404, says("node n1 not found"));
    let (_fake, gone) = engine(&pki, "127.0.0.1", in_state(active(&[], true), reply)).await;
    gone.remove_node("n1", Force::No, &cx()).await.unwrap();
}

#[tokio::test]
async fn tasks_tell_where_they_run_and_why_they_wait() {
    let (_dir, pki) = pki();
    let tasks = json!([
        { "ServiceID": "s", "NodeID": "n1", "DesiredState": "running",
          "Status": { "State": "running" } },
        { "ServiceID": "s", "NodeID": "n1", "DesiredState": "shutdown",
          "Status": { "State": "running" } },
        { "ServiceID": "s", "DesiredState": "running",
          "Status": { "State": "pending", "Err": "no suitable node" } },
        { "ServiceID": "s", "NodeID": "n1", "DesiredState": "running",
          "Status": { "State": "failed", "Err": "exit 1" } },
    ]);
    let (fake, engine) = engine(&pki, "127.0.0.1", always(&tasks.to_string())).await;
    let seen = engine.tasks(&cx()).await.unwrap();
    let told: Vec<_> = seen.iter().map(|t| (t.wanted, t.running, t.refused.is_some())).collect();
    assert_eq!(
        told,
        [(true, true, false), (false, true, false), (true, false, true), (true, false, false)]
    );
    assert_eq!((seen[0].node.as_str(), seen[2].node.as_str()), ("n1", ""));
    let query = &fake.requests()[0].query;
    assert_eq!(query, "filters=%7B%22desired-state%22%3A%5B%22running%22%2C%22shutdown%22%5D%7D");
}
