//! One machine under test.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::event::{Event, EventKind, Reporter};
use fleet_driver::{Cx, Driver, MachineId, Power, Secret, VmSpec};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::stand::Stand;

pub(crate) const FLEET: &str = "machines-5d02e7";

/// A machine, which must be gone at the end.
pub(crate) struct Trial {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) id: MachineId,
    pub(crate) cx: Cx,
    events: UnboundedReceiver<Event>,
    pub(crate) stand: Stand,
}

impl Trial {
    pub(crate) fn new() -> Option<Self> {
        Self::below("machines")
    }

    pub(crate) fn below(folder: &str) -> Option<Self> {
        let stand = Stand::new()?;
        let (reporter, events) = Reporter::channel();
        let cx = Cx::new(stand.folder().join(folder), reporter, CancellationToken::new())
            .within(Duration::from_secs(120));
        let id = MachineId::new(FLEET, "host1");
        Some(Self { driver: stand.qemu(), id, cx, events, stand })
    }

    pub(crate) fn spec(&self) -> VmSpec {
        let mut spec = self.stand.machine(1);
        spec.seed.push(("user-data".to_owned(), Secret::new(b"secret".to_vec())));
        spec
    }

    pub(crate) async fn running(&self) -> u32 {
        self.driver.create(&self.id, &self.spec(), &self.cx).await.unwrap();
        self.driver.start(&self.id, &self.cx).await.unwrap();
        self.pid().await
    }

    pub(crate) async fn pid(&self) -> u32 {
        let seen = self.driver.inspect(&self.id, &self.cx).await.unwrap().unwrap();
        assert_eq!(seen.power, Power::Running);
        seen.details["pid"].parse().unwrap()
    }

    pub(crate) async fn power(&self) -> Option<Power> {
        self.driver.inspect(&self.id, &self.cx).await.unwrap().map(|seen| seen.power)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cx.scratch(&self.id)
    }

    pub(crate) fn notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let EventKind::Note { text, .. } = event.kind {
                notes.push(text);
            }
        }
        notes
    }

    /// The same machine as it would be in another data folder.
    pub(crate) fn abroad(&self) -> Cx {
        Cx::new(self.stand.folder().join("other"), Reporter::silent(), CancellationToken::new())
            .within(Duration::from_secs(120))
    }

    pub(crate) async fn end(self) {
        self.driver.destroy(&self.id, &self.cx).await.unwrap();
        assert!(!self.folder().exists());
        assert!(!self.folder().parent().unwrap().exists());
    }
}

/// A test that fails leaves no process either.
impl Drop for Trial {
    fn drop(&mut self) {
        for pid in processes() {
            drop(Command::new("kill").args(["-KILL", &pid]).status());
        }
    }
}

/// Processes of this fleet, whoever knows of them.
pub(crate) fn processes() -> Vec<String> {
    let mark = format!("value=fleet:{FLEET}/");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter(|entry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words.starts_with(b"qemu-system") && String::from_utf8_lossy(&words).contains(&mark)
    });
    ours.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
