//! The contract between `fleet` and its drivers.
//!
//! A driver makes and unmakes machines on one hypervisor or cloud. It implements
//! [`Driver`], whose documentation is the specification: every line of a
//! "Behaviour" list has a check in [`conformance`], which each driver runs.
//!
//! A driver **may** use its hypervisor's API or command line, its own folder
//! ([`Cx::scratch`]), [`Cx::report`], [`Cx::run`] and [`wait::until`].
//!
//! A driver **may not** print, exit, panic, read environment variables or
//! `machines.toml`, write records, open SSH, know that Docker or swarms exist,
//! sleep by itself, start processes other than through [`Cx::run`], or hold state
//! that matters between two verbs.

#[cfg(feature = "testing")]
pub mod conformance;
mod context;
mod error;
pub mod event;
#[cfg(feature = "testing")]
pub mod fake;
mod id;
pub mod run;
mod scratch;
mod secret;
pub mod seed;
mod spec;
pub mod text;
pub mod wait;

use std::future::Future;
use std::pin::Pin;

pub use context::Cx;
pub use error::{Error, ErrorKind, Result};
pub use id::MachineId;
pub use secret::Secret;
pub use spec::{
    About, Capabilities, Console, Finding, Forward, ImageFile, LabNic, Level, Power, Protocol,
    Sighting, Stop, VmSpec,
};

/// What a verb returns: a boxed future, since native async methods cannot be
/// called through `dyn`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Makes and unmakes machines on one hypervisor or cloud.
///
/// For all verbs:
/// - Verbs are idempotent: starting what runs, stopping what is stopped and
///   destroying what is absent succeed.
/// - A verb may be dropped at any await point. The next `create` or `destroy`
///   copes with whatever that left.
/// - A verb ends by the deadline of its [`Cx`].
/// - At most [`About::concurrency`] verbs run at once; the caller sees to it.
pub trait Driver: Send + Sync {
    /// Says what this driver is and can do; costs nothing.
    fn about(&self) -> About;

    /// Looks whether this host can run the machines that are `wanted`.
    ///
    /// `wanted` holds the machines about to be created or started.
    ///
    /// Behaviour:
    /// - Changes nothing.
    /// - Everything that would make `create` or `start` fail and can be known
    ///   beforehand is a [`Finding`] with [`Level::Error`]: a missing program, too
    ///   little memory or disk, a taken port, a bad driver option.
    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>>;

    /// Lists the machines of `fleet`, or of every fleet.
    ///
    /// Behaviour:
    /// - Sees machines of the given fleet only.
    /// - `None` sees the machines of every fleet of this user.
    /// - Lists half-made machines too.
    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>>;

    /// Looks at one machine.
    ///
    /// Behaviour:
    /// - An unknown machine is `None`, not an error.
    /// - A half-made machine (`create` was interrupted) is `None` or has
    ///   [`Power::Broken`].
    /// - Gives back the mark that the machine has; a half-made one may have none.
    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>>;

    /// Defines a machine and leaves it stopped.
    ///
    /// Behaviour:
    /// - The same spec twice changes nothing.
    /// - Another image or address for the same id is [`ErrorKind::Conflict`].
    /// - An interrupted `create` is finished by the next one.
    /// - A stopped machine takes over another size, ports or options (its disk only
    ///   grows); a running one keeps what it has, and takes it over at the next `create`
    ///   while it is off.
    /// - A machine that exists takes over another mark, also while it runs where that can
    ///   be done; that is never a conflict.
    /// - A machine that exists keeps its seed, or stays without, whatever seed is passed.
    /// - A bad driver option is an [`ErrorKind::Config`] error that names its key.
    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()>;

    /// Starts a machine; returns when the hypervisor says it runs, which is
    /// before the guest answers.
    ///
    /// Behaviour:
    /// - An absent machine is [`ErrorKind::NotFound`].
    /// - The machine keeps running after `fleet` has ended.
    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()>;

    /// Stops a machine.
    ///
    /// Behaviour:
    /// - An absent machine is [`ErrorKind::NotFound`].
    /// - [`Stop::Soft`] asks the guest and waits until the deadline, then is
    ///   [`ErrorKind::Busy`]; the caller decides about [`Stop::Hard`].
    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()>;

    /// Takes the first-boot seed away from a machine, with the secrets in it.
    ///
    /// Called once the guest has answered for the first time.
    ///
    /// Behaviour:
    /// - Afterwards neither the host nor the running guest can read the seed, and
    ///   later starts do without it.
    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()>;

    /// Removes a machine and everything that belongs to it alone.
    ///
    /// Behaviour:
    /// - A running machine is stopped hard.
    /// - Nothing is left in [`Cx::scratch`], nor is an empty folder of its fleet.
    /// - Never touches the image or another machine.
    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()>;
}
