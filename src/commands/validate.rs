//! `fleet validate`: checks the file and touches nothing.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Exit, Global};
use crate::config::{Colour, Fleet, Problem, Role, render_all};
use crate::host::Host;
use crate::state::{Keep, Store};

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
#[expect(clippy::unused_async, reason = "all commands are called alike")]
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let path =
        super::file(host, &Global { file: args.path.or(global.file.clone()), ..global.clone() })?;
    let home = path.parent().unwrap_or(Path::new("/"));
    // The file can be right although the records beside it are damaged.
    let recorded = Store::open(home, &Keep::new(&host.data_dir()))
        .map(|store| store.addresses())
        .unwrap_or_default();
    let fleet = Fleet::load_with(&path, &recorded, &|| crate::programs::names(host))?;
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
        (Some(_), 0) => {
            format!("{machines}, a swarm of {}{warnings}", some(of(Role::Manager), "manager"))
        }
        (Some(_), workers) => format!(
            "{machines}, a swarm of {} and {}{warnings}",
            some(of(Role::Manager), "manager"),
            some(workers, "worker")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Failure;

    fn validate(text: &str, json: bool) -> (Exit, String, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("machines.toml"), text).unwrap();
        let host = Host::captured(dir.path(), &[]);
        let global = Global { json, ..Global::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let exit = runtime.block_on(run(Args { path: None }, &host, &global));
        let (out, err) = host.printed();
        (exit, out, err)
    }

    #[test]
    fn says_what_a_valid_file_describes() {
        let text = "[swarm]\n[machine.a]\nrole = \"manager\"\n[machine.b]\ncount = 2\n";
        let (exit, out, err) = validate(text, false);
        assert_eq!(exit.unwrap(), 0);
        let expected = "machines.toml is valid: 3 machines, a swarm of 1 manager and 2 workers\n";
        assert_eq!((out.as_str(), err.as_str()), (expected, ""));
    }

    #[test]
    fn warnings_go_to_standard_error_and_do_not_fail() {
        let text = "[swarm]\n[machine.a]\ncount = 2\nrole = \"manager\"\n";
        let (exit, out, err) = validate(text, false);
        assert_eq!(exit.unwrap(), 0);
        assert!(out.ends_with("a swarm of 2 managers; 1 warning\n"), "{out}");
        assert!(err.contains("worse than one"), "{err}");
    }

    #[test]
    fn an_invalid_file_is_a_failure() {
        let (exit, out, _) = validate("[machine.a]\nmemroy = 1\n", false);
        assert!(matches!(exit, Err(Failure::Config(_))));
        assert_eq!(out, "");
    }

    #[test]
    fn json_lists_machines_and_warnings() {
        let (exit, out, _) = validate("[machine.a]\nlabels = { x = \"1\" }\n", true);
        assert_eq!(exit.unwrap(), 0);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["machines"], json!(["a"]));
        assert_eq!(report["warnings"][0]["line"], 2);
    }
}
