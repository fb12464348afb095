//! What the run at hand is about to do and has done, so that the next one can say where
//! a killed one stood.
//!
//! # Why
//! Plans are made from what is, so nothing is decided by this file. It is the intent
//! before each step and the result after it, for people: after a power cut `fleet up`
//! says which machines were in the middle of what.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use fleet_driver::event::StepId;
use fleet_driver::{Error, Result, fault};
use serde::{Deserialize, Serialize};

use super::private_dir;

/// The name of the file in `.fleet`.
const FILE: &str = "journal.jsonl";

#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum Line {
    Begin { command: String, pid: u32, at: String },
    Intent { machine: String, step: StepId },
    Result { machine: String, step: StepId },
    End,
}

/// The journal of one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

/// A run that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// What was typed.
    pub command: String,
    /// When it began, RFC 3339 in UTC.
    pub at: String,
    /// Each machine that was in the middle of a step, and of which.
    pub open: BTreeMap<String, StepId>,
}

impl Journal {
    /// Begins the journal of a run in the folder `.fleet`; the lock is held.
    ///
    /// # Errors
    /// `Host`: the file cannot be written.
    pub fn begin(dir: &Path, command: &str, at: &str) -> Result<Self> {
        private_dir(dir)?;
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|e| unwritten(&path, e))?;
        fault::point("journal", "begin")?;
        let mut journal = Self { file, path };
        let pid = std::process::id();
        journal.write(&Line::Begin { command: command.to_owned(), pid, at: at.to_owned() })?;
        Ok(journal)
    }

    /// Writes down that a step is about to begin, and sees that it stays written.
    ///
    /// # Errors
    /// `Host`: the file cannot be written; the step must not begin.
    pub fn intent(&mut self, machine: &str, step: StepId) -> Result<()> {
        self.write(&Line::Intent { machine: machine.to_owned(), step })
    }

    /// Writes down that a step has ended, however it did.
    ///
    /// # Errors
    /// `Host`: the file cannot be written.
    pub fn result(&mut self, machine: &str, step: StepId) -> Result<()> {
        self.write(&Line::Result { machine: machine.to_owned(), step })
    }

    /// Ends the journal: the run was not cut off.
    ///
    /// # Errors
    /// `Host`: the file cannot be written.
    pub fn end(mut self) -> Result<()> {
        fault::point("journal", "end")?;
        self.write(&Line::End)
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)
            .map_err(|e| Error::bug("the journal cannot be written as JSON").because(e))?;
        text.push(b'\n');
        // One write a line: what is cut off is cut off at its end.
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|e| unwritten(&self.path, e))
    }
}

fn unwritten(path: &Path, e: std::io::Error) -> Error {
    Error::host("the journal of the run cannot be written")
        .with("file", path.display())
        .because(e)
        .hint("is the disk full, or the folder read-only?")
}

/// The run before, if it was cut off.
pub fn cut_off(dir: &Path) -> Option<CutOff> {
    let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
    let mut found: Option<CutOff> = None;
    for line in text.lines() {
        // The last line may be half a line.
        let Ok(line) = serde_json::from_str(line) else { break };
        match line {
            Line::Begin { command, at, pid: _ } => {
                found = Some(CutOff { command, at, open: BTreeMap::new() });
            }
            Line::Intent { machine, step } => drop(found.as_mut()?.open.insert(machine, step)),
            Line::Result { machine, step: _ } => drop(found.as_mut()?.open.remove(&machine)),
            Line::End => return None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_without_an_end_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cut_off(dir.path()), None);
        let mut journal = Journal::begin(dir.path(), "fleet up", "then").unwrap();
        journal.intent("a", StepId::Create).unwrap();
        journal.intent("b", StepId::Create).unwrap();
        journal.result("a", StepId::Create).unwrap();
        let cut = cut_off(dir.path()).unwrap();
        assert_eq!(cut.command, "fleet up");
        assert_eq!(cut.open, BTreeMap::from([("b".to_owned(), StepId::Create)]));
        journal.end().unwrap();
        assert_eq!(cut_off(dir.path()), None);
    }

    #[test]
    fn half_a_line_at_the_end_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), "fleet up", "then").unwrap();
        journal.intent("a", StepId::Create).unwrap();
        let path = dir.path().join(FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"what\":\"res");
        std::fs::write(&path, &text).unwrap();
        assert!(cut_off(dir.path()).is_some());
    }
}
