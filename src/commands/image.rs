//! `fleet image`: the base images of this host.

use std::time::Duration;

use clap::Subcommand;
use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Error};
use serde_json::json;

use super::{Exit, Global, print_json};
use crate::host::Host;
use crate::images::{self, Existing, Got, Images, Listed, Source};
use crate::report;

/// How long a pull or a build may take in all.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Manage base images
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the images of this host
    #[command(visible_alias = "list")]
    Ls,
    /// Download the official cloud image of a distribution
    Pull(Named),
    /// Build an image from a distribution's packages, engine included
    Build(Named),
    /// Bring in an image of one's own from a file or a URL
    Import(Import),
    /// Remove images; machines that are backed by one do not start any more
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04
    #[arg(default_value = images::DEFAULT)]
    name: String,
    /// Get a new one even if the image is there; machines stay on the old one
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// The name for `machines.toml`
    name: String,
    /// A disk image in any format that `qemu-img` reads, or where to download it from
    #[arg(value_name = "FILE|URL")]
    from: String,
    /// The digest that the file must have, SHA-256 or SHA-512 in hex; a URL needs one
    #[arg(long, value_name = "HEX", visible_alias = "sha512")]
    sha256: Option<String>,
    /// Replace the image of that name; machines stay on the old one
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// The names
    #[arg(required = true)]
    names: Vec<String>,
    /// Remove only what newer ones have replaced
    #[arg(long)]
    older: bool,
    /// Do not mind machines that are backed by them
    #[arg(long)]
    force: bool,
}

/// Runs `fleet image`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let images = Images::open(host);
    match args.command {
        Command::Ls => ls(&images, host, global),
        Command::Rm(rm) => remove(rm, &images, host, global).await,
        Command::Pull(named) => {
            let existing = existing(named.force);
            get(host, global, async |cx| images.pull(&named.name, existing, cx).await).await
        }
        Command::Build(named) => {
            let existing = existing(named.force);
            get(host, global, async |cx| images.build(&named.name, existing, cx).await).await
        }
        Command::Import(import) => {
            let existing = existing(import.force);
            let digest = import.sha256.as_deref();
            get(host, global, async |cx| {
                images.import(&import.name, &import.from, digest, existing, cx).await
            })
            .await
        }
    }
}

/// Gets an image with its progress shown, and says what there is now.
async fn get(
    host: &Host,
    global: &Global,
    work: impl AsyncFnOnce(&Cx) -> fleet_driver::Result<Got>,
) -> Exit {
    let mode = report::Mode::choose(host, global);
    let (reporter, reports) = report::open(host, mode, None)?;
    let cx = context(host, reporter);
    let got = work(&cx).await;
    drop(cx);
    reports.finish().await;
    let got = got?;
    if global.json {
        let changed = matches!(got, Got::New(_));
        print_json(host, &json!({ "v": 1, "changed": changed, "image": got.entry() }))?;
    } else if !global.quiet {
        let (entry, how) = match &got {
            Got::Already(entry) => (entry, "is there already; `--force` gets a new one"),
            Got::New(entry) => (entry, "is ready"),
        };
        let size = images::amount(entry.bytes);
        host.err(&format!("The image `{}` ({size}) {how}.\n", entry.name));
    }
    Ok(0)
}

fn ls(images: &Images, host: &Host, global: &Global) -> Exit {
    let list = images.list()?;
    if global.json {
        print_json(host, &json!({ "v": 1, "folder": images.folder(), "images": list }))?;
        return Ok(0);
    }
    if list.is_empty() {
        if !global.quiet {
            host.err("There are no images yet; `fleet up` gets what it needs.\n");
        }
        return Ok(0);
    }
    let rows = list.iter().map(row).collect();
    host.out(&report::table(&["NAME", "FROM", "ENGINE", "SIZE", "MADE", "DIGEST"], rows, host))?;
    for image in &list {
        if let Some(problem) = &image.problem {
            host.err(&format!("note: `{}`: {problem}\n", image.name));
        }
        if image.older_bytes > 0 {
            host.err(&format!(
                "note: older disks of `{}` take {}; if no machine uses them: `fleet image rm {} --older --force`\n",
                image.name,
                images::amount(image.older_bytes),
                image.name
            ));
        }
    }
    Ok(0)
}

fn row(image: &Listed) -> Vec<String> {
    let Some(entry) = &image.entry else {
        let mut row = vec![image.name.clone(), "damaged".to_owned()];
        row.resize(6, "-".to_owned());
        return row;
    };
    let from = match &entry.source {
        Source::Built { suite } => format!("built ({suite})"),
        Source::Pulled { .. } => "pulled".to_owned(),
        Source::Imported { .. } => "imported".to_owned(),
    };
    vec![
        entry.name.clone(),
        from,
        entry.engine.clone().unwrap_or_else(|| "-".to_owned()),
        images::amount(entry.bytes),
        entry.made.get(..10).unwrap_or(&entry.made).to_owned(),
        entry.sha256.chars().take(12).collect(),
    ]
}

async fn remove(rm: Rm, images: &Images, host: &Host, global: &Global) -> Exit {
    for name in &rm.names {
        images.must_be_there(name)?;
    }
    if !rm.force {
        return Err(Error::conflict(
            "machines that are backed by an image do not start without it",
        )
        .hint(format!(
            "take them down first (`fleet down`), then say `fleet image rm {} --force`",
            rm.names.join(" ")
        ))
        .into());
    }
    let cx = context(host, Reporter::silent());
    for name in &rm.names {
        let text = if rm.older {
            let freed = images.remove_older(name, &cx).await?;
            format!("Removed older disks of `{name}`: {}.\n", images::amount(freed))
        } else {
            images.remove(name, &cx).await?;
            format!("Removed the image `{name}`.\n")
        };
        if !global.quiet && !global.json {
            host.err(&text);
        }
    }
    if global.json {
        print_json(host, &json!({ "v": 1, "removed": rm.names }))?;
    }
    Ok(0)
}

/// A context outside of any fleet: images have no machine's folder.
fn context(host: &Host, reporter: Reporter) -> Cx {
    Cx::new(host.cache_dir(), reporter, host.cancel().clone()).within(LIMIT)
}

fn existing(force: bool) -> Existing {
    if force { Existing::Renew } else { Existing::Keep }
}
