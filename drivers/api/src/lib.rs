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

#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod error;
pub mod event;
#[cfg(feature = "testing")]
pub mod fake;
pub mod fault;
mod id;
pub mod program;
pub mod run;
mod scratch;
mod secret;
pub mod seed;
mod settings;
mod spec;
pub mod text;
pub mod wait;

use std::future::Future;
use std::pin::Pin;

pub use context::Cx;
pub use error::{Error, ErrorKind, Result};
pub use id::MachineId;
pub use secret::Secret;
pub use settings::Settings;
pub use spec::{
    About, Capabilities, Card, CardAddress, Console, Finding, Forward, ImageFile, LabNic, Level,
    Power, Protocol, Rest, Sighting, Snapshot, Stop, VmSpec,
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

    /// Says what network cards the guest will find, and how each gets its address.
    ///
    /// The first-boot seed is written from it, before `create`. Unless a driver says
    /// otherwise, they are those of [`Card::outside_and_lab`].
    ///
    /// Behaviour:
    /// - Changes nothing, and says the same again for the same machine and spec.
    /// - One card has the lab address of the spec, unless the hypervisor hands out addresses
    ///   by itself.
    fn cards<'a>(
        &'a self,
        id: &'a MachineId,
        spec: &'a VmSpec,
        _cx: &'a Cx,
    ) -> Answer<'a, Vec<Card>> {
        Box::pin(std::future::ready(Ok(Card::outside_and_lab(id, &spec.lab))))
    }

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
    /// - A machine at rest goes on where it was.
    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()>;

    /// Stops a machine.
    ///
    /// Behaviour:
    /// - An absent machine is [`ErrorKind::NotFound`].
    /// - [`Stop::Soft`] asks the guest and waits until the deadline, then is
    ///   [`ErrorKind::Busy`]; the caller decides about [`Stop::Hard`].
    /// - [`Stop::Hard`] takes what a machine at rest had in its memory.
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

    /// Makes the serial console reachable; none where the driver keeps none.
    ///
    /// Behaviour:
    /// - The log holds what the machine has printed until now.
    /// - While the machine runs and this value of the driver lives, the socket is its console.
    fn console<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Console>> {
        Box::pin(async move { Ok(self.inspect(id, cx).await?.and_then(|seen| seen.console)) })
    }

    /// Putting machines to rest, where the driver can; [`Capabilities`] says which ways.
    fn suspending(&self) -> Option<&dyn Suspend> {
        None
    }

    /// Snapshots, where the driver can.
    fn snapshotting(&self) -> Option<&dyn Snapshots> {
        None
    }
}

/// Puts machines to rest with all that is in their memory; [`Driver::start`] wakes them.
pub trait Suspend: Send + Sync {
    /// Puts a running machine to rest.
    ///
    /// Behaviour:
    /// - An absent machine is [`ErrorKind::NotFound`], a stopped one [`ErrorKind::Conflict`].
    /// - A machine at rest is [`Power::Paused`] or [`Power::Saved`]; resting twice the same
    ///   way succeeds.
    fn suspend<'a>(&'a self, id: &'a MachineId, rest: Rest, cx: &'a Cx) -> Answer<'a, ()>;
}

/// Keeps what a machine was at one moment: its disk, and its memory if it ran.
pub trait Snapshots: Send + Sync {
    /// Takes a snapshot; a running machine runs on.
    ///
    /// Behaviour:
    /// - An absent machine is [`ErrorKind::NotFound`], a name that is taken
    ///   [`ErrorKind::Conflict`].
    fn snapshot<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()>;

    /// Lists the snapshots of a machine, the oldest first.
    fn snapshots<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Vec<Snapshot>>;

    /// Brings a machine back to a snapshot; it then runs if it ran at that moment.
    ///
    /// Behaviour:
    /// - An unknown snapshot is [`ErrorKind::NotFound`].
    fn revert<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()>;

    /// Removes a snapshot, not what the machine is now.
    ///
    /// Behaviour:
    /// - Removing an unknown snapshot succeeds.
    /// - `destroy` removes all of them.
    fn forget<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()>;
}
