//! What every check stands on: a fixture, an empty folder, and verbs that quote the
//! contract when they do what they must not.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Cut, Fixture, lines};
use crate::event::Reporter;
use crate::{
    Answer, Capabilities, Cx, Driver, Error, ErrorKind, MachineId, Power, Rest, Result, Secret,
    Sighting, Stop, VmSpec,
};

/// The fleet that most checks use.
pub(super) const FLEET: &str = "conformance-3f9a1c";
/// Another fleet on the same host.
pub(super) const OTHER_FLEET: &str = "conformance-77ab20";
/// What the suite puts in the seed, to look for it later.
pub(super) const SEED_MARK: &[u8] = b"conformance-seed-2b7e151628aed2a6abf7158809cf4f3c";

/// A fixture at work.
pub struct Bench {
    pub(super) fixture: Arc<dyn Fixture>,
    scratch: TempDir,
    made: Mutex<Vec<MachineId>>,
    skipped: Mutex<Option<&'static str>>,
}

/// How a check fails: the payload of its panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The line of the contract.
    pub line: String,
    /// What the driver did instead.
    pub but: String,
    /// Where in the suite this was seen.
    pub place: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, but, place } = self;
        write!(f, "the contract says: {line}\nbut {but}\n({place})")
    }
}

/// Ends the check with the violated line.
///
/// Whoever runs the check says so: the panic itself prints nothing.
#[track_caller]
pub(super) fn violated(line: &str, but: impl fmt::Display) -> ! {
    let place = std::panic::Location::caller().to_string();
    let violation = Violation { line: line.to_owned(), but: but.to_string(), place };
    std::panic::resume_unwind(Box::new(violation))
}

/// Checks a line of the contract.
#[track_caller]
pub(super) fn holds(line: &str, truth: bool, but: impl fmt::Display) {
    if !truth {
        violated(line, but);
    }
}

/// Checks that a verb did its work.
#[track_caller]
pub(super) fn fine<T>(line: &str, what: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => violated(line, format!("{what} failed: {error:?}")),
    }
}

/// Checks that a verb failed with an error of this kind.
#[track_caller]
pub(super) fn fails<T>(line: &str, what: &str, kind: ErrorKind, result: Result<T>) -> Error {
    match result {
        Err(error) if error.kind() == kind => error,
        Err(error) => violated(line, format!("{what} failed otherwise: {error:?}")),
        Ok(_) => violated(line, format!("{what} succeeded")),
    }
}

impl Bench {
    pub(super) fn new(fixture: Arc<dyn Fixture>) -> Self {
        let scratch = tempfile::Builder::new().prefix("fleet-").tempdir();
        Self {
            fixture,
            scratch: scratch.expect("a temporary folder can be made"),
            made: Mutex::default(),
            skipped: Mutex::default(),
        }
    }

    /// Whether the check has nothing to look at, for the reason that is then noted.
    pub(super) fn skips(&self, reason: &'static str, truth: bool) -> bool {
        if truth {
            self.skipped.lock().expect("no check panics here").get_or_insert(reason);
        }
        truth
    }

    /// Why the check did not look at anything.
    pub(super) fn skipped(&self) -> Option<&'static str> {
        *self.skipped.lock().expect("no check panics here")
    }

    /// What the driver says it can do.
    pub(super) fn can(&self) -> Capabilities {
        self.driver().about().capabilities
    }

    pub(super) fn driver(&self) -> Arc<dyn Driver> {
        self.fixture.driver()
    }

    pub(super) fn id(&self, machine: &str) -> MachineId {
        self.id_of(FLEET, machine)
    }

    pub(super) fn id_of(&self, fleet: &str, machine: &str) -> MachineId {
        let id = MachineId::new(fleet, machine);
        let mut made = self.made.lock().expect("no check panics here");
        if !made.contains(&id) {
            made.push(id.clone());
        }
        id
    }

    /// The fixture's spec, with a mark, and with something in the seed to look for.
    pub(super) fn spec(&self, n: u8) -> VmSpec {
        let mut spec = self.fixture.spec(n);
        spec.seed.push(("conformance".to_owned(), Secret::new(SEED_MARK.to_vec())));
        spec.mark.insert("machine".to_owned(), format!("number {n}"));
        spec
    }

    /// The context for all machines.
    pub(super) fn cx(&self) -> Cx {
        Cx::new(self.scratch.path(), Reporter::silent(), CancellationToken::new())
            .with_runner(self.fixture.runner())
            .within(self.fixture.limit())
    }

    /// Waits for a verb, somewhat longer than its deadline.
    pub(super) async fn ends<T>(&self, what: &str, verb: Answer<'_, T>) -> Result<T> {
        match tokio::time::timeout(self.fixture.limit() + self.fixture.grace(), verb).await {
            Ok(result) => result,
            Err(_) => violated(lines::DEADLINE, format!("{what} goes on long after it")),
        }
    }

    pub(super) async fn create(&self, id: &MachineId, spec: &VmSpec) -> Result<()> {
        self.ends("create", self.driver().create(id, spec, &self.cx())).await
    }

    pub(super) async fn start(&self, id: &MachineId) -> Result<()> {
        self.ends("start", self.driver().start(id, &self.cx())).await
    }

    pub(super) async fn stop(&self, id: &MachineId, how: Stop) -> Result<()> {
        self.ends("stop", self.driver().stop(id, how, &self.cx())).await
    }

    pub(super) async fn unseed(&self, id: &MachineId) -> Result<()> {
        self.ends("unseed", self.driver().unseed(id, &self.cx())).await
    }

    pub(super) async fn destroy(&self, id: &MachineId) -> Result<()> {
        self.ends("destroy", self.driver().destroy(id, &self.cx())).await
    }

    pub(super) async fn suspend(&self, id: &MachineId, rest: Rest) -> Result<()> {
        let (driver, cx) = (self.driver(), self.cx());
        let suspending = driver
            .suspending()
            .unwrap_or_else(|| violated(lines::verbs::SUSPENDING, "the driver has no `suspend`"));
        self.ends("suspend", suspending.suspend(id, rest, &cx)).await
    }

    pub(super) async fn list(&self, fleet: Option<&str>) -> Vec<MachineId> {
        let cx = self.cx();
        let found = self.ends("list", self.driver().list(fleet, &cx)).await;
        fine(lines::verbs::LIST, "list", found)
    }

    pub(super) async fn inspect(&self, id: &MachineId) -> Option<Sighting> {
        let cx = self.cx();
        let seen = self.ends("inspect", self.driver().inspect(id, &cx)).await;
        fine(lines::INSPECT_UNKNOWN, "inspect", seen)
    }

    pub(super) async fn power(&self, id: &MachineId) -> Option<Power> {
        self.inspect(id).await.map(|seen| seen.power)
    }

    /// Makes machine `n` and leaves it stopped.
    pub(super) async fn stopped(&self, machine: &str, n: u8) -> MachineId {
        let id = self.id(machine);
        fine(lines::verbs::CREATE, "create", self.create(&id, &self.spec(n)).await);
        id
    }

    /// Makes machine `n` and starts it.
    pub(super) async fn running(&self, machine: &str, n: u8) -> MachineId {
        let id = self.stopped(machine, n).await;
        fine(lines::verbs::START, "start", self.start(&id).await);
        self.is(lines::verbs::START, &id, Power::Running).await;
        id
    }

    /// Checks the power of a machine that exists.
    pub(super) async fn is(&self, line: &str, id: &MachineId, power: Power) {
        let seen = self.power(id).await;
        holds(line, seen.as_ref() == Some(&power), format!("{id} is {seen:?}, not {power:?}"));
    }

    /// Checks that nothing is left of a machine.
    pub(super) async fn is_gone(&self, id: &MachineId) {
        let seen = self.power(id).await;
        holds(lines::verbs::DESTROY, seen.is_none(), format!("{id} is still there: {seen:?}"));
        for fleet in [Some(id.fleet()), None] {
            let listed = self.list(fleet).await;
            holds(lines::verbs::DESTROY, !listed.contains(id), format!("{id} is still listed"));
        }
        let folder = self.cx().scratch(id);
        holds(lines::DESTROY_SCRATCH, !folder.exists(), format!("{} is left", left(&folder)));
        let fleet = self.cx().scratch_root().join(id.fleet());
        let empty = std::fs::read_dir(&fleet).is_ok_and(|mut entries| entries.next().is_none());
        holds(lines::DESTROY_SCRATCH, !empty, format!("{} is left", left(&fleet)));
    }

    /// Drops a verb at a moment; none if it was dropped.
    pub(super) async fn cut<T>(
        &self,
        what: &str,
        cut: Cut,
        mut verb: Answer<'_, T>,
    ) -> Option<Result<T>> {
        match cut {
            Cut::After(time) => tokio::time::timeout(time, verb).await.ok(),
            Cut::Polls(polls) => {
                let mut left = polls;
                let dropped = std::future::poll_fn(move |cx| {
                    let polled = verb.as_mut().poll(cx);
                    left -= 1;
                    match polled {
                        std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
                        std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                        std::task::Poll::Pending => std::task::Poll::Pending,
                    }
                });
                self.ends(what, Box::pin(async { Ok(dropped.await) })).await.ok().flatten()
            }
        }
    }

    /// Destroys every machine that a check has named.
    pub(super) async fn sweep(&self) {
        let made = std::mem::take(&mut *self.made.lock().expect("no check panics here"));
        for id in made {
            fine(lines::verbs::DESTROY, "the last destroy", self.destroy(&id).await);
        }
    }
}

/// Names what is in a folder.
pub(super) fn left(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    format!("{} ({})", folder.display(), names.join(", "))
}
