//! What the mutants do wrong with cards, consoles, machines at rest and snapshots.

use fleet_driver::conformance::lines;
use fleet_driver::fake::Verb;
use fleet_driver::{
    Answer, Card, CardAddress, Console, Cx, Driver, Error, ErrorKind, MachineId, Power, Rest,
    Result, Snapshot, Snapshots, Stop, Suspend, VmSpec,
};

use super::{Flaw, Mutant};

impl Mutant {
    pub(super) fn has_console(&self) -> bool {
        matches!(
            self.flaw,
            Flaw::ConsoleIsNotAnnounced | Flaw::ConsoleHasNoLog | Flaw::ConsoleHasNoSocket
        )
    }

    /// A console whose log is there, unless that is the flaw.
    pub(super) fn written(&self, id: &MachineId, cx: &Cx) -> Console {
        let folder = cx.scratch(id);
        let console = Console { socket: folder.join("socket"), log: folder.join("log") };
        if !self.is(Flaw::ConsoleHasNoLog) {
            std::fs::write(&console.log, "hello").expect("scratch is writable");
        }
        console
    }

    pub(super) async fn dealt(&self, id: &MachineId, spec: &VmSpec, cx: &Cx) -> Result<Vec<Card>> {
        let mut cards = Card::outside_and_lab(id, &spec.lab);
        if self.is(Flaw::CardsHaveNoLabAddress) {
            cards[1].address = CardAddress::Dhcp;
        }
        if self.is(Flaw::CardsShareAnAddress) {
            cards[1].mac = id.mac(0);
        }
        if self.is(Flaw::CardsChange) && self.power(id, cx).await?.is_some() {
            cards.swap(0, 1);
        }
        Ok(cards)
    }

    /// What was destroyed comes back with a snapshot, if that is the flaw.
    pub(super) async fn haunt(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let died = self.fake.calls().iter().any(|call| call.verb == Verb::Destroy);
        if died && self.is(Flaw::SnapshotsOutliveTheMachine) {
            self.fake.snapshot(id, "one", cx).await?;
        }
        Ok(())
    }
}

impl Suspend for Mutant {
    fn suspend<'a>(&'a self, id: &'a MachineId, rest: Rest, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let there = self.power(id, cx).await?;
            match there {
                Some(Power::Running) if self.is(Flaw::SuspendDoesNothing) => Ok(()),
                Some(Power::Stopped) if self.is(Flaw::StoppedMachinesRest) => Ok(()),
                Some(Power::Paused | Power::Saved) if self.is(Flaw::SuspendTwiceFails) => {
                    Err(Error::conflict("it is at rest"))
                }
                _ => self.fake.suspend(id, rest, cx).await,
            }
        })
    }
}

impl Snapshots for Mutant {
    fn snapshot<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.is(Flaw::SnapshotsAreReplaced) {
                self.fake.forget(id, name, cx).await?;
            }
            self.fake.snapshot(id, name, cx).await
        })
    }

    fn snapshots<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Vec<Snapshot>> {
        Box::pin(async move {
            let mut all = self.fake.snapshots(id, cx).await?;
            if self.is(Flaw::SnapshotsAreSorted) {
                all.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Ok(all)
        })
    }

    fn revert<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.fake.revert(id, name, cx).await {
                Err(e)
                    if e.kind() == ErrorKind::NotFound
                        && self.is(Flaw::RevertToTheUnknownSucceeds) =>
                {
                    Ok(())
                }
                Ok(()) if self.is(Flaw::RevertNeverStarts) => {
                    self.fake.stop(id, Stop::Hard, cx).await
                }
                result => result,
            }
        })
    }

    fn forget<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let all = self.fake.snapshots(id, cx).await?;
            let unknown = all.iter().all(|snapshot| snapshot.name != name);
            if unknown && self.is(Flaw::ForgetTwiceFails) {
                return Err(Error::not_found("no such snapshot"));
            }
            self.fake.forget(id, name, cx).await
        })
    }
}

/// Each flaw, the check that must see it, and the line it violates.
pub(super) const CAUGHT: &[(Flaw, &str, &str)] = &[
    (Flaw::RestIsNotAnnounced, "abilities_are_those_announced", lines::verbs::SUSPENDING),
    (Flaw::SnapshotsAreNotAnnounced, "abilities_are_those_announced", lines::verbs::SNAPSHOTTING),
    (Flaw::CardsChange, "cards_stay_the_same", lines::CARDS_SAME),
    (Flaw::CardsShareAnAddress, "cards_stay_the_same", lines::verbs::CARDS),
    (Flaw::CardsHaveNoLabAddress, "one_card_has_the_lab_address", lines::CARDS_LAB),
    (Flaw::ConsoleIsNotAnnounced, "a_console_can_be_read", lines::verbs::CONSOLE),
    (Flaw::ConsoleHasNoLog, "a_console_can_be_read", lines::CONSOLE_LOG),
    (Flaw::ConsoleHasNoSocket, "a_console_can_be_read", lines::CONSOLE_SOCKET),
    (Flaw::SuspendDoesNothing, "a_machine_at_rest_goes_on", lines::AT_REST),
    (Flaw::SuspendTwiceFails, "a_machine_at_rest_goes_on", lines::AT_REST),
    (Flaw::NobodyWakesUp, "a_machine_at_rest_goes_on", lines::GOES_ON),
    (Flaw::StoppedMachinesRest, "only_running_machines_rest", lines::REST_REFUSED),
    (Flaw::HardStopKeepsTheMemory, "a_hard_stop_ends_the_rest", lines::HARD_STOP_AT_REST),
    (Flaw::SnapshotsAreSorted, "snapshots_are_listed_in_order", lines::verbs::SNAPSHOTS),
    (Flaw::SnapshotsAreReplaced, "a_snapshot_is_refused", lines::SNAPSHOT_REFUSED),
    (Flaw::RevertNeverStarts, "revert_brings_back_the_power", lines::verbs::REVERT),
    (Flaw::RevertToTheUnknownSucceeds, "revert_brings_back_the_power", lines::REVERT_UNKNOWN),
    (Flaw::ForgetTwiceFails, "forget_twice", lines::FORGET_TWICE),
    (Flaw::SnapshotsOutliveTheMachine, "destroy_removes_snapshots", lines::DESTROY_SNAPSHOTS),
];
