//! `[swarm]`: its settings, and what they mean for the lab network.

use super::Swarm;
use super::diagnose::{Problem, Problems, Span};
use super::network::Cidr;
use super::raw::{At, NetworkTable, SwarmTable};

/// The pool that the engine uses unless told otherwise, and the size of a network out
/// of it (swarmkit's default address pool).
const DEFAULT_POOL: &str = "10.0.0.0/8";
const DEFAULT_SIZE: u32 = 24;

/// How many networks of the default pool are believed to come into use.
const LIKELY: u32 = 64;

/// Networks that the engine makes on every node of a swarm.
const GATEWAY_BRIDGE: &str = "172.18.0.0/16";

/// Resolves `[swarm]` and holds its networks against the lab's.
pub(crate) fn resolve(
    at: &At<SwarmTable>,
    network: &NetworkTable,
    lab: Cidr,
    problems: &mut Problems,
) -> Swarm {
    let table = at.get();
    let size = table.subnet_size.as_ref().map_or(DEFAULT_SIZE, |at| *at.get() as u32);
    let mut pools: Vec<(Cidr, Span)> = Vec::new();
    for pool in table.address_pools.iter().flatten() {
        match read(pool, size, &pools) {
            Ok(cidr) => pools.push((cidr, pool.span())),
            Err(problem) => problems.push(problem),
        }
    }
    let subnet = network.subnet.as_ref().map(At::span);
    if table.address_pools.as_ref().is_none_or(Vec::is_empty) {
        default_pool(lab, size, subnet.clone().unwrap_or(at.span()), problems);
    }
    for (n, (pool, span)) in pools.iter().enumerate() {
        meet(*pool, span, n == 0, lab, subnet.as_ref(), size, problems);
    }
    let bridge = Cidr::parse(GATEWAY_BRIDGE).expect("a network in this file");
    if let (true, Some(span)) = (bridge.overlaps(lab), subnet) {
        problems.push(
            Problem::warning("the lab network is where engines like to put `docker_gwbridge`")
                .at(span, format!("overlaps {GATEWAY_BRIDGE}"))
                .help("take one that no engine uses by itself, such as `\"10.77.0.0/24\"`"),
        );
    }
    Swarm {
        address_pools: pools.iter().map(|(pool, _)| pool.to_string()).collect(),
        subnet_size: size,
        task_history: table.task_history.as_ref().map_or(5, |at| *at.get()),
    }
}

fn read(at: &At<String>, size: u32, before: &[(Cidr, Span)]) -> Result<Cidr, Problem> {
    let problem = |label: String, help: String| {
        Problem::error("bad address pool").at(at.span(), label).help(help)
    };
    let pool = Cidr::parse(at.get()).map_err(|(label, help)| problem(label, help))?;
    if u32::from(pool.prefix()) > size {
        return Err(problem(
            format!("smaller than one network of it, a /{size}"),
            format!("write a shorter prefix, or `subnet_size = {}`", pool.prefix()),
        ));
    }
    if let Some((other, span)) = before.iter().find(|(other, _)| other.overlaps(pool)) {
        return Err(problem("overlaps another pool".to_owned(), "remove one of them".to_owned())
            .at(span.clone(), format!("{other} is here")));
    }
    Ok(pool)
}

/// The default pool is huge; only its first networks come into use.
fn default_pool(lab: Cidr, size: u32, span: Span, problems: &mut Problems) {
    let pool = Cidr::parse(DEFAULT_POOL).expect("a network in this file");
    let first = Cidr::around(pool.address(), size as u8);
    let used = u64::from(LIKELY) << (32 - size);
    let end = u64::from(u32::from(pool.address())) + used;
    let help = "take one further up, such as `\"10.77.0.0/24\"`, or give the swarm \
                `address_pools` of its own";
    if first.overlaps(lab) {
        problems.push(
            Problem::error("the lab network is the swarm's ingress network")
                .at(span, format!("the swarm takes {first} for itself"))
                .help(help),
        );
    } else if pool.overlaps(lab) && u64::from(u32::from(lab.address())) < end {
        problems.push(
            Problem::warning("the swarm's overlay networks will reach the lab network")
                .at(span, format!("they are taken from {DEFAULT_POOL}, lowest first"))
                .help(help),
        );
    }
}

fn meet(
    pool: Cidr,
    span: &Span,
    first: bool,
    lab: Cidr,
    subnet: Option<&Span>,
    size: u32,
    problems: &mut Problems,
) {
    if !pool.overlaps(lab) {
        return;
    }
    let ingress = Cidr::around(pool.address(), size as u8);
    let problem = if first && ingress.overlaps(lab) {
        Problem::error("the swarm's ingress network would be the lab network")
            .at(span.clone(), format!("its first network is {ingress}"))
    } else {
        Problem::warning("the pool contains the lab network")
            .at(span.clone(), format!("{lab} is in {pool}"))
    };
    let problem = match subnet {
        Some(subnet) => problem.at(subnet.clone(), "the lab network"),
        None => problem,
    };
    problems.push(problem.help("take a pool beside it, such as `\"10.20.0.0/16\"`"));
}
