//! `fleet logs`: what a machine has printed on its serial console.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet_driver::wait::pause_for;
use fleet_driver::{Console, Error, Result};

use super::{Exit, Global, Session};
use crate::guest::terminal::Cleaner;
use crate::host::Host;

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(200);
/// How often a driver is asked for more that has to bring it.
const ASK: Duration = Duration::from_secs(2);
/// How much is read at once.
const BLOCK: u64 = 64 << 10;
/// `--follow` has no limit of its own.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Print the end of a machine's serial console
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many lines to print
    #[arg(short = 'n', long = "lines", value_name = "LINES", default_value_t = 50)]
    lines: usize,
    /// Go on printing until Ctrl-C
    #[arg(short = 'F', long)]
    follow: bool,
    /// The machine; can be left out if there is but one
    name: Option<String>,
}

/// Runs `fleet logs`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let standing = session.sighting(&name).await?.console.is_some();
    let console = console(&session, &name).await?;
    let mut asked = Instant::now();
    let mut cleaner = cleaner(host);
    let mut place = Place::at_tail(&console.log, args.lines)?;
    let mut text = Lossy::default();
    let mut ended = true;
    loop {
        while let Some(bytes) = place.read()? {
            let clean = text.take(&cleaner.clean(&bytes));
            ended = clean.is_empty() && ended || clean.ends_with('\n');
            host.out(&clean)?;
        }
        if !args.follow {
            break;
        }
        if pause_for(&session.cx().within(FOREVER), LOOK).await.is_err() {
            break;
        }
        // The file grows by itself, or when the driver is asked.
        if !standing && asked.elapsed() > ASK {
            self::console(&session, &name).await?;
            asked = Instant::now();
        }
    }
    if !ended {
        host.out("\n")?;
    }
    Ok(if args.follow { 130 } else { 0 })
}

/// The console of a machine.
///
/// # Errors
/// `NotFound` if it has none.
pub(super) async fn console(session: &Session, name: &str) -> Result<Console> {
    session.sighting(name).await?;
    let cx = session.cx().within(Duration::from_secs(30));
    let console = session.driver(name).await?.console(&session.id(name), &cx).await?;
    console.ok_or_else(|| {
        let driver = session.store.record(name).map_or("", |record| &record.driver);
        Error::not_found(format!("`{name}` has no serial console"))
            .with("driver", driver)
            .hint("its driver keeps none; look for one in the hypervisor")
    })
}

/// What makes a guest's words fit for standard output.
pub(super) fn cleaner(host: &Host) -> Cleaner {
    if host.stdout_has_colour() { Cleaner::coloured() } else { Cleaner::plain() }
}

/// The last lines of a log, cleaned; empty if there is none.
pub(super) fn tail(log: &Path, lines: usize, cleaner: &mut Cleaner) -> Result<String> {
    let mut place = Place::at_tail(log, lines)?;
    let mut text = Lossy::default();
    let mut all = String::new();
    while let Some(bytes) = place.read()? {
        all.push_str(&text.take(&cleaner.clean(&bytes)));
    }
    Ok(all)
}

/// A place in a log that grows, and that begins anew when the machine starts.
struct Place {
    log: PathBuf,
    offset: u64,
}

impl Place {
    /// The start of the last `lines` lines; a log that is not there yet is empty.
    fn at_tail(log: &Path, lines: usize) -> Result<Self> {
        let offset = match File::open(log) {
            Ok(mut file) => tail_offset(&mut file, lines).map_err(|e| unreadable(log, e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(unreadable(log, e)),
        };
        Ok(Self { log: log.to_owned(), offset })
    }

    /// The next piece, or `None` at the end of the log.
    fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let file = match File::open(&self.log) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(&self.log, e)),
        };
        let bytes = read_from(file, &mut self.offset).map_err(|e| unreadable(&self.log, e))?;
        self.offset += bytes.len() as u64;
        Ok(if bytes.is_empty() { None } else { Some(bytes) })
    }
}

fn read_from(mut file: File, offset: &mut u64) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() < *offset {
        *offset = 0;
    }
    file.seek(SeekFrom::Start(*offset))?;
    let mut bytes = Vec::new();
    file.take(BLOCK).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where the last `lines` lines begin, read from the end.
fn tail_offset(file: &mut File, lines: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut seen = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        for (n, byte) in block.iter().enumerate().rev() {
            let at = start + n as u64;
            // The line end at the very end ends the last line and begins none.
            if *byte == b'\n' && at + 1 < length {
                seen += 1;
                if seen == lines {
                    return Ok(at + 1);
                }
            }
        }
        end = start;
    }
    Ok(if lines == 0 { length } else { 0 })
}

fn unreadable(log: &Path, error: io::Error) -> Error {
    Error::host("the log of the console cannot be read").with("log", log.display()).because(error)
}

/// Bytes as text, where a letter may come in two pieces.
#[derive(Default)]
struct Lossy {
    rest: Vec<u8>,
}

impl Lossy {
    fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        if let Err(e) = std::str::from_utf8(&all)
            && e.error_len().is_none()
        {
            self.rest = all.split_off(e.valid_up_to());
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tail_of(text: &[u8], lines: usize) -> String {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        log.write_all(text).unwrap();
        tail(log.path(), lines, &mut Cleaner::plain()).unwrap()
    }

    #[test]
    fn the_last_lines_are_found() {
        assert_eq!(tail_of(b"a\r\nb\r\nc\r\n", 2), "b\nc\n");
        assert_eq!(tail_of(b"a\nb\nlogin: ", 2), "b\nlogin: ");
        assert_eq!(tail_of(b"a\nb\n", 50), "a\nb\n");
        assert_eq!(tail_of(b"a\nb\n", 0), "");
        assert_eq!(tail_of(b"", 5), "");
        assert_eq!(tail(Path::new("/no/such/log"), 5, &mut Cleaner::plain()).unwrap(), "");
    }

    #[test]
    fn a_long_log_is_read_from_its_end() {
        let lines: Vec<String> = (0..100_000).map(|n| format!("line {n}")).collect();
        let text = lines.join("\n") + "\n";
        assert_eq!(tail_of(text.as_bytes(), 2), "line 99998\nline 99999\n");
        assert_eq!(tail_of(text.as_bytes(), 20_000).lines().count(), 20_000);
    }

    #[test]
    fn a_log_that_begins_anew_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, "the first boot\n").unwrap();
        let mut place = Place::at_tail(&log, 10).unwrap();
        assert_eq!(place.read().unwrap().unwrap(), b"the first boot\n");
        assert_eq!(place.read().unwrap(), None);
        std::fs::write(&log, "again\n").unwrap();
        assert_eq!(place.read().unwrap().unwrap(), b"again\n");
        std::fs::remove_file(&log).unwrap();
        assert_eq!(place.read().unwrap(), None);
    }

    #[test]
    fn a_letter_may_come_in_two_pieces() {
        let mut text = Lossy::default();
        assert_eq!(text.take(b"caf\xc3"), "caf");
        assert_eq!(text.take(b"\xa9\xff"), "é\u{fffd}");
    }
}
