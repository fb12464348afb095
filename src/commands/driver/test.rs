//! `fleet driver test`: the contract's checks on a driver, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fleet_driver::conformance::{Ended, checks};
use fleet_driver::program::Program;
use fleet_driver::{Error, Result, Settings};
use serde_json::{Value, json};

use super::suite::{Guests, Tested, Trial, Values, empty, image};
use crate::commands::{Exit, Global, print_json};
use crate::host::Host;
use crate::registry::{self, BUILT_IN};
use crate::{programs, report};

/// Test whether a driver keeps the contract
///
/// Makes and destroys machines of two made-up fleets. Ends with 1 if a check failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a driver, or the path of a driver program
    #[arg(value_name = "PROGRAM")]
    driver: String,
    /// An option of the driver for all machines, as in `machines.toml`
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// A disk image for the machines (qcow2), instead of an empty one
    #[arg(long, value_name = "FILE", requires = "other_image")]
    image: Option<PathBuf>,
    /// Another disk image, which machines must not change to
    #[arg(long, value_name = "FILE", requires = "image")]
    other_image: Option<PathBuf>,
    /// The guests shut down when they are asked to: check that too
    #[arg(long)]
    guests_obey: bool,
    /// Run the checks of this name only
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// A check that was run.
struct Done {
    name: &'static str,
    ended: Ended,
    seconds: f64,
}

/// Runs `fleet driver test`.
pub(super) async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let chosen = chosen(&args.only)?;
    let folder = tempfile::tempdir()
        .map_err(|e| Error::host("there is no room for two small images").because(e))?;
    let of = |path: Option<&PathBuf>, name: &str, size_mib| match path {
        Some(path) => image(&host.cwd().join(path)),
        None => empty(folder.path().join(name), size_mib),
    };
    let options = options(&args.options)?;
    let mut trial = Trial {
        image: of(args.image.as_ref(), "one.qcow2", 1)?,
        other_image: of(args.other_image.as_ref(), "other.qcow2", 2)?,
        tested: tested(&args.driver, &options, host).await?,
        options,
        guests: if args.guests_obey { Guests::Obey } else { Guests::Unknown },
        values: Values::One,
    };
    let quiet = global.json || global.quiet;
    if !quiet {
        host.err("This makes machines and destroys them again.\n");
    }
    let mut all = Vec::new();
    for check in checks().iter().filter(|check| chosen.contains(&check.name)) {
        if host.cancel().is_cancelled() {
            break;
        }
        let live = !quiet && host.stdout_is_terminal() && host.stderr_is_terminal();
        if live {
            host.err(&format!("         {}", check.name));
        }
        // A check about what outlives a value of the driver needs several.
        trial.values = if check.name == "keeps_running" { Values::Many } else { Values::One };
        let began = Instant::now();
        // To its end, also on Ctrl-C: it destroys what it has made.
        let ended = check.run(Arc::new(trial.clone())).await;
        let done = Done { name: check.name, ended, seconds: began.elapsed().as_secs_f64() };
        if live {
            host.err("\r\u{1b}[K");
        }
        if !global.json {
            host.out(&lines(&done))?;
        }
        all.push(done);
    }
    if let Tested::Program(program) = &trial.tested {
        program.end().await;
    }
    if host.cancel().is_cancelled() {
        return Err(Error::interrupted().into());
    }
    let count = |wanted: fn(&Ended) -> bool| all.iter().filter(|d| wanted(&d.ended)).count();
    let passed = count(|ended| matches!(ended, Ended::Passed));
    let failed = count(|ended| matches!(ended, Ended::Failed(_)));
    let skipped = count(|ended| matches!(ended, Ended::Skipped(_)));
    if global.json {
        let checks: Vec<Value> = all.iter().map(to_json).collect();
        let report = json!({
            "v": 1, "driver": args.driver, "checks": checks,
            "passed": passed, "failed": failed, "skipped": skipped,
        });
        print_json(host, &report)?;
    } else {
        host.out(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"))?;
    }
    Ok(u8::from(failed > 0))
}

/// The checks that are to run.
fn chosen(only: &[String]) -> Result<Vec<&'static str>> {
    let names: Vec<&'static str> = checks().iter().map(|check| check.name).collect();
    if only.is_empty() {
        return Ok(names);
    }
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(Error::usage(format!("there is no check `{unknown}`"))
            .hint(format!("the checks are {}", names.join(", "))));
    }
    Ok(names.into_iter().filter(|name| only.iter().any(|only| only == name)).collect())
}

/// Options as they would stand in the file; what is no TOML value is a text.
fn options(words: &[String]) -> Result<toml::Table> {
    let mut options = toml::Table::new();
    for word in words {
        let bad = || {
            Error::usage(format!("`{word}` is not an option with a value"))
                .hint("write it like `--option accel=tcg`")
        };
        let (key, value) = word.split_once('=').ok_or_else(bad)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.is_empty() || !key.chars().all(plain) {
            return Err(bad());
        }
        let read = format!("value = {value}").parse::<toml::Table>().ok();
        let value = read.and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| {
            toml::Value::String(word.split_once('=').map_or("", |(_, text)| text).to_owned())
        });
        options.insert(key.to_owned(), value);
    }
    Ok(options)
}

async fn tested(driver: &str, options: &toml::Table, host: &Host) -> Result<Tested> {
    let machines = vec![options.clone()];
    let settings = Settings { machines, cache: host.cache_dir(), driver: toml::Table::new() };
    if BUILT_IN.contains(&driver) {
        return Ok(Tested::BuiltIn(host.registry().driver(driver, host, &settings).await?));
    }
    let is_path = driver.contains(std::path::is_separator);
    let (name, path) = if is_path {
        let name = programs::name_of(Path::new(driver)).unwrap_or("tested");
        (name, host.cwd().join(driver))
    } else {
        let path = programs::find(host, driver).ok_or_else(|| {
            Error::host(format!("there is no driver `{driver}` here"))
                .hint(registry::how_to_get(driver))
        })?;
        (driver, path)
    };
    let program = Program::start(&path, name, &settings, &registry::cx(host)).await?;
    Ok(Tested::Program(Arc::new(program)))
}

fn lines(done: &Done) -> String {
    let name = done.name;
    match &done.ended {
        Ended::Passed => format!("ok       {name}\n"),
        Ended::Skipped(reason) => format!("skipped  {name}: {reason}\n"),
        Ended::Failed(violation) => {
            let clean = |text: &str| report::clean::text(text).replace('\n', "\n         ");
            format!(
                "failed   {name}\n         the contract says: {}\n         but {}\n",
                clean(&violation.line),
                clean(&violation.but)
            )
        }
    }
}

fn to_json(done: &Done) -> Value {
    let (result, line, but) = match &done.ended {
        Ended::Passed => ("ok", None, None),
        Ended::Skipped(reason) => ("skipped", None, Some(reason)),
        Ended::Failed(violation) => ("failed", Some(&violation.line), Some(&violation.but)),
    };
    json!({
        "name": done.name, "result": result, "line": line, "because": but,
        "seconds": (done.seconds * 1000.0).round() / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_toml_or_texts() {
        let words = ["accel=tcg", "n=3", "on=true", "list=[\"a\"]", "quoted=\"x = y\"", "url=a=b"];
        let read = options(&words.map(str::to_owned)).unwrap();
        let expected = toml::toml! {
            accel = "tcg"
            n = 3
            on = true
            list = ["a"]
            quoted = "x = y"
            url = "a=b"
        };
        assert_eq!(read, expected);
        for bad in ["accel", "=x", "a b=1", "a.b=1"] {
            assert!(options(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_named_is_run() {
        let only = ["start_twice".to_owned()];
        assert_eq!(chosen(&only).unwrap(), ["start_twice"]);
        assert!(chosen(&[]).unwrap().len() > 50);
        assert!(chosen(&["nothing".to_owned()]).is_err());
    }
}
