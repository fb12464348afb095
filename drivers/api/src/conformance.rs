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
//! The macro makes one test of every check. A check ends at the first violated line
//! and quotes it. What the check made is destroyed, whether it passed or not.

mod bench;
pub mod changes;
pub mod cuts;
pub mod life;
pub mod lines;
pub mod marks;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use bench::Bench;

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

/// Runs one check on a fixture, then destroys what it made; used by the macro.
///
/// # Panics
/// With the violated line of the contract.
pub async fn run<F, C, A>(name: &str, fixture: F, check: C)
where
    F: Fixture,
    C: FnOnce(Arc<Bench>) -> A,
    A: Future<Output = ()> + Send + 'static,
{
    if fixture.skips().iter().any(|(skipped, _)| *skipped == name) {
        return;
    }
    let bench = Arc::new(Bench::new(Arc::new(fixture)));
    let ended = tokio::spawn(check(bench.clone())).await;
    let swept = tokio::spawn(async move { bench.sweep().await }).await;
    for result in [ended, swept] {
        if let Err(failed) = result {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

/// Makes one test of every check of the contract.
///
/// The expression makes a [`Fixture`]; it is evaluated for each test.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance_tests!($fixture;
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
        );
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
                let check = $crate::conformance::$group::$check;
                $crate::conformance::run(stringify!($check), $fixture, check).await;
            }
        )*

        /// Runs all checks of the suite by their names; for tests of the suite itself.
        #[allow(dead_code)]
        async fn conformance_check(name: &str, fixture: impl $crate::conformance::Fixture) {
            match name {
                $(stringify!($check) => {
                    let check = $crate::conformance::$group::$check;
                    $crate::conformance::run(name, fixture, check).await;
                })*
                other => panic!("there is no check `{other}`"),
            }
        }
    };
}
