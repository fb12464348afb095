//! The contract as code: what each line of the documentation of [`Driver`] means.
//!
//! A driver crate's `tests/conformance.rs` says how to build the driver on its
//! stand-in and calls [`conformance!`](crate::conformance!):
//!
//! ```ignore
//! struct Stand { … }
//! impl fleet_driver::conformance::Fixture for Stand { … }
//! fleet_driver::conformance!(Stand::new());
//! ```
//!
//! The macro makes one test of every check, and [`checks`] gives the same as data. A
//! check ends at the first violated line and quotes it. What the check made is destroyed,
//! whether it passed or not.

mod bench;
pub mod changes;
pub mod cuts;
pub mod life;
pub mod lines;
pub mod marks;
pub mod rest;
pub mod snapshots;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use bench::{Bench, Violation};

use crate::run::{Run, System};
use crate::{Answer, Cx, Driver, ImageFile, MachineId, VmSpec};

/// A driver on its stand-in.
pub trait Fixture: Send + Sync + 'static {
    /// A new value of the driver on the same world: what one value has made, the next
    /// one finds.
    fn driver(&self) -> Arc<dyn Driver>;

    /// The spec of machine `n`, from 1; the addresses differ, the image is the same.
    ///
    /// The suite adds a file to its seed.
    fn spec(&self, n: u8) -> VmSpec;

    /// An image that differs from that of [`Fixture::spec`].
    fn other_image(&self) -> ImageFile;

    /// A driver option that the driver must refuse.
    fn bad_option(&self) -> (String, toml::Value) {
        ("no-such-option".to_owned(), true.into())
    }

    /// How programs are run.
    fn runner(&self) -> Arc<dyn Run> {
        Arc::new(System)
    }

    /// How long one verb may take at most.
    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// How long after its deadline a verb may still end.
    fn grace(&self) -> Duration {
        Duration::from_secs(20)
    }

    /// Changes a spec so that the guest shuts down when asked; none where no guest of
    /// the stand-in does.
    fn obedient(&self, _id: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        Some(spec)
    }

    /// Changes a spec so that the guest ignores the wish to shut down; none where no
    /// guest of the stand-in does.
    fn deaf(&self, _id: &MachineId, _spec: VmSpec) -> Option<VmSpec> {
        None
    }

    /// Waits until a started guest would notice the wish to shut down.
    fn awake<'a>(&'a self, _id: &'a MachineId, _cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What a guest that is awake has printed on its console for sure.
    fn prints(&self) -> Option<&'static str> {
        None
    }

    /// How long a deaf guest is asked to shut down.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Where verbs are dropped half-way.
    fn cuts(&self) -> Vec<Cut> {
        let polls = [1, 2, 3, 4, 6, 8, 12, 16, 24].map(Cut::Polls);
        let times = [1, 10, 50, 200].map(|ms| Cut::After(Duration::from_millis(ms)));
        polls.into_iter().chain(times).collect()
    }

    /// Checks that the stand-in cannot serve, each with the reason.
    fn skips(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// A moment at which a verb is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// As soon as it has waited so many times.
    Polls(usize),
    /// After this time.
    After(Duration),
}

/// One check of the contract.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    run: fn(Arc<Bench>) -> Running,
}

/// A check at work.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The driver keeps what the check looks at.
    Passed,
    /// There was nothing to look at, for this reason.
    Skipped(String),
    /// It does not.
    Failed(Violation),
}

/// All checks of the contract, in the order in which they are best read.
pub fn checks() -> Vec<Check> {
    crate::each_conformance_check!(conformance_data;)
}

impl Check {
    /// Runs the check on a fixture, then destroys what it made.
    ///
    /// A check that panics, for whatever reason, has failed.
    pub async fn run(&self, fixture: Arc<dyn Fixture>) -> Ended {
        if let Some((_, reason)) = fixture.skips().iter().find(|(name, _)| *name == self.name) {
            return Ended::Skipped((*reason).to_owned());
        }
        let bench = Arc::new(Bench::new(fixture));
        let ended = tokio::spawn((self.run)(bench.clone())).await;
        let skipped = bench.skipped();
        let swept = tokio::spawn(async move { bench.sweep().await }).await;
        for result in [ended, swept] {
            if let Err(failed) = result {
                return Ended::Failed(violation(failed));
            }
        }
        skipped.map_or(Ended::Passed, |reason| Ended::Skipped(reason.to_owned()))
    }
}

/// What a panic was about.
fn violation(failed: tokio::task::JoinError) -> Violation {
    let payload = match failed.try_into_panic() {
        Ok(payload) => payload,
        Err(ended) => Box::new(ended.to_string()),
    };
    let text = match payload.downcast::<Violation>() {
        Ok(violation) => return *violation,
        Err(other) => match other.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => other.downcast_ref::<&str>().unwrap_or(&"it says nothing").to_string(),
        },
    };
    let line = "(none: the check itself panicked)".to_owned();
    Violation { line, but: text, place: String::new() }
}

/// Runs one check on a fixture; used by the macro.
///
/// # Panics
/// With the violated line of the contract, or if there is no such check.
pub async fn run<F: Fixture>(name: &str, fixture: F) {
    let all = checks();
    let check = all.iter().find(|check| check.name == name).expect("checks are called by name");
    if let Ended::Failed(violation) = check.run(Arc::new(fixture)).await {
        panic!("{violation}");
    }
}

/// The one list of all checks; hands it to another macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! each_conformance_check {
    ($then:ident; $($argument:expr)?) => {
        $crate::$then! { $($argument)?;
            life::unknown_is_none
            life::destroying_the_unknown_succeeds
            life::created_is_stopped_and_listed
            life::create_twice
            life::create_of_a_running_machine
            life::another_image_conflicts
            life::another_address_conflicts
            life::start_twice
            life::absent_is_not_found
            life::stop_twice_hard
            life::stop_twice_soft
            life::soft_stop_of_a_deaf_guest
            life::destroy_twice
            life::destroy_of_a_running_machine
            life::longest_legal_name
            life::keeps_running
            marks::list_sees_one_fleet
            marks::list_sees_every_fleet
            marks::destroy_leaves_the_others
            marks::several_at_once
            marks::check_changes_nothing
            marks::check_finds_a_bad_option
            marks::check_finds_too_little_memory
            marks::check_finds_a_taken_port
            marks::a_bad_option_names_its_key
            marks::unseed_of_a_stopped_machine
            marks::unseed_of_a_running_machine
            changes::a_stopped_machine_is_resized
            changes::a_running_machine_is_resized_when_off
            changes::a_disk_only_grows
            changes::a_seed_stays_as_it_is
            changes::a_mark_is_given_back
            changes::another_mark_is_taken_over
            changes::another_mark_of_a_running_machine
            cuts::verbs_end_by_their_deadline
            cuts::dropped_create
            cuts::dropped_create_then_destroy
            cuts::dropped_start
            cuts::dropped_stop
            cuts::dropped_unseed
            cuts::dropped_destroy
            cuts::dropped_destroy_then_create
            rest::abilities_are_those_announced
            rest::cards_stay_the_same
            rest::one_card_has_the_lab_address
            rest::a_console_can_be_read
            rest::a_machine_at_rest_goes_on
            rest::a_hard_stop_ends_the_rest
            rest::only_running_machines_rest
            snapshots::snapshots_are_listed_in_order
            snapshots::a_snapshot_is_refused
            snapshots::revert_brings_back_the_power
            snapshots::forget_twice
            snapshots::destroy_removes_snapshots
        }
    };
}

/// The checks as data.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_data {
    (; $($group:ident :: $check:ident)*) => {
        vec![$(
            $crate::conformance::Check {
                name: stringify!($check),
                run: |bench| Box::pin($crate::conformance::$group::$check(bench)),
            }
        ),*]
    };
}

/// Makes one test of every check of the contract.
///
/// The expression makes a [`Fixture`]; it is evaluated for each test.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::each_conformance_check!(conformance_tests; $fixture);
    };
}

/// Makes the named tests; use [`conformance!`](crate::conformance!).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr; $($group:ident :: $check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::conformance::run(stringify!($check), $fixture).await;
            }
        )*
    };
}
