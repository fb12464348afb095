//! `fleet validate`: checks the file and touches nothing.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Exit, Global};
use crate::config::{Colour, Fleet, Problem, Role, render_all};
use crate::host::Host;
use crate::state::Store;

/// Check `machines.toml`
///
/// Shows everything that is wrong with it, each with its line and a way out, and ends
/// with 3 if there is an error. Warnings do not count as errors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; without it, `machines.toml` here or in a folder above
    #[arg(value_name = "FILE")]
    path: Option<PathBuf>,
}

/// Runs `fleet validate`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let path = super::file(host, &Global { file: args.path.or(global.file.clone()), ..global.clone() })?;
    let home = path.parent().unwrap_or(Path::new("/"));
    // The file can be right although the records beside it are damaged.
    let recorded = Store::open(home).map(|store| store.addresses()).unwrap_or_default();
    let fleet = Fleet::load(&path, &recorded)?;
    let shown = path.strip_prefix(host.cwd()).unwrap_or(&path).display().to_string();
    if global.json {
        let names: Vec<&str> = fleet.machines.iter().map(|spec| spec.name.as_str()).collect();
        let warnings: Vec<_> = fleet.warnings.iter().map(Problem::to_json).collect();
        let report = json!({
            "v": 1,
            "valid": true,
            "file": shown,
            "fleet": fleet.name,
            "machines": names,
            "errors": [],
            "warnings": warnings,
        });
        super::print_json(host, &report)?;
        return Ok(0);
    }
    if !fleet.warnings.is_empty() {
        let colour = Colour::when(host.stderr_has_colour());
        host.err(&format!("{}\n", render_all(&fleet.warnings, colour)));
    }
    host.out(&format!("{shown} is valid: {}\n", summary(&fleet)))?;
    Ok(0)
}

/// What the file describes, in one line.
fn summary(fleet: &Fleet) -> String {
    let some = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let of = |role| fleet.machines.iter().filter(|spec| spec.role == Some(role)).count();
    let machines = some(fleet.machines.len(), "machine");
    let warnings = match fleet.warnings.len() {
        0 => String::new(),
        n => format!("; {}", some(n, "warning")),
    };
    match (&fleet.swarm, of(Role::Worker)) {
        (None, _) => format!("{machines}, no swarm{warnings}"),
        (Some(_), 0) => format!("{machines}, a swarm of {}{warnings}", some(of(Role::Manager), "manager")),
        (Some(_), workers) => format!(
            "{machines}, a swarm of {} and {}{warnings}",
            some(of(Role::Manager), "manager"),
            some(workers, "worker")
        ),
    }
}
