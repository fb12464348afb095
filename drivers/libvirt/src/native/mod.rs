//! The part that talks to libvirt: each verb is one piece of work on a thread of its own.
//!
//! A call of libvirt goes on after whoever waited for it is gone. So each verb takes its
//! machine's turn along, and the next verb of that machine waits for the straggler, which
//! stops at its next step.

mod bytes;
mod change;
mod check;
mod console;
mod create;
mod disks;
mod find;
mod job;
mod kvm;
mod lan;
mod power;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_driver::{
    About, Answer, Capabilities, Card, Console, Cx, Driver, Error, ErrorKind, Finding, MachineId,
    Rest, Result, Settings, Sighting, Snapshot, Snapshots, Stop, Suspend, VmSpec,
};
use virt::connect::Connect;

pub use self::bytes::Content;
use self::bytes::Streams;
use self::job::Job;

/// How long the thread may go on after the deadline to say what it has come to. It stops at
/// its next step; only a call of libvirt that hangs takes longer.
const GRACE: Duration = Duration::from_secs(1);

/// How often a look that was cut off is taken again.
const LOOKS: usize = 2;

/// Connections to hypervisors, which several values of the driver may share.
pub struct Links {
    open: Mutex<BTreeMap<String, Connect>>,
    /// The hypervisors that have answered once.
    known: Mutex<BTreeSet<String>>,
    content: Arc<dyn Content>,
}

impl Default for Links {
    fn default() -> Self {
        Self::with_content(Arc::new(Streams))
    }
}

impl Links {
    /// Connections where the bytes of volumes are carried in another way.
    pub fn with_content(content: Arc<dyn Content>) -> Self {
        // Else libvirt prints its errors by itself.
        virt::error::clear_error_callback();
        Self { open: Mutex::default(), known: Mutex::default(), content }
    }

    fn knows(&self, uri: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(uri)
    }

    fn note(&self, uri: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(uri.to_owned());
    }
}

/// Makes machines with libvirt.
pub struct Libvirt {
    settings: Arc<Settings>,
    links: Arc<Links>,
}

impl Libvirt {
    /// A driver for one fleet.
    pub fn new(settings: Settings) -> Self {
        Self::on(settings, Arc::new(Links::default()))
    }

    /// A driver that shares its connections with others.
    pub fn on(settings: Settings, links: Arc<Links>) -> Self {
        Self { settings: Arc::new(settings), links }
    }

    /// Does a piece of work that changes nothing, and again if the daemon goes meanwhile:
    /// it may be starting anew.
    async fn look<T, F>(&self, id: Option<&MachineId>, cx: &Cx, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Job) -> Result<T> + Clone + Send + 'static,
    {
        for _ in 0..LOOKS {
            match self.work(id, cx, work.clone()).await {
                Err(error) if error.kind() == ErrorKind::Busy && !cx.left().is_zero() => {}
                ended => return ended,
            }
        }
        self.work(id, cx, work).await
    }

    /// Does a piece of work on a thread of its own, in the machine's turn if it is about one.
    async fn work<T, F>(&self, id: Option<&MachineId>, cx: &Cx, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Job) -> Result<T> + Send + 'static,
    {
        let turn = match id {
            Some(id) => Some(job::turn(&id.to_string(), cx).await?),
            None => None,
        };
        cx.go_on()?;
        let (job, gone) = Job::new(cx, self.settings.clone(), self.links.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&job)
        });
        let ended = tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => Err(Error::interrupted()),
            ended = tokio::time::timeout(cx.left() + GRACE, thread) => match ended {
                Ok(Ok(result)) => result,
                Ok(Err(panicked)) => Err(Error::bug("the libvirt driver stopped").because(panicked)),
                Err(_) => Err(Error::driver("libvirt did not answer in time")
                    .hint("see whether its host is reachable and its daemon runs")),
            },
        };
        drop(gone);
        ended
    }
}

impl Driver for Libvirt {
    fn about(&self) -> About {
        About {
            name: "libvirt".to_owned(),
            capabilities: Capabilities {
                seed: true,
                static_addresses: true,
                console: true,
                suspend: true,
                save: true,
                snapshots: true,
            },
            concurrency: 8,
        }
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        let list = wanted.to_vec();
        Box::pin(self.look(None, cx, move |job| check::all(job, &list)))
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        let fleet = fleet.map(str::to_owned);
        Box::pin(self.look(None, cx, move |job| find::list(job, fleet.as_deref())))
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        let one = id.clone();
        Box::pin(self.look(Some(id), cx, move |job| find::look(job, &one)))
    }

    fn cards<'a>(
        &'a self,
        id: &'a MachineId,
        spec: &'a VmSpec,
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Card>> {
        let (one, spec) = (id.clone(), spec.clone());
        Box::pin(self.look(Some(id), cx, move |job| lan::cards(job, &one, &spec)))
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        let (one, spec) = (id.clone(), spec.clone());
        Box::pin(self.work(Some(id), cx, move |job| create::create(job, &one, &spec)))
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| power::start(job, &one)))
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| power::stop(job, &one, how)))
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| change::unseed(job, &one)))
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| create::destroy(job, &one)))
    }

    fn console<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Console>> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| console::open(job, &one)))
    }

    fn suspending(&self) -> Option<&dyn Suspend> {
        Some(self)
    }

    fn snapshotting(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

impl Suspend for Libvirt {
    fn suspend<'a>(&'a self, id: &'a MachineId, rest: Rest, cx: &'a Cx) -> Answer<'a, ()> {
        let one = id.clone();
        Box::pin(self.work(Some(id), cx, move |job| power::rest(job, &one, rest)))
    }
}

impl Snapshots for Libvirt {
    fn snapshot<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        let (one, name) = (id.clone(), name.to_owned());
        Box::pin(self.work(Some(id), cx, move |job| snapshots::take(job, &one, &name)))
    }

    fn snapshots<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Vec<Snapshot>> {
        let one = id.clone();
        Box::pin(self.look(Some(id), cx, move |job| snapshots::list(job, &one)))
    }

    fn revert<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        let (one, name) = (id.clone(), name.to_owned());
        Box::pin(self.work(Some(id), cx, move |job| snapshots::revert(job, &one, &name)))
    }

    fn forget<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        let (one, name) = (id.clone(), name.to_owned());
        Box::pin(self.work(Some(id), cx, move |job| snapshots::forget(job, &one, &name)))
    }
}
