//! `fleet ls`: the table of machines.

mod filter;
mod format;
mod row;

use std::time::Duration;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use self::filter::Filter;
use self::format::Format;
use self::row::Row;
pub(super) use self::row::state_word;
use super::{Exit, Global, Session, life};
use crate::cli::LongFile;
use crate::host::Host;
use crate::observe::glance;
use crate::report;

/// List the machines
///
/// A machine that cannot be seen is listed too, with the reason. A format is a part of
/// Go's text/template, such as '{{.Name}}\t{{.State}}'; `table` before it adds headers,
/// and `json` is an object a line. Its fields are those of docker-machine, and `.Host`,
/// `.Address` and `.Labels`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the names only, as `--quiet` does
    #[arg(long = "names", short = 'n')]
    names_only: bool,
    /// Show what fits only: driver, label, name, state or swarm; may be given several times
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
    /// Print each machine through this format
    #[arg(long, short = 'f', value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    /// How many seconds a machine may take to answer
    #[arg(long, short, value_name = "SECONDS", default_value = "10")]
    timeout: u64,
    #[command(flatten)]
    file: LongFile,
}

/// Where the column of hosts stands, if there is one: behind the driver.
const HOST: usize = 3;

/// Runs `fleet ls`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let format = args.format.as_deref().map(|text| Format::read(args.file.check(text, host)?));
    let format = format.transpose()?;
    let session = Session::open(host, global)?;
    let all = &session.fleet.machines;
    let specs = filter::named(&args.filters, all);
    let names_only = args.names_only || (global.quiet && format.is_none());
    if names_only && filter::of_the_file(&args.filters) {
        return names(host, specs.iter().map(|spec| spec.name.as_str()));
    }
    let glance = glance(&session, &specs, Duration::from_secs(args.timeout.max(1))).await?;
    let mut rows: Vec<Row> = specs.iter().map(|spec| Row::of(&session, spec, &glance)).collect();
    filter::seen(&args.filters, all, &mut rows);
    if names_only {
        return names(host, rows.iter().map(|row| row.name.as_str()));
    }
    if let Some(format) = format {
        let mut fields = Vec::new();
        for row in &rows {
            fields.push(row.fields(session.spec(&row.name)?));
        }
        format.print(&fields, host)?;
        return Ok(0);
    }
    let (end, now) = (life::end(&session), host.now());
    if global.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
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
    let mut cells: Vec<Vec<String>> = rows.into_iter().map(Row::cells).collect();
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
    for (name, stray) in &glance.observed.strays {
        host.err(&format!(
            "note: `{name}` ({}) belongs to this fleet but is not in the file; remove it with `fleet down {name}`\n",
            stray.driver
        ));
    }
    if let Some(error) = glance.strays {
        host.err(&format!(
            "note: machines that the file does not name may be missing here: {error}\n"
        ));
    }
    Ok(0)
}

fn names<'a>(host: &Host, names: impl Iterator<Item = &'a str>) -> Exit {
    for name in names {
        host.out(&format!("{name}\n"))?;
    }
    Ok(0)
}
