//! Broken drivers, each with one flaw, and the check that must catch it.

mod rest;

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::conformance::{Fixture, lines, run};
use fleet_driver::fake::Fake;
use fleet_driver::{
    About, Answer, Card, Console, Cx, Driver, Error, ErrorKind, Finding, ImageFile, MachineId,
    Power, Sighting, Snapshots, Stop, Suspend, VmSpec,
};

use super::{image, spec};

/// One thing that a driver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    UnknownIsAnError,
    DestroyOfTheUnknownFails,
    CreateStarts,
    CreateTwiceFails,
    CreateReplaces,
    CreateKeepsTheSize,
    CreateResizesAtOnce,
    CreateShrinksDisks,
    CreateTakesTheSeed,
    CreateKeepsTheMark,
    AnotherMarkConflicts,
    MarksAreCutShort,
    StartTwiceFails,
    StartOfTheAbsentSucceeds,
    DeafGuestIsCutOff,
    DeafGuestIsADriverError,
    DestroyLeavesTheFolder,
    DestroyLeavesTheFleetsFolder,
    DestroyGoesByPrefix,
    NamesAreCutShort,
    ListsAllFleets,
    ListsNoFleetWithoutItsName,
    HidesHalfMade,
    HalfMadeIsStuck,
    HalfDestroyedIsStuck,
    BadOptionIsIgnored,
    CheckIsBlind,
    CheckMakesAFolder,
    UnseedLies,
    UnseedStops,
    ForgetsWithTheValue,
    IgnoresTheDeadline,
    RestIsNotAnnounced,
    SnapshotsAreNotAnnounced,
    CardsChange,
    CardsHaveNoLabAddress,
    CardsShareAnAddress,
    ConsoleIsNotAnnounced,
    ConsoleHasNoLog,
    ConsoleHasNoSocket,
    SuspendDoesNothing,
    SuspendTwiceFails,
    StoppedMachinesRest,
    NobodyWakesUp,
    HardStopKeepsTheMemory,
    SnapshotsAreSorted,
    SnapshotsAreReplaced,
    RevertNeverStarts,
    RevertToTheUnknownSucceeds,
    ForgetTwiceFails,
    SnapshotsOutliveTheMachine,
}

#[derive(Clone)]
struct Mutant {
    fake: Fake,
    flaw: Flaw,
}

impl Mutant {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn short(&self, id: &MachineId) -> MachineId {
        let length = if self.is(Flaw::NamesAreCutShort) { 32 } else { usize::MAX };
        let name: String = id.machine().chars().take(length).collect();
        MachineId::new(id.fleet(), name)
    }

    async fn power(&self, id: &MachineId, cx: &Cx) -> Result<Option<Power>, Error> {
        Ok(self.fake.inspect(id, cx).await?.map(|seen| seen.power))
    }
}

impl Driver for Mutant {
    fn about(&self) -> About {
        let mut about = self.fake.about();
        let can = &mut about.capabilities;
        can.console = self.has_console() && !self.is(Flaw::ConsoleIsNotAnnounced);
        if self.is(Flaw::RestIsNotAnnounced) {
            (can.suspend, can.save) = (false, false);
        }
        can.snapshots &= !self.is(Flaw::SnapshotsAreNotAnnounced);
        about
    }

    fn cards<'a>(
        &'a self,
        id: &'a MachineId,
        spec: &'a VmSpec,
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Card>> {
        Box::pin(self.dealt(id, spec, cx))
    }

    fn console<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Console>> {
        Box::pin(async { Ok(self.has_console().then(|| self.written(id, cx))) })
    }

    fn suspending(&self) -> Option<&dyn Suspend> {
        Some(self)
    }

    fn snapshotting(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        Box::pin(async move {
            if self.is(Flaw::CheckMakesAFolder) {
                std::fs::create_dir_all(cx.scratch_root().join("probe"))
                    .expect("scratch is writable");
            }
            let found = self.fake.check(wanted, cx).await?;
            Ok(if self.is(Flaw::CheckIsBlind) { Vec::new() } else { found })
        })
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        Box::pin(async move {
            if self.is(Flaw::ListsAllFleets) {
                return Ok(self.fake.machines());
            }
            if self.is(Flaw::ListsNoFleetWithoutItsName) && fleet.is_none() {
                return Ok(Vec::new());
            }
            let mut listed = self.fake.list(fleet, cx).await?;
            if self.is(Flaw::HidesHalfMade) {
                let mut whole = Vec::new();
                for id in listed {
                    if !matches!(self.power(&id, cx).await?, Some(Power::Broken(_))) {
                        whole.push(id);
                    }
                }
                listed = whole;
            }
            Ok(listed)
        })
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        Box::pin(async move {
            let seen = self.fake.inspect(&self.short(id), cx).await?;
            if seen.is_none() && self.is(Flaw::UnknownIsAnError) {
                return Err(Error::not_found("no such machine"));
            }
            Ok(seen)
        })
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let there = self.power(id, cx).await?;
            let id = &self.short(id);
            let stuck = matches!(there, Some(Power::Broken(_))) && self.is(Flaw::HalfMadeIsStuck);
            if stuck || (there.is_some() && self.is(Flaw::CreateTwiceFails)) {
                return Err(Error::conflict("it exists"));
            }
            if there.is_some() && self.is(Flaw::CreateKeepsTheSize) {
                return Ok(());
            }
            let seen = self.fake.inspect(id, cx).await?;
            let mut spec = spec.clone();
            if self.is(Flaw::BadOptionIsIgnored) {
                spec.options.clear();
            }
            if self.is(Flaw::MarksAreCutShort) {
                spec.mark.values_mut().for_each(|value| value.truncate(255));
            }
            if let Some(seen) = seen {
                if self.is(Flaw::AnotherMarkConflicts) && seen.mark != spec.mark {
                    return Err(Error::conflict("it exists with another mark"));
                }
                if self.is(Flaw::CreateKeepsTheMark) {
                    spec.mark = seen.mark;
                }
                if self.is(Flaw::CreateTakesTheSeed) && spec.seed.is_empty() {
                    self.fake.unseed(id, cx).await?;
                }
                if self.is(Flaw::CreateShrinksDisks) {
                    self.fake.destroy(id, cx).await?;
                }
                if self.is(Flaw::CreateResizesAtOnce) && seen.power == Power::Running {
                    self.fake.stop(id, Stop::Hard, cx).await?;
                    self.fake.create(id, &spec, cx).await?;
                    return self.fake.start(id, cx).await;
                }
            }
            match self.fake.create(id, &spec, cx).await {
                Err(e) if e.kind() == ErrorKind::Conflict && self.is(Flaw::CreateReplaces) => {
                    self.fake.destroy(id, cx).await?;
                    self.fake.create(id, &spec, cx).await?;
                }
                result => result?,
            }
            self.haunt(id, cx).await?;
            if self.is(Flaw::CreateStarts) { self.fake.start(id, cx).await } else { Ok(()) }
        })
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.is(Flaw::IgnoresTheDeadline) {
                std::future::pending::<()>().await;
            }
            match self.power(id, cx).await? {
                None if self.is(Flaw::StartOfTheAbsentSucceeds) => Ok(()),
                Some(Power::Paused | Power::Saved) if self.is(Flaw::NobodyWakesUp) => Ok(()),
                Some(Power::Running) if self.is(Flaw::StartTwiceFails) => {
                    Err(Error::driver("it runs already"))
                }
                _ => self.fake.start(&self.short(id), cx).await,
            }
        })
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.is(Flaw::HardStopKeepsTheMemory)
                && self.power(id, cx).await? == Some(Power::Saved)
            {
                return Ok(());
            }
            match self.fake.stop(&self.short(id), how, cx).await {
                Err(e) if e.kind() == ErrorKind::Busy && self.is(Flaw::DeafGuestIsADriverError) => {
                    Err(Error::driver("the guest is deaf"))
                }
                Err(e) if e.kind() == ErrorKind::Busy && self.is(Flaw::DeafGuestIsCutOff) => {
                    let cx = cx.within(Duration::from_secs(5));
                    self.fake.stop(id, Stop::Hard, &cx).await
                }
                result => result,
            }
        })
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let seed = cx.scratch(id).join("seed");
            let kept = std::fs::read(&seed);
            self.fake.unseed(&self.short(id), cx).await?;
            if self.is(Flaw::UnseedLies)
                && let Ok(kept) = kept
            {
                std::fs::write(&seed, kept).expect("scratch is writable");
            }
            if self.is(Flaw::UnseedStops) {
                self.fake.stop(id, Stop::Hard, cx).await?;
            }
            Ok(())
        })
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let there = self.power(id, cx).await?;
            if there.is_none() && self.is(Flaw::DestroyOfTheUnknownFails) {
                return Err(Error::not_found("no such machine"));
            }
            if matches!(there, Some(Power::Broken(_))) && self.is(Flaw::HalfDestroyedIsStuck) {
                return Err(Error::driver("it is locked"));
            }
            self.fake.destroy(&self.short(id), cx).await?;
            if self.is(Flaw::DestroyLeavesTheFolder) && there.is_some() {
                std::fs::create_dir_all(cx.scratch(id)).expect("scratch is writable");
            }
            if self.is(Flaw::DestroyLeavesTheFleetsFolder) && there.is_some() {
                let fleet = cx.scratch_root().join(id.fleet());
                std::fs::create_dir_all(fleet).expect("scratch is writable");
            }
            if self.is(Flaw::DestroyGoesByPrefix) {
                for other in self.fake.machines() {
                    if other.machine().starts_with(id.machine()) {
                        self.fake.destroy(&other, cx).await?;
                    }
                }
            }
            Ok(())
        })
    }
}

impl Fixture for Mutant {
    fn driver(&self) -> Arc<dyn Driver> {
        let mut driver = self.clone();
        if self.is(Flaw::ForgetsWithTheValue) {
            driver.fake = Fake::new();
        }
        Arc::new(driver)
    }

    fn spec(&self, n: u8) -> VmSpec {
        spec(n)
    }

    fn other_image(&self) -> ImageFile {
        image("ffff0000")
    }

    fn deaf(&self, id: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        self.fake.deaf(id.machine());
        Some(spec)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn limit(&self) -> Duration {
        let short = self.is(Flaw::IgnoresTheDeadline);
        Duration::from_millis(if short { 50 } else { 20_000 })
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(200)
    }
}

/// Each flaw, the check that must see it, and the line it violates.
const CAUGHT: &[(Flaw, &str, &str)] = &[
    (Flaw::UnknownIsAnError, "unknown_is_none", lines::INSPECT_UNKNOWN),
    (Flaw::DestroyOfTheUnknownFails, "destroying_the_unknown_succeeds", lines::IDEMPOTENT),
    (Flaw::CreateStarts, "created_is_stopped_and_listed", lines::verbs::CREATE),
    (Flaw::CreateTwiceFails, "create_twice", lines::CREATE_TWICE),
    (Flaw::CreateReplaces, "another_image_conflicts", lines::CREATE_CONFLICT),
    (Flaw::CreateReplaces, "another_address_conflicts", lines::CREATE_CONFLICT),
    (Flaw::StartTwiceFails, "start_twice", lines::IDEMPOTENT),
    (Flaw::StartOfTheAbsentSucceeds, "absent_is_not_found", lines::ABSENT),
    (Flaw::DeafGuestIsCutOff, "soft_stop_of_a_deaf_guest", lines::SOFT_STOP),
    (Flaw::DeafGuestIsADriverError, "soft_stop_of_a_deaf_guest", lines::SOFT_STOP),
    (Flaw::DestroyLeavesTheFolder, "destroy_twice", lines::DESTROY_SCRATCH),
    (Flaw::DestroyGoesByPrefix, "destroy_leaves_the_others", lines::DESTROY_ALONE),
    (Flaw::NamesAreCutShort, "longest_legal_name", lines::verbs::LIST),
    (Flaw::CreateKeepsTheSize, "a_stopped_machine_is_resized", lines::CREATE_RESIZES),
    (Flaw::CreateKeepsTheSize, "a_running_machine_is_resized_when_off", lines::CREATE_RESIZES),
    (Flaw::CreateResizesAtOnce, "a_running_machine_is_resized_when_off", lines::CREATE_RESIZES),
    (Flaw::CreateShrinksDisks, "a_disk_only_grows", lines::CREATE_RESIZES),
    (Flaw::CreateTakesTheSeed, "a_seed_stays_as_it_is", lines::CREATE_KEEPS_SEED),
    (Flaw::CreateKeepsTheMark, "another_mark_is_taken_over", lines::CREATE_MARKS),
    (Flaw::CreateKeepsTheMark, "another_mark_of_a_running_machine", lines::CREATE_MARKS),
    (Flaw::AnotherMarkConflicts, "another_mark_is_taken_over", lines::CREATE_MARKS),
    (Flaw::MarksAreCutShort, "a_mark_is_given_back", lines::INSPECT_MARK),
    (Flaw::ListsNoFleetWithoutItsName, "list_sees_every_fleet", lines::LIST_EVERY_FLEET),
    (Flaw::DestroyLeavesTheFleetsFolder, "destroy_twice", lines::DESTROY_SCRATCH),
    (Flaw::ListsAllFleets, "list_sees_one_fleet", lines::LIST_ONE_FLEET),
    (Flaw::HidesHalfMade, "dropped_create", lines::LIST_HALF_MADE),
    (Flaw::HalfMadeIsStuck, "dropped_create", lines::CREATE_FINISHES),
    (Flaw::HalfDestroyedIsStuck, "dropped_destroy", lines::DROPPED),
    (Flaw::BadOptionIsIgnored, "a_bad_option_names_its_key", lines::CREATE_BAD_OPTION),
    (Flaw::CheckIsBlind, "check_finds_a_bad_option", lines::CHECK_FINDS),
    (Flaw::CheckIsBlind, "check_finds_too_little_memory", lines::CHECK_FINDS),
    (Flaw::CheckIsBlind, "check_finds_a_taken_port", lines::CHECK_FINDS),
    (Flaw::CheckMakesAFolder, "check_changes_nothing", lines::CHECK_CHANGES_NOTHING),
    (Flaw::UnseedLies, "unseed_of_a_stopped_machine", lines::UNSEED),
    (Flaw::UnseedStops, "unseed_of_a_running_machine", lines::UNSEED),
    (Flaw::ForgetsWithTheValue, "keeps_running", lines::KEEPS_RUNNING),
    (Flaw::IgnoresTheDeadline, "start_twice", lines::DEADLINE),
];

#[tokio::test]
async fn every_flaw_is_caught_with_its_line() {
    for (flaw, check, line) in CAUGHT.iter().chain(rest::CAUGHT) {
        let mutant = Mutant { fake: Fake::new(), flaw: *flaw };
        let failed = tokio::spawn(run(check, mutant)).await;
        let panic = failed.expect_err(&format!("{flaw:?} passes {check}")).into_panic();
        let text = panic.downcast_ref::<String>().expect("a check panics with a text");
        assert!(text.contains(line), "{flaw:?} in {check} should violate\n{line}\nbut: {text}");
    }
}
