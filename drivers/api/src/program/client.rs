//! Fleet's side of a driver program: a [`Driver`] whose verbs are done elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::process::Process;
use super::wire::{Call, Hello, Id, PROTOCOL, Ready, ToProgram, Wanted};
use crate::spec::{About, Card, Console, Finding, Rest, Sighting, Snapshot, Stop, VmSpec};
use crate::{
    Answer, Cx, Driver, Error, ErrorKind, MachineId, Result, Settings, Snapshots, Suspend,
};

/// How long after its deadline a call may still be answered.
const GRACE: Duration = Duration::from_secs(2);
/// How long a program may take to give up a call.
const GIVING_UP: Duration = Duration::from_secs(5);
/// How often a program is started in one run: once, and again after each time it died.
const STARTS: u32 = 4;

/// A driver that is a program of its own.
///
/// The program lives as long as this value, or until [`Program::end`]. If it dies, calls
/// that it had not answered are [`ErrorKind::Busy`], and the next one starts it anew, three
/// times at most.
pub struct Program {
    path: PathBuf,
    name: String,
    hello: Hello,
    about: About,
    version: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: Option<Arc<Process>>,
    starts: u32,
}

/// How a call ended that gave nothing.
enum Without {
    /// The program died.
    Died(Error),
    /// It said why, or had no time left.
    Failed(Error),
}

impl Program {
    /// Starts the program at `path`, the driver that the file calls `name`.
    ///
    /// # Errors
    /// `Host` if it cannot be started or is no driver program; what it says itself if it
    /// refuses the settings.
    pub async fn start(path: &Path, name: &str, settings: &Settings, cx: &Cx) -> Result<Self> {
        let hello = Hello {
            fleet: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: vec![PROTOCOL],
            name: name.to_owned(),
            settings: settings.clone(),
        };
        let (process, ready) = Process::start(path, &hello, cx).await?;
        let Ready { version, capabilities, concurrency, .. } = ready;
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            hello,
            about: About { name: name.to_owned(), capabilities, concurrency },
            version,
            state: Mutex::new(State { process: Some(Arc::new(process)), starts: 1 }),
        })
    }

    /// Another value of the same driver, whose program is started by its first call.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            path: self.path.clone(),
            name: self.name.clone(),
            hello: self.hello.clone(),
            about: self.about.clone(),
            version: self.version.clone(),
            state: Mutex::default(),
        }
    }

    /// The version that the program says it has.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program's process id, while it runs.
    pub async fn pid(&self) -> Option<u32> {
        let state = self.state.lock().await;
        let process = state.process.as_ref()?;
        if process.calls.end().is_some() { None } else { process.pid() }
    }

    /// Ends the program and waits until it has ended: by itself within 2 s, else asked to,
    /// else by force.
    pub async fn end(&self) {
        let process = self.state.lock().await.process.take();
        if let Some(process) = process {
            process.close();
            process.gone().await;
        }
    }

    /// The process that calls go to; started anew if the last one has died.
    async fn process(&self, cx: &Cx) -> Result<Arc<Process>> {
        let mut state = self.state.lock().await;
        let died = match &state.process {
            Some(process) if process.calls.end().is_none() => return Ok(process.clone()),
            Some(process) => Some(process.clone()),
            None => None,
        };
        if state.starts >= STARTS {
            let error = Error::driver(format!(
                "the driver program `{}` has died {} times",
                self.name, state.starts
            ))
            .with("program", self.path.display())
            .hint("what it printed last may say why; its author should see it");
            return Err(match died {
                Some(process) => process.calls.explained(error),
                None => error,
            });
        }
        state.starts += 1;
        let (process, _) = Process::start(&self.path, &self.hello, cx).await?;
        let process = Arc::new(process);
        state.process = Some(process.clone());
        Ok(process)
    }

    async fn once(
        &self,
        mut call: Call,
        machine: Option<&MachineId>,
        cx: &Cx,
    ) -> Result<Value, Without> {
        let verb = call.verb.clone();
        let work = async {
            let process = self.process(cx).await.map_err(Without::Failed)?;
            if timeout(GIVING_UP, process.calls.settled(machine)).await.is_err() {
                process.kill();
                process.gone().await;
                let what = "did not give up a call that was cancelled, and was ended";
                return Err(Without::Died(self.died(&process, ErrorKind::Busy, what, &verb)));
            }
            let (id, answer) = process.calls.begin(machine.cloned(), cx.reporter().clone());
            let _asked = Asked { process: &process, id };
            call.id = id;
            cx.scratch_root().clone_into(&mut call.scratch);
            call.deadline_ms = u64::try_from(cx.left().as_millis()).unwrap_or(u64::MAX);
            process.send(&ToProgram::Call(Box::new(call)));
            match timeout(cx.left().saturating_add(GRACE), answer).await {
                Ok(Ok(result)) => result.map_err(Without::Failed),
                Ok(Err(_)) => {
                    let end = process.calls.end();
                    let (kind, what) = end.map_or_else(
                        || (ErrorKind::Busy, "ended".to_owned()),
                        |end| (end.kind, end.what),
                    );
                    let error = self.died(&process, kind, &what, &verb);
                    Err(match kind {
                        ErrorKind::Busy => Without::Died(error),
                        _ => Without::Failed(error),
                    })
                }
                Err(_) => {
                    let error = Error::driver(format!(
                        "the driver program `{}` did not end `{verb}` in time",
                        self.name
                    ));
                    let error = error.with("program", self.path.display());
                    Err(Without::Failed(process.calls.explained(error)))
                }
            }
        };
        tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => Err(Without::Failed(Error::interrupted())),
            result = work => result,
        }
    }

    fn died(&self, process: &Process, kind: ErrorKind, what: &str, verb: &str) -> Error {
        let message = format!("the driver program `{}` {what}, during `{verb}`", self.name);
        let error = Error::new(kind, message).with("program", self.path.display());
        process.calls.explained(error)
    }

    /// Does a verb; one that changes nothing is tried again by itself if the program dies.
    async fn ask<T: DeserializeOwned>(
        &self,
        call: Call,
        machine: Option<&MachineId>,
        cx: &Cx,
    ) -> Result<T> {
        let verb = call.verb.clone();
        let reads = matches!(verb.as_str(), "check" | "list" | "inspect" | "cards" | "snapshots");
        let again = reads.then(|| call.clone());
        let result = match (self.once(call, machine, cx).await, again) {
            (Err(Without::Died(_)), Some(again)) => self.once(again, machine, cx).await,
            (result, _) => result,
        };
        let value = result.map_err(|without| match without {
            Without::Died(error) | Without::Failed(error) => error,
        })?;
        serde_json::from_value(value).map_err(|e| {
            let message = format!("the answer of the driver program `{}` is not one", self.name);
            Error::driver(message)
                .with("verb", &verb)
                .with("program", self.path.display())
                .hint("its author should see this; docs/driver-protocol.md says what is due")
                .because(e)
        })
    }

    /// Does a verb of one machine that gives nothing.
    async fn tell(&self, call: Call, id: &MachineId, cx: &Cx) -> Result<()> {
        // Whatever it gives is ignored.
        let _: serde::de::IgnoredAny = self.ask(call, Some(id), cx).await?;
        Ok(())
    }
}

/// A call that waits for its answer; dropping it gives it up.
struct Asked<'a> {
    process: &'a Process,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.process.calls.give_up(self.id) {
            self.process.send(&ToProgram::Cancel { id: self.id });
        }
    }
}

fn call(verb: &str, id: &MachineId) -> Call {
    Call { verb: verb.to_owned(), machine: Some(id.into()), ..Call::default() }
}

impl Driver for Program {
    fn about(&self) -> About {
        self.about.clone()
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        let wanted = wanted.iter().map(|(id, vm)| Wanted { machine: id.into(), spec: vm.into() });
        let wanted = Some(wanted.collect());
        let call = Call { verb: "check".to_owned(), wanted, ..Call::default() };
        Box::pin(self.ask(call, None, cx))
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        Box::pin(async move {
            let fleet = fleet.map(str::to_owned);
            let call = Call { verb: "list".to_owned(), fleet, ..Call::default() };
            let found: Vec<Id> = self.ask(call, None, cx).await?;
            Ok(found.into_iter().map(MachineId::from).collect())
        })
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        Box::pin(self.ask(call("inspect", id), Some(id), cx))
    }

    fn cards<'a>(
        &'a self,
        id: &'a MachineId,
        spec: &'a VmSpec,
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Card>> {
        let call = Call { spec: Some(spec.into()), ..call("cards", id) };
        Box::pin(self.ask(call, Some(id), cx))
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(Call { spec: Some(spec.into()), ..call("create", id) }, id, cx))
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(call("start", id), id, cx))
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(Call { how: Some(how), ..call("stop", id) }, id, cx))
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(call("unseed", id), id, cx))
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(call("destroy", id), id, cx))
    }

    fn console<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Console>> {
        if !self.about.capabilities.console {
            return Box::pin(std::future::ready(Ok(None)));
        }
        Box::pin(self.ask(call("console", id), Some(id), cx))
    }

    fn suspending(&self) -> Option<&dyn Suspend> {
        let can = self.about.capabilities;
        (can.suspend || can.save).then_some(self)
    }

    fn snapshotting(&self) -> Option<&dyn Snapshots> {
        self.about.capabilities.snapshots.then_some(self)
    }
}

impl Suspend for Program {
    fn suspend<'a>(&'a self, id: &'a MachineId, rest: Rest, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(Call { rest: Some(rest), ..call("suspend", id) }, id, cx))
    }
}

fn of_snapshot(verb: &str, id: &MachineId, name: &str) -> Call {
    Call { name: Some(name.to_owned()), ..call(verb, id) }
}

impl Snapshots for Program {
    fn snapshot<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(of_snapshot("snapshot", id, name), id, cx))
    }

    fn snapshots<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Vec<Snapshot>> {
        Box::pin(self.ask(call("snapshots", id), Some(id), cx))
    }

    fn revert<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(of_snapshot("revert", id, name), id, cx))
    }

    fn forget<'a>(&'a self, id: &'a MachineId, name: &'a str, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.tell(of_snapshot("forget", id, name), id, cx))
    }
}
