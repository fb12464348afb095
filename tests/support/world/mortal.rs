//! A driver whose process dies in the middle of a verb.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use fleet_driver::fake::Fake;
use fleet_driver::{About, Answer, Cx, Driver, Finding, MachineId, Result, Sighting, Stop, VmSpec};

/// The fake driver, with an end of its process in mind.
pub(super) struct Mortal {
    fake: Fake,
    dies_at: Option<u64>,
    /// A file to make, and then never to end.
    stuck: Option<PathBuf>,
    points: AtomicU64,
}

impl Mortal {
    pub(super) fn new(fake: Fake, dies_at: Option<u64>, stuck: Option<PathBuf>) -> Self {
        Self { fake, dies_at, stuck, points: AtomicU64::new(0) }
    }

    fn point(&self) {
        if let Some(file) = &self.stuck {
            std::fs::write(file, "").unwrap();
            loop {
                std::thread::park();
            }
        }
        let now = self.points.fetch_add(1, Ordering::SeqCst) + 1;
        if self.dies_at == Some(now) {
            // As sudden as SIGKILL, and no other thread does anything any more.
            std::process::abort();
        }
    }

    /// A verb with a point before it, wherever it waits, and after it.
    fn verb<'a>(&'a self, mut verb: Answer<'a, ()>) -> Answer<'a, ()> {
        Box::pin(async move {
            self.point();
            let result: Result<()> = std::future::poll_fn(|cx| {
                let polled = verb.as_mut().poll(cx);
                if polled.is_pending() {
                    self.point();
                }
                match polled {
                    Poll::Ready(result) => Poll::Ready(result),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            self.point();
            result
        })
    }
}

impl Driver for Mortal {
    fn about(&self) -> About {
        self.fake.about()
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        self.fake.check(wanted, cx)
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        self.fake.list(fleet, cx)
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        self.fake.inspect(id, cx)
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        self.verb(self.fake.create(id, spec, cx))
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        self.verb(self.fake.start(id, cx))
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        self.verb(self.fake.stop(id, how, cx))
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        self.verb(self.fake.unseed(id, cx))
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        self.verb(self.fake.destroy(id, cx))
    }
}
