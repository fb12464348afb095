//! The life of a fleet: since when it is there, and until when it may be.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_driver::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Session;
use crate::state::{Entry, Record};

/// When the fleet's first machine was wanted; `None` if there is none yet.
pub(super) fn born(session: &Session) -> Option<String> {
    let kept = session.store.keep().entry(&session.fleet_id()).ok().flatten();
    let recorded = session.store.records().values().map(|record| record.created.clone()).min();
    // The fleet is as old as its oldest memory of itself.
    [kept.map(|entry| entry.born), recorded].into_iter().flatten().min()
}

/// When a fleet that was born then is over.
pub(super) fn ends(born: &str, ttl: Duration) -> Option<OffsetDateTime> {
    let born = OffsetDateTime::parse(born, &Rfc3339).ok()?;
    born.checked_add(ttl.try_into().ok()?)
}

/// When the fleet is over; `None` if it may stay, or is not there yet.
pub(super) fn end(session: &Session) -> Option<OffsetDateTime> {
    ends(&born(session)?, session.fleet.ttl?)
}

/// What is left until then, in words.
pub(super) fn left(end: OffsetDateTime, now: OffsetDateTime) -> String {
    if end > now { words(end - now) } else { "over".to_owned() }
}

/// A time that is left, or that has passed, in its two largest units.
pub(super) fn words(time: time::Duration) -> String {
    let seconds = time.whole_seconds().unsigned_abs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The machines that were protected when that was last written down, in the fleet's folder
/// or outside it.
pub(super) fn guarded(session: &Session) -> BTreeSet<String> {
    let kept = session.store.keep().entry(&session.fleet_id()).ok().flatten();
    let mut names = kept.map(|entry| entry.protected_machines).unwrap_or_default();
    for (name, record) in session.store.records() {
        if record.protected {
            names.insert(name.clone());
        } else {
            names.remove(name);
        }
    }
    names
}

/// Writes down where the fleet is, since when and for how long, outside its folder too,
/// and what the file protects; needs the lock.
pub(super) fn remember(session: &mut Session) -> Result<()> {
    let fleet = &session.fleet;
    let mut guarded = guarded(session);
    guarded.retain(|name| session.spec(name).is_err());
    guarded.extend(fleet.machines.iter().filter(|s| s.protected).map(|s| s.name.clone()));
    let now = session.host.now().format(&Rfc3339).unwrap_or_default();
    let entry = Entry {
        home: session.home().to_owned(),
        file: fleet.file.clone(),
        name: fleet.name.clone(),
        born: born(session).unwrap_or(now),
        ttl: fleet.ttl.map(|ttl| ttl.as_secs()),
        protected: fleet.protected || !guarded.is_empty(),
        protected_machines: guarded,
    };
    session.store.keep().remember(&session.fleet_id(), &entry)?;
    let changed: Vec<(String, Record)> = fleet
        .machines
        .iter()
        .filter_map(|spec| {
            let record = session.store.record(&spec.name)?;
            let differs = record.protected != spec.protected;
            let record = Record { protected: spec.protected, ..record.clone() };
            differs.then(|| (spec.name.clone(), record))
        })
        .collect();
    for (name, record) in changed {
        session.store.put(&session.fleet.name, &name, record)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        let told = [30, 90, 3600 * 7 + 59 * 60, 86400 * 2 + 3700]
            .map(|seconds| words(time::Duration::seconds(seconds)))
            .join(", ");
        assert_eq!(told, "30 s, 1 min, 7 h 59 min, 2 d 1 h");
    }

    #[test]
    fn the_end_is_counted_from_the_birth() {
        let ends = ends("2026-01-01T10:00:00Z", Duration::from_secs(3600)).unwrap();
        assert_eq!(ends.format(&Rfc3339).unwrap(), "2026-01-01T11:00:00Z");
    }
}
