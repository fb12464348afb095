//! Who decides in a swarm, and what it bears: the one place that counts managers.
//!
//! A swarm takes orders as long as more than half of its managers reach each other
//! (Raft). A manager that leaves makes the majority smaller, one that is merely away
//! does not.

use std::collections::BTreeMap;

use crate::engine::NodeFacts;

/// The managers of a swarm, by the name of their host, and whether each is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quorum(BTreeMap<String, bool>);

impl Quorum {
    /// As a manager sees it.
    pub(crate) fn of(nodes: &[NodeFacts]) -> Self {
        let mut all = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.votes) {
            // A host that was made anew may be there twice; two entries are two voters.
            let mut name = node.hostname.clone();
            while all.contains_key(&name) {
                name.push('\'');
            }
            all.insert(name, node.ready && node.reachable);
        }
        Self(all)
    }

    /// Of these managers, all of them reached.
    pub(crate) fn all_well<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| (name.to_owned(), true)).collect())
    }

    /// Counts a manager as reached: it is there, or will be by then.
    pub(crate) fn reach(&mut self, name: &str) {
        self.0.insert(name.to_owned(), true);
    }

    /// How many managers there are.
    pub(crate) fn managers(&self) -> usize {
        self.0.len()
    }

    /// Whether the host is a manager.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether enough managers reach each other to decide anything.
    pub(crate) fn holds(&self) -> bool {
        let reached = self.0.values().filter(|reached| **reached).count();
        reached > self.0.len() / 2
    }

    /// The managers that stay when one leaves for good.
    #[must_use]
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.0.remove(name);
        rest
    }

    /// The managers that stay when this node leaves for good, and no other of its host.
    #[must_use]
    pub(crate) fn without_node(nodes: &[NodeFacts], id: &str) -> Self {
        let rest: Vec<NodeFacts> = nodes.iter().filter(|node| node.id != id).cloned().collect();
        Self::of(&rest)
    }

    /// Whether the swarm still decides while this manager is away for a moment.
    ///
    /// One or two managers cannot bear that; there it is unavoidable, and passes.
    pub(crate) fn bears_absence_of(&self, name: &str) -> bool {
        let mut rest = self.clone();
        match rest.0.get_mut(name) {
            Some(reached) if self.0.len() > 2 => {
                *reached = false;
                rest.holds()
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_must_be_reached() {
        let mut three = Quorum::all_well(["a", "b", "c"]);
        assert!(three.holds() && three.bears_absence_of("a"));
        three.0.insert("b".to_owned(), false);
        assert!(three.holds() && !three.bears_absence_of("a"));
        // The one that is away may leave, one of the others may not.
        assert!(three.without("b").holds());
        assert!(!three.without("a").holds());
        three.0.insert("c".to_owned(), false);
        assert!(!three.holds());
        assert!(!Quorum::default().holds(), "nobody decides nothing");
    }

    #[test]
    fn what_cannot_be_borne_by_one_or_two_is_unavoidable() {
        assert!(Quorum::all_well(["a"]).bears_absence_of("a"));
        assert!(Quorum::all_well(["a", "b"]).bears_absence_of("a"));
        assert!(Quorum::all_well(["a", "b", "c"]).bears_absence_of("a worker"));
    }
}
