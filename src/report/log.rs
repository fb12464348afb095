//! The log of a run on disk: the same lines as `--json`, the last twenty runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fleet_driver::event::Event;
use time::OffsetDateTime;
use time::macros::format_description;

use super::json;

/// How many logs are kept, the new one among them.
const KEPT: usize = 20;

/// The log of one run.
pub(super) struct Log {
    file: Option<(File, PathBuf)>,
    trouble: Option<String>,
}

/// What became of a log.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Where it is, if there is one.
    pub(super) path: Option<PathBuf>,
    /// Why it is not complete.
    pub(super) trouble: Option<String>,
}

impl Log {
    /// Opens the log of a run that begins now, and removes old ones.
    pub(super) fn create(folder: &Path) -> Self {
        match create(folder, OffsetDateTime::now_utc()) {
            Ok(file) => {
                forget_old(folder);
                Self { file: Some(file), trouble: None }
            }
            Err(error) => Self { file: None, trouble: Some(error.to_string()) },
        }
    }

    /// Adds an event, at once: it is there whatever happens to the process next.
    pub(super) fn event(&mut self, event: &Event) {
        if self.trouble.is_some() {
            return;
        }
        if let Some((file, _)) = &mut self.file
            && let Err(error) = file.write_all(json::line(event).as_bytes())
        {
            self.trouble = Some(error.to_string());
        }
    }

    pub(super) fn close(self) -> Written {
        Written { path: self.file.map(|(_, path)| path), trouble: self.trouble }
    }

    /// A log on a file of the caller's.
    #[cfg(test)]
    pub(super) fn on(file: File) -> Self {
        Self { file: Some((file, PathBuf::from("log"))), trouble: None }
    }
}

fn create(folder: &Path, now: OffsetDateTime) -> io::Result<(File, PathBuf)> {
    fs::create_dir_all(folder)?;
    let name = now
        .format(format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]"))
        .map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Two runs may begin in one second.
    let mut number = 1;
    loop {
        let path = match number {
            1 => folder.join(format!("{name}.jsonl")),
            _ => folder.join(format!("{name}.{number}.jsonl")),
        };
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                number += 1;
            }
            result => return result.map(|file| (file, path)),
        }
    }
}

/// Removes all logs but the newest; that an old one stays is no reason to complain.
fn forget_old(folder: &Path) {
    let mut logs: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    // Names begin with the time.
    logs.sort();
    let many = logs.len().saturating_sub(KEPT);
    for old in &logs[..many] {
        drop(fs::remove_file(old));
    }
}
