//! `fleet driver ls`: what is built in, what is found, and what is missing.

use std::path::PathBuf;

use fleet_driver::program::{PROTOCOL, Program};
use fleet_driver::{About, Capabilities, Driver, Error, ErrorKind, Result, Settings};
use serde_json::{Value, json};

use crate::commands::{Exit, Global, print_json};
use crate::host::Host;
use crate::registry::{self, BUILT_IN, KNOWN};
use crate::{programs, report};

/// A driver, as far as it is there.
struct Listed {
    name: String,
    kind: Kind,
    /// None where it is missing.
    about: Option<Result<About>>,
    version: Option<String>,
    path: Option<PathBuf>,
}

/// Where a driver is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    BuiltIn,
    Program,
    Missing,
}

/// Runs `fleet driver ls`.
pub(super) async fn run(host: &Host, global: &Global) -> Exit {
    let settings = Settings { cache: host.cache_dir(), ..Settings::default() };
    let mut all = Vec::new();
    for name in BUILT_IN {
        let driver = host.registry().driver(name, host, &settings).await;
        all.push(Listed {
            name: (*name).to_owned(),
            kind: Kind::BuiltIn,
            about: Some(driver.map(|driver| driver.about())),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            path: None,
        });
    }
    for (name, path) in programs::all(host) {
        if !BUILT_IN.contains(&name.as_str()) {
            all.push(ask(name, path, &settings, host).await?);
        }
    }
    for name in KNOWN {
        if all.iter().all(|listed| listed.name != *name) {
            all.push(Listed {
                name: (*name).to_owned(),
                kind: Kind::Missing,
                about: None,
                version: None,
                path: None,
            });
        }
    }
    if global.json {
        let drivers: Vec<Value> = all.iter().map(to_json).collect();
        print_json(host, &json!({ "v": 1, "drivers": drivers }))?;
        return Ok(0);
    }
    let headers = ["NAME", "KIND", "VERSION", "PROTOCOL", "CAN", "PATH"];
    host.out(&report::table(&headers, all.iter().map(row).collect(), host))?;
    for listed in &all {
        if let Some(Err(error)) = &listed.about {
            host.err(&report::error::render(error, None, host.stderr_has_colour()));
        }
    }
    Ok(0)
}

async fn ask(name: String, path: PathBuf, settings: &Settings, host: &Host) -> Result<Listed> {
    let started = Program::start(&path, &name, settings, &registry::cx(host)).await;
    let (about, version) = match started {
        Ok(program) => {
            let told = (Ok(program.about()), Some(program.version().to_owned()));
            program.end().await;
            told
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) => (Err(error), None),
    };
    Ok(Listed { name, kind: Kind::Program, about: Some(about), version, path: Some(path) })
}

/// The abilities by their names.
fn abilities(can: Capabilities) -> Vec<&'static str> {
    let Capabilities { seed, static_addresses, console, suspend, save, snapshots } = can;
    let named = [
        (seed, "seed"),
        (static_addresses, "static addresses"),
        (console, "console"),
        (suspend, "suspend"),
        (save, "save"),
        (snapshots, "snapshots"),
    ];
    named.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::BuiltIn => "built-in",
        Kind::Program => "program",
        Kind::Missing => "missing",
    }
}

fn row(listed: &Listed) -> [String; 6] {
    let can = match &listed.about {
        Some(Ok(about)) => abilities(about.capabilities).join(", "),
        Some(Err(error)) => format!("does not answer: {}", error.message()),
        None => registry::how_to_get(&listed.name),
    };
    let protocol = match (listed.kind, &listed.about) {
        (Kind::Program, Some(Ok(_))) => PROTOCOL.to_string(),
        _ => String::new(),
    };
    let path = listed.path.as_ref().map(|path| path.display().to_string());
    [
        listed.name.clone(),
        kind(listed.kind).to_owned(),
        listed.version.clone().unwrap_or_default(),
        protocol,
        can,
        path.unwrap_or_default(),
    ]
}

fn to_json(listed: &Listed) -> Value {
    let about = listed.about.as_ref().and_then(|about| about.as_ref().ok());
    let error = listed.about.as_ref().and_then(|about| about.as_ref().err());
    let missing = (listed.kind == Kind::Missing).then(|| registry::how_to_get(&listed.name));
    json!({
        "name": listed.name,
        "kind": kind(listed.kind),
        "version": listed.version,
        "protocol": (listed.kind == Kind::Program && about.is_some()).then_some(PROTOCOL),
        "capabilities": about.map(|about| about.capabilities),
        "concurrency": about.map(|about| about.concurrency),
        "path": listed.path,
        "error": error.map(Error::to_string),
        "hint": missing.or_else(|| error.and_then(Error::hint_text).map(str::to_owned)),
    })
}
