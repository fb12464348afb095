//! Snapshots, kept in the machine's own disk.

use std::collections::BTreeMap;

use fleet_driver::{Error, MachineId, Result, Snapshot};
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::sys;

use super::change;
use super::disks::Pool;
use super::find;
use super::job::{Job, Link};
use crate::{names, xml};

/// The size of an empty disc.
const EMPTY: usize = 64 << 10;

/// Takes a snapshot.
pub(super) fn take(job: &Job, id: &MachineId, name: &str) -> Result<()> {
    let here = find::must(job, id)?;
    if lookup(&here.link, &here.domain, name)?.is_some() {
        return Err(Error::conflict(format!("there is a snapshot `{name}` already"))
            .hint("choose another name, or remove that one"));
    }
    let text = format!("<domainsnapshot><name>{}</name></domainsnapshot>", xml::escape(name));
    here.link.ok("take the snapshot", here.domain.create_snapshot_xml(&text, 0)).map(drop)
}

fn lookup(link: &Link, domain: &Domain, name: &str) -> Result<Option<DomainSnapshot>> {
    link.some("look for the snapshot", Domain::lookup_snapshot_by_name(domain, name, 0))
}

/// Lists the snapshots, the oldest first.
pub(super) fn list(job: &Job, id: &MachineId) -> Result<Vec<Snapshot>> {
    let here = find::must(job, id)?;
    let what = "list the snapshots";
    let mut found = Vec::new();
    for one in here.link.ok(what, here.domain.list_all_snapshots(0))? {
        let Some(text) = here.link.some(what, one.xml_desc(0))? else { continue };
        found.extend(parse(&text));
    }
    Ok(oldest_first(found))
}

/// A snapshot with the name of the one before it.
type Linked = (Snapshot, Option<String>);

/// Sorts by time; within a second, a snapshot comes after the one it was taken on.
fn oldest_first(found: Vec<Linked>) -> Vec<Snapshot> {
    let parents: BTreeMap<String, Option<String>> =
        found.iter().map(|(one, parent)| (one.name.clone(), parent.clone())).collect();
    let depth = |one: &Snapshot| {
        let next = |name: &String| parents.get(name).cloned().flatten();
        // Bounded, should libvirt ever describe a circle.
        std::iter::successors(Some(one.name.clone()), next).take(parents.len() + 1).count()
    };
    let mut sorted: Vec<Snapshot> = found.iter().map(|(one, _)| one.clone()).collect();
    sorted.sort_by_cached_key(|one| (one.created, depth(one), one.name.clone()));
    sorted
}

fn parse(text: &str) -> Option<Linked> {
    let document = roxmltree::Document::parse(text).ok()?;
    let root = document.root_element();
    let child = |name: &str| root.children().find(|node| node.has_tag_name(name))?.text();
    let parent = root.children().find(|node| node.has_tag_name("parent"));
    let parent = parent.and_then(|node| node.children().find(|n| n.has_tag_name("name")));
    let snapshot = Snapshot {
        name: child("name")?.to_owned(),
        created: child("creationTime")?.trim().parse().ok()?,
        running: child("state")?.trim() == "running",
    };
    Some((snapshot, parent.and_then(|node| node.text()).map(str::to_owned)))
}

/// Brings a machine back to a snapshot.
pub(super) fn revert(job: &Job, id: &MachineId, name: &str) -> Result<()> {
    let here = find::must(job, id)?;
    let Some(found) = lookup(&here.link, &here.domain, name)? else {
        return Err(Error::not_found(format!("there is no snapshot `{name}`")));
    };
    // The description of that moment may name a seed that was taken away since. The machine
    // comes back to an empty disc, which then goes too.
    let then = here.link.ok("read the snapshot", found.xml_desc(0))?;
    let pool = Pool::open(&here.link, &here.record.pool)?;
    let seed = names::seed(id);
    let stand_in = then.contains(&seed) && pool.volume(&seed)?.is_none();
    if stand_in {
        pool.make_small(job, &seed, &vec![0; EMPTY])?;
    }
    let flags = sys::VIR_DOMAIN_SNAPSHOT_REVERT_FORCE;
    let back = here.link.ok("bring the domain back", found.revert(flags));
    if stand_in {
        change::take_seed(job, id, &*find::must(job, id)?)?;
    }
    back
}

/// Removes a snapshot.
pub(super) fn forget(job: &Job, id: &MachineId, name: &str) -> Result<()> {
    let here = find::must(job, id)?;
    match lookup(&here.link, &here.domain, name)? {
        Some(found) => here.link.some("remove the snapshot", found.delete(0)).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read() {
        let text = "<domainsnapshot><name>a</name><state>running</state>\
                    <creationTime>17</creationTime><parent><name>z</name></parent>\
                    </domainsnapshot>";
        let a = Snapshot { name: "a".into(), created: 17, running: true };
        assert_eq!(parse(text), Some((a.clone(), Some("z".to_owned()))));
        let z = Snapshot { name: "z".into(), ..a.clone() };
        let old = Snapshot { name: "old".into(), created: 16, running: false };
        let found = vec![(a.clone(), Some("z".into())), (z.clone(), None), (old.clone(), None)];
        assert_eq!(oldest_first(found), [old, z, a]);
        assert_eq!(parse("<domainsnapshot/>"), None);
    }
}
