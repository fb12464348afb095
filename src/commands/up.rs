//! `fleet up`: load, observe, plan, check, show, apply, summarise.

use std::num::NonZeroUsize;

use super::flow::{self, Yes};
use super::wishes::Wishes;
use super::{Exit, Failure, Global, Session, credentials, rotation};
use crate::apply::{Patience, Tools};
use crate::host::Host;
use crate::images::Images;
use crate::plan::{Force, explain};

/// Create, start and join whatever is missing
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wishes: Wishes,
    /// Do not ask before machines are destroyed or restarted
    #[arg(long, short)]
    yes: bool,
    /// Go on with the other machines when one fails; this is the default
    #[arg(long, conflicts_with = "fail_fast")]
    keep_going: bool,
    /// Begin no further step anywhere once a machine has failed
    #[arg(long)]
    fail_fast: bool,
    /// How many machines to work on at once
    #[arg(long, value_name = "N", default_value = "16")]
    parallel: NonZeroUsize,
}

impl Args {
    /// As if only these machines had been named.
    pub(super) fn of(names: Vec<String>, yes: bool) -> Self {
        Self {
            wishes: Wishes { names, ..Wishes::default() },
            yes,
            keep_going: true,
            fail_fast: false,
            parallel: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// The same, with the newest engine of the version that the file says.
    pub(super) fn upgrading(mut self) -> Self {
        self.wishes.upgrade = self.wishes.names.iter().cloned().collect();
        self
    }
}

/// Runs `fleet up`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    session.warn();
    args.wishes.resolve(&session)?;
    let _lock = session.lock("fleet up").await?;
    flow::tell_cut_off(&session);
    if credentials::exist(&session) {
        // What is due must not make engines look strange. A fleet that is not there yet
        // gets its keys only once nothing stands in the way.
        credentials::open(&session)?;
    }
    let code = bring(&args, &mut session, "fleet up").await?;
    rotation::go_on(&args, &mut session, "fleet up", code).await
}

/// How often a plan is made at most: what waits for a swarm that decides, and for others
/// that come back, needs two.
const ROUNDS: usize = 4;

/// Brings the machines to what the file says; the lock is held.
pub(super) async fn bring(args: &Args, session: &mut Session, again: &str) -> Exit {
    let mut wishes = args.wishes.clone();
    for _ in 1..ROUNDS {
        let round = round(args, &mut wishes, session, again).await?;
        if round != Round::More {
            return Ok(round.code());
        }
    }
    Ok(round(args, &mut wishes, session, again).await?.code())
}

/// How one plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// With this exit code.
    Ended(u8),
    /// Well, and more can be done now.
    More,
}

impl Round {
    fn code(self) -> u8 {
        match self {
            Self::Ended(code) => code,
            Self::More => 0,
        }
    }
}

async fn round(
    args: &Args,
    wishes: &mut Wishes,
    session: &mut Session,
    again: &str,
) -> Result<Round, Failure> {
    let (host, global) = (session.host.clone(), session.global.clone());
    let (specs, intent) = wishes.resolve(session)?;
    let pki = session.pki().ok();
    let (plan, observed) = flow::plan(session, pki.as_ref(), &specs, &intent).await?;
    credentials::fit(session, &observed, &wishes.replaced())?;
    flow::notes(session, &plan);
    if plan.lanes.is_empty() {
        if !session.store.records().is_empty() {
            // What needs no machine is done all the same: a new `ttl`, a protection.
            super::life::remember(session)?;
        }
        if global.json {
            super::print_json(&host, &explain::to_json(&plan))?;
        } else if !global.quiet {
            host.err(&format!("{}\n", explain::nothing(&plan, &specs)));
        }
        return Ok(Round::Ended(0));
    }
    flow::check(session, &plan).await?;
    if !global.json && !global.quiet {
        let images = Images::open(&host);
        for image in &plan.images {
            let how = images.how(image);
            host.err(&format!("image {}: {how} first\n", explain::image_name(image)));
        }
        host.err(&explain::brief(&plan));
    }
    flow::confirm(session, &plan, Yes::when(args.yes)).await?;
    // Only now: what stands in the way is said before anything is made, keys included.
    let credentials = credentials::open(session)?;
    let tools = Tools {
        parallel: args.parallel.get(),
        patience: if args.fail_fast { Patience::FailFast } else { Patience::KeepGoing },
        force: Force::when(wishes.force),
        ..Tools::of(Some(credentials.pki), Some(credentials.key))
    };
    let more = plan.again;
    wishes.fulfil(&plan);
    let next = if more { Vec::new() } else { next_commands(session, &wishes.names) };
    let code = flow::run(session, plan, tools, &next, again).await?;
    session.refresh()?;
    flow::write_ssh_config(session).await?;
    Ok(if code == 0 && more { Round::More } else { Round::Ended(code) })
}

/// What a person types after a successful `up` of these machines, or of all.
fn next_commands(session: &Session, names: &[String]) -> Vec<String> {
    let machines = &session.fleet.machines;
    // A worker of a swarm does not know its nodes.
    let one = names.first().filter(|_| session.fleet.swarm.is_none() && names.len() == 1);
    let Some(name) = one.or_else(|| machines.first().map(|spec| &spec.name)) else {
        return Vec::new();
    };
    let look = if session.fleet.swarm.is_some() { "docker node ls" } else { "docker info" };
    vec![format!("eval $(fleet env {name})"), look.to_owned()]
}
