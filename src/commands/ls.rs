//! `fleet ls`: the table of machines.

use std::time::Duration;

use fleet_driver::Power;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{Exit, Global, Session, active, life};
use crate::config::{Role, Spec};
use crate::engine::{NodeFacts, SwarmState};
use crate::host::Host;
use crate::observe::{Depth, EngineSeen, Observed, Patience, Seen, observe};
use crate::report;

/// List the machines
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the names only
    #[arg(long = "names", short = 'n')]
    names_only: bool,
    /// How many seconds a machine may take to answer
    #[arg(long, short, value_name = "SECONDS", default_value = "10")]
    timeout: u64,
}

/// Where the column of hosts stands, if there is one: behind the driver.
const HOST: usize = 3;

/// One row of the table.
struct Row {
    name: String,
    active: bool,
    driver: String,
    /// Which of the driver's hosts it is on, where there are several.
    host: Option<String>,
    state: String,
    url: String,
    swarm: String,
    engine: String,
    error: String,
}

/// Runs `fleet ls`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    if args.names_only {
        let names: Vec<&str> = session.fleet.machines.iter().map(|s| s.name.as_str()).collect();
        for name in names {
            host.out(&format!("{name}\n"))?;
        }
        return Ok(0);
    }
    let patience = Patience(Duration::from_secs(args.timeout.max(1)));
    let observed = observe(&session, &session.fleet.machines, Depth::Engines, patience).await?;
    let rows: Vec<Row> =
        session.fleet.machines.iter().map(|spec| row(&session, spec, &observed)).collect();
    let (end, now) = (life::end(&session), host.now());
    if global.json {
        let rows: Vec<Value> = rows.iter().map(to_json).collect();
        let mut listed = json!({ "v": 1, "machines": rows });
        if let Some(end) = end {
            listed["expires"] = json!(end.format(&Rfc3339).ok());
            listed["seconds_left"] = json!((end - now).whole_seconds().max(0));
        }
        super::print_json(host, &listed)?;
        return Ok(0);
    }
    let mut headers = vec!["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "ENGINE", "ERRORS"];
    let hosts: Vec<Option<String>> = rows.iter().map(|row| row.host.clone()).collect();
    let mut cells: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    if hosts.iter().any(Option::is_some) {
        headers.insert(HOST, "HOST");
        for (row, host) in cells.iter_mut().zip(hosts) {
            row.insert(HOST, host.unwrap_or_default());
        }
    }
    if let Some(end) = end {
        headers.push("LEFT");
        for row in &mut cells {
            row.push(life::left(end, now));
        }
    }
    host.out(&report::table(&headers, cells, host))?;
    for (name, stray) in &observed.strays {
        host.err(&format!(
            "note: `{name}` ({}) belongs to this fleet but is not in the file; remove it with `fleet down {name}`\n",
            stray.driver
        ));
    }
    Ok(0)
}

fn row(session: &Session, spec: &Spec, observed: &Observed) -> Row {
    let seen = observed.machines.get(&spec.name);
    let sighting = seen.and_then(|s| s.sighting.as_ref());
    let url = sighting
        .filter(|s| s.power == Power::Running)
        .and_then(|s| s.engine)
        .map(|address| format!("tcp://{address}"))
        .unwrap_or_default();
    let facts = seen.and_then(Seen::facts);
    Row {
        name: spec.name.clone(),
        active: !url.is_empty() && active::is(&session.host, &url),
        driver: spec.driver.clone(),
        host: sighting.and_then(|s| s.host.clone()),
        state: state_word(seen).to_owned(),
        swarm: swarm_word(seen, observed),
        engine: facts.map(|f| version(&f.version).to_owned()).unwrap_or_default(),
        error: error(seen),
        url,
    }
}

/// A version without what a distribution adds to it, such as `+dfsg1`.
fn version(full: &str) -> &str {
    full.split('+').next().unwrap_or(full)
}

/// The state of a machine in one word.
pub(super) fn state_word(seen: Option<&Seen>) -> &'static str {
    match seen.and_then(|s| s.sighting.as_ref()).map(|s| &s.power) {
        None => "Absent",
        Some(Power::Running) => "Running",
        Some(Power::Stopped) => "Stopped",
        Some(Power::Paused) => "Paused",
        Some(Power::Saved) => "Saved",
        Some(Power::Broken(_)) => "Broken",
    }
}

fn error(seen: Option<&Seen>) -> String {
    let Some(seen) = seen else { return String::new() };
    if let Some(Power::Broken(why)) = seen.sighting.as_ref().map(|s| &s.power) {
        return why.clone();
    }
    match &seen.engine {
        EngineSeen::Silent(why) => why.clone(),
        EngineSeen::Answers(facts) => match &facts.swarm.state {
            SwarmState::Error(why) => why.clone(),
            _ => String::new(),
        },
        EngineSeen::NotAsked => String::new(),
    }
}

fn swarm_word(seen: Option<&Seen>, observed: &Observed) -> String {
    let Some(facts) = seen.and_then(Seen::facts) else { return String::new() };
    match &facts.swarm.state {
        SwarmState::Inactive => String::new(),
        SwarmState::Pending => "joining".to_owned(),
        SwarmState::Locked => "locked".to_owned(),
        SwarmState::Error(_) => "error".to_owned(),
        SwarmState::Active => {
            let node = observed
                .nodes
                .iter()
                .flatten()
                .find(|node| Some(&node.id) == facts.swarm.node_id.as_ref());
            node.map_or_else(
                || if facts.swarm.manager { "manager" } else { "worker" }.to_owned(),
                node_word,
            )
        }
    }
}

fn node_word(node: &NodeFacts) -> String {
    use crate::config::Availability::{Active, Drain, Pause};
    let role = match node.role {
        Role::Manager if node.leader => "manager (leader)",
        Role::Manager => "manager",
        Role::Worker => "worker",
    };
    let trouble = match (node.ready, node.availability) {
        (false, _) => format!(", {}", node.state),
        (true, Active) => String::new(),
        (true, Drain) => ", drain".to_owned(),
        (true, Pause) => ", pause".to_owned(),
    };
    format!("{role}{trouble}")
}

fn cells(row: Row) -> Vec<String> {
    let active = if row.active { "*" } else { "-" }.to_owned();
    vec![row.name, active, row.driver, row.state, row.url, row.swarm, row.engine, row.error]
}

fn to_json(row: &Row) -> Value {
    let text = |s: &String| if s.is_empty() { Value::Null } else { json!(s) };
    json!({
        "name": row.name,
        "active": row.active,
        "driver": row.driver,
        "host": row.host,
        "state": row.state,
        "url": text(&row.url),
        "swarm": text(&row.swarm),
        "engine": text(&row.engine),
        "error": text(&row.error),
    })
}
