//! The Engine API of a simulated guest: which request does what to its world.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::disk::Membership;
use super::guest::Engine;
use super::http::Request;
use super::joining::LATE;
use super::nodes::{self, Role};
use super::swarm::{Answer, Refusal, refuse};
use super::{Shared, State};

/// Answers a request: status and body.
pub async fn answer(request: &Request, name: &str, shared: &Shared) -> (u16, Value) {
    let answer = if (request.method.as_str(), request.path.as_str()) == ("POST", "/swarm/join") {
        join(request, name, shared).await
    } else {
        shared.now(|state, _| state.call(request, name))
    };
    answer.unwrap_or_else(|Refusal(status, message)| (status, json!({ "message": message })))
}

/// Joins, which takes until a manager has let the engine in.
async fn join(request: &Request, name: &str, shared: &Shared) -> Answer<(u16, Value)> {
    let body = &request.body;
    let remotes = body["RemoteAddrs"].as_array().into_iter().flatten();
    let remotes: Vec<String> = remotes.filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let (advertise, token) = (text("AdvertiseAddr"), text("JoinToken"));
    let (began, delays) = (Instant::now(), shared.state().delays.clone());
    shared.until(|_, now| (now >= began + delays.join).then_some(())).await;
    shared.now(|state, _| state.begin_join(name, &remotes, token, advertise))?;
    shared
        .until(|state, now| match state.membership(name) {
            Membership::Node { .. } => Some(Ok((200, Value::Null))),
            _ if now >= began + delays.join + delays.join_timeout => Some(refuse(503, LATE)),
            _ => None,
        })
        .await
}

impl State {
    fn call(&mut self, request: &Request, name: &str) -> Answer<(u16, Value)> {
        let path: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        let body = &request.body;
        match (request.method.as_str(), path.as_slice()) {
            ("GET" | "HEAD", ["_ping"]) => Ok((200, json!("OK"))),
            ("GET", ["version"]) => {
                let version = self.info(name)["ServerVersion"].clone();
                Ok((200, json!({ "Version": version, "ApiVersion": "1.41", "Os": "linux" })))
            }
            ("GET", ["info"]) => Ok((200, self.info(name))),
            ("POST", ["swarm", "init"]) => {
                let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                if text("ListenAddr").is_empty() {
                    return refuse(400, "invalid ListenAddr \"\": invalid empty address");
                }
                let force = body["ForceNewCluster"] == json!(true);
                self.init(name, &text("AdvertiseAddr"), force).map(|node| (200, json!(node)))
            }
            ("POST", ["swarm", "leave"]) => {
                self.leave(name, request.yes("force")).map(|()| (200, Value::Null))
            }
            ("GET", ["swarm"]) => {
                let (at, _) = self.as_manager(name)?;
                let swarm = &self.swarms[at];
                Ok((
                    200,
                    json!({
                        "ID": swarm.id,
                        "Version": { "Index": swarm.index },
                        "JoinTokens": {
                            "Worker": swarm.worker_token, "Manager": swarm.manager_token
                        },
                    }),
                ))
            }
            ("GET", ["nodes"]) => {
                let (at, _) = self.as_manager(name)?;
                let nodes = self.swarms[at].nodes.iter();
                Ok((200, nodes.map(|node| self.node_json(at, node)).collect()))
            }
            ("GET", ["nodes", key]) => {
                let (at, own) = self.as_manager(name)?;
                let id = if *key == "self" { own } else { self.find_node(at, key)? };
                let node = self.swarms[at].node(&id).expect("it was found");
                Ok((200, self.node_json(at, node)))
            }
            ("POST", ["nodes", key, "update"]) => {
                let (at, _) = self.as_manager(name)?;
                let id = self.find_node(at, key)?;
                let version = request.query.get("version").and_then(|v| v.parse().ok());
                let Some(version) = version else {
                    return refuse(400, "invalid node version ''");
                };
                let wanted = nodes::spec(body)?;
                self.update_node(at, &id, version, wanted).map(|()| (200, Value::Null))
            }
            ("DELETE", ["nodes", key]) => {
                let (at, _) = self.as_manager(name)?;
                let id = self.find_node(at, key)?;
                self.remove_node(at, &id, request.yes("force")).map(|()| (200, Value::Null))
            }
            ("GET", ["services"]) => {
                let (at, _) = self.as_manager(name)?;
                Ok((200, self.services_json(at)))
            }
            ("POST", ["services", "create"]) => {
                let (at, _) = self.as_manager(name)?;
                self.create_service(at, body).map(|id| (201, json!({ "ID": id })))
            }
            ("DELETE", ["services", key]) => {
                let (at, _) = self.as_manager(name)?;
                self.delete_service(at, key).map(|()| (200, Value::Null))
            }
            ("GET", ["tasks"]) => {
                let (at, _) = self.as_manager(name)?;
                let filters = filters(request.query.get("filters").map_or("{}", |f| f))?;
                self.tasks_json(at, &filters).map(|tasks| (200, tasks))
            }
            _ => {
                let what = format!("no answer to {} {}", request.method, request.path);
                self.journal.complain(name, what);
                refuse(404, "page not found")
            }
        }
    }

    fn info(&self, name: &str) -> Value {
        let guest = &self.guests[name];
        let (version, labels) = match &guest.engine {
            Engine::Up { version, settings, .. } => (version.clone(), settings.labels.clone()),
            _ => (String::new(), Vec::new()),
        };
        json!({
            "ServerVersion": version,
            "Name": guest.disk.hostname,
            "Labels": labels,
            "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
            "Swarm": self.swarm_info(&guest.disk.membership, &guest.disk.lab),
        })
    }

    fn swarm_info(&self, membership: &Membership, lab: &str) -> Value {
        let nothing = |state: &str, error: &str| {
            json!({
                "LocalNodeState": state, "NodeID": "", "NodeAddr": "", "Error": error,
                "ControlAvailable": false, "RemoteManagers": null,
            })
        };
        let (swarm, node) = match membership {
            Membership::None => return nothing("inactive", ""),
            Membership::Joining { .. } => return nothing("pending", ""),
            Membership::Expelled { node } => {
                let removed = "rpc error: code = PermissionDenied desc = certificate of node";
                return nothing("error", &format!("{removed} {node} was removed"));
            }
            Membership::Stranger { manager } => {
                let node = "strangersnode";
                return json!({
                    "LocalNodeState": "active", "NodeID": node, "NodeAddr": lab, "Error": "",
                    "ControlAvailable": false,
                    "RemoteManagers": [{ "NodeID": "strangersmanager", "Addr": manager }],
                });
            }
            Membership::Node { swarm, node } => (swarm, node),
        };
        let at = self.swarms.iter().position(|s| s.id == *swarm).expect("members know it");
        let swarm = &self.swarms[at];
        let Some(node) = swarm.node(node) else { return nothing("pending", "") };
        let managers = swarm.nodes.iter().filter(|n| n.raft);
        let mut info = json!({
            "LocalNodeState": if node.session { "active" } else { "pending" },
            "NodeID": node.id,
            "NodeAddr": lab,
            "Error": "",
            "ControlAvailable": node.acting == Role::Manager,
            "RemoteManagers": managers
                .map(|n| json!({ "NodeID": n.id, "Addr": format!("{}:2377", n.addr) }))
                .collect::<Vec<_>>(),
        });
        if node.acting == Role::Manager {
            let leaderless = self.leaderless(at);
            info["Error"] = json!(leaderless.unwrap_or_default());
            let id = if leaderless.is_some() { "" } else { &swarm.id };
            info["Cluster"] = json!({ "ID": id });
            if leaderless.is_none() {
                info["Nodes"] = json!(swarm.nodes.len());
                info["Managers"] = json!(swarm.nodes.iter().filter(|n| n.raft).count());
            }
        }
        info
    }
}

/// Reads filters as lists, or as the older maps to `true`.
fn filters(text: &str) -> Answer<BTreeMap<String, Vec<String>>> {
    let Ok(Value::Object(filters)) = serde_json::from_str(text) else {
        return refuse(400, "invalid filter");
    };
    let values = |value: &Value| match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(list) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    Ok(filters.iter().map(|(key, value)| (key.clone(), values(value))).collect())
}
