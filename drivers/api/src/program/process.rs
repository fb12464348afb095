//! One running driver program: its start, its three pipes, and its end.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::calls::{Calls, End};
use super::wire::{FromProgram, Hello, LONGEST, PROTOCOL, Ready, ToProgram, line};
use crate::{Cx, Error, ErrorKind, Result};

/// How long a program may take to answer the hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long a program has to end by itself once its input is closed, and then once more
/// after the request to end.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long the pipes of a program that has ended are still read: something that it
/// started may hold them open for ever.
const DRAIN: Duration = Duration::from_millis(500);
/// No line of standard error is kept longer, in bytes.
const LONGEST_WORDS: usize = 4096;

/// A running program; dropping it ends the program.
pub(super) struct Process {
    pub(super) calls: Arc<Calls>,
    lines: mpsc::UnboundedSender<String>,
    over: CancellationToken,
    at_once: CancellationToken,
    gone: CancellationToken,
    pid: Option<u32>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Process {
    /// Starts the program and agrees with it on the protocol.
    ///
    /// # Errors
    /// `Host` if it cannot be started, or does not answer as a driver does; what it says
    /// itself if it refuses.
    pub(super) async fn start(path: &Path, hello: &Hello, cx: &Cx) -> Result<(Self, Ready)> {
        cx.go_on()?;
        let mut child = spawn(path)?;
        let calls = Arc::new(Calls::default());
        let (lines, to_write) = mpsc::unbounded_channel();
        let (first, ready) = oneshot::channel();
        let process = Self {
            calls: calls.clone(),
            lines,
            over: CancellationToken::new(),
            at_once: CancellationToken::new(),
            gone: CancellationToken::new(),
            pid: child.id(),
        };
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Error::bug("a program was started without its pipes"));
        };
        tokio::spawn(write(stdin, to_write, process.over.clone()));
        let keeper = Keeper {
            reader: tokio::spawn(read(stdout, calls.clone(), first)),
            listener: tokio::spawn(listen(stderr, calls.clone())),
            child,
            calls: calls.clone(),
            over: process.over.clone(),
            at_once: process.at_once.clone(),
            gone: process.gone.clone(),
        };
        tokio::spawn(keeper.keep());
        process.send(&ToProgram::Hello(hello.clone()));
        let answer = tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => return Err(Error::interrupted()),
            answer = timeout(HELLO.min(cx.left()), ready) => answer,
        };
        let ready = match answer {
            Ok(Ok(FromProgram::Ready(ready))) if hello.protocol.contains(&ready.protocol) => ready,
            Ok(Ok(FromProgram::Ready(ready))) => {
                return Err(process.useless(
                    path,
                    &format!("chose version {} of the protocol", ready.protocol),
                    &format!("this fleet speaks version {PROTOCOL}; install a program that does"),
                ));
            }
            Ok(Ok(FromProgram::Refused { error })) => {
                return Err(error.error().with("program", path.display()));
            }
            Ok(_) => {
                // The keeper sees the program's end, or makes it.
                drop(timeout(GOODBYE, calls.ended()).await);
                let what = calls.end().map_or_else(|| "did not answer".to_owned(), |end| end.what);
                return Err(process.useless(path, &what, HINT));
            }
            Err(_) => {
                let what = format!("said nothing for {} s", HELLO.min(cx.left()).as_secs().max(1));
                return Err(process.useless(path, &what, HINT));
            }
        };
        Ok((process, ready))
    }

    fn useless(&self, path: &Path, what: &str, hint: &str) -> Error {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let error = Error::host(format!("the driver program `{name}` {what}"))
            .with("program", path.display())
            .hint(hint);
        self.calls.explained(error)
    }

    /// Sends a message; a program that has ended does not get it.
    pub(super) fn send(&self, message: &ToProgram) {
        drop(self.lines.send(line(message)));
    }

    /// Ends the program without asking.
    pub(super) fn kill(&self) {
        self.at_once.cancel();
        self.over.cancel();
    }

    /// Waits until the program has ended, after [`Process::kill`] or [`Process::close`].
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Closes the program's input, which asks it to end.
    pub(super) fn close(&self) {
        self.over.cancel();
    }

    /// The program's process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }
}

const HINT: &str = "a driver program answers fleet's hello and prints nothing else on standard \
                    output; see docs/driver-protocol.md";

fn spawn(path: &Path) -> Result<Child> {
    let mut command = Command::new(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: Ctrl-C reaches fleet alone, which decides.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn().map_err(|e| {
        Error::host("the driver program cannot be started")
            .with("program", path.display())
            .hint("it must be a program that this user may run")
            .because(e)
    })
}

async fn write(
    mut stdin: ChildStdin,
    mut lines: mpsc::UnboundedReceiver<String>,
    over: CancellationToken,
) {
    let work = async {
        while let Some(line) = lines.recv().await {
            if stdin.write_all(line.as_bytes()).await.is_err() {
                // It has closed its input; its end is seen elsewhere.
                return;
            }
        }
    };
    over.run_until_cancelled(work).await;
}

/// Reads messages to the end of the pipe; none if it ended, else what was wrong.
async fn read(
    stdout: ChildStdout,
    calls: Arc<Calls>,
    first: oneshot::Sender<FromProgram>,
) -> Option<String> {
    let mut stdout = BufReader::new(stdout);
    let mut first = Some(first);
    loop {
        let line = match next_line(&mut stdout, LONGEST).await {
            Line::Text(line) => line,
            Line::TooLong => {
                return Some(format!("printed a line of more than {} MiB", LONGEST >> 20));
            }
            Line::End => return None,
        };
        let bad = |line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let shown: String = text.trim().chars().take(200).collect();
            Some(format!("printed a line that is no message: {shown}"))
        };
        let Ok(message) = serde_json::from_slice::<FromProgram>(&line) else {
            return bad(&line);
        };
        match (first.take(), message) {
            (Some(first), answer @ (FromProgram::Ready(_) | FromProgram::Refused { .. })) => {
                drop(first.send(answer));
            }
            (Some(_), _) => return bad(&line),
            (None, message) => {
                if let Err(what) = calls.take(message) {
                    return Some(what);
                }
            }
        }
    }
}

async fn listen(stderr: ChildStderr, calls: Arc<Calls>) {
    let mut stderr = BufReader::new(stderr);
    loop {
        match next_piece(&mut stderr).await {
            Some(piece) => {
                let text = String::from_utf8_lossy(&piece).trim_end().to_owned();
                if !text.is_empty() {
                    calls.heard(text);
                }
            }
            None => return,
        }
    }
}

/// What the next line is.
pub(super) enum Line {
    /// Without its end.
    Text(Vec<u8>),
    /// Longer than allowed.
    TooLong,
    /// There is none.
    End,
}

/// Reads a line of at most `longest` bytes; the last one may lack its end.
pub(super) async fn next_line(from: &mut (impl AsyncBufRead + Unpin), longest: usize) -> Line {
    let mut line = Vec::new();
    loop {
        let Ok(piece) = from.fill_buf().await else { return Line::End };
        if piece.is_empty() {
            return if line.is_empty() { Line::End } else { Line::Text(line) };
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        let used = end.map_or(piece.len(), |end| end + 1);
        from.consume(used);
        if line.len() > longest {
            return Line::TooLong;
        }
        if end.is_some() {
            return Line::Text(line);
        }
    }
}

/// Reads a line, or as much of it as is kept.
async fn next_piece(from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let buffered = from.fill_buf().await.ok().filter(|piece| !piece.is_empty())?;
    let mut piece = Vec::new();
    let end = buffered.iter().take(LONGEST_WORDS).position(|byte| *byte == b'\n');
    if let Some(end) = end {
        piece.extend_from_slice(&buffered[..end]);
        from.consume(end + 1);
        return Some(piece);
    }
    // A line in several parts arrives here in several pieces, each at most that long.
    let mut limited = tokio::io::AsyncReadExt::take(from, LONGEST_WORDS as u64);
    limited.read_until(b'\n', &mut piece).await.ok()?;
    Some(piece)
}

/// Sees to the end of a program.
struct Keeper {
    child: Child,
    reader: JoinHandle<Option<String>>,
    listener: JoinHandle<()>,
    calls: Arc<Calls>,
    over: CancellationToken,
    at_once: CancellationToken,
    gone: CancellationToken,
}

impl Keeper {
    async fn keep(mut self) {
        let end = tokio::select! {
            status = self.child.wait() => {
                let wrong = timeout(DRAIN, &mut self.reader).await;
                ended(wrong.ok().and_then(Result::ok).flatten(), status.ok())
            }
            wrong = &mut self.reader => {
                let status = timeout(DRAIN, self.child.wait()).await;
                ended(wrong.ok().flatten(), status.ok().and_then(Result::ok))
            }
            () = self.over.cancelled() => {
                End { kind: ErrorKind::Busy, what: "was ended by fleet".to_owned() }
            }
        };
        if self.over.is_cancelled() {
            // Nobody waits any more, except perhaps for the end itself.
            self.finish().await;
            self.calls.close(end);
        } else {
            drop(timeout(DRAIN, &mut self.listener).await);
            self.over.cancel();
            self.calls.close(end);
            self.finish().await;
        }
        self.listener.abort();
        self.reader.abort();
        self.gone.cancel();
    }

    /// Waits for the program, then asks it to end, then ends it.
    async fn finish(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let by_itself = timeout(GOODBYE, self.child.wait());
        if matches!(self.at_once.run_until_cancelled(by_itself).await, Some(Ok(_))) {
            return;
        }
        if !self.at_once.is_cancelled() {
            signal(pid, How::Ask);
            let asked = timeout(GOODBYE, self.child.wait());
            if matches!(self.at_once.run_until_cancelled(asked).await, Some(Ok(_))) {
                return;
            }
        }
        signal(pid, How::Force);
        drop(self.child.kill().await);
    }
}

fn ended(wrong: Option<String>, status: Option<ExitStatus>) -> End {
    match (wrong, status) {
        // It would do the same again.
        (Some(what), _) => End { kind: ErrorKind::Driver, what },
        (None, Some(status)) => {
            let what = match status.code() {
                Some(code) => format!("ended with status {code}"),
                None => "was ended by a signal".to_owned(),
            };
            End { kind: ErrorKind::Busy, what }
        }
        (None, None) => {
            End { kind: ErrorKind::Busy, what: "closed its standard output".to_owned() }
        }
    }
}

/// How a program's whole group is ended.
#[derive(Clone, Copy)]
enum How {
    Ask,
    Force,
}

/// Ends a program with all that is in its group; its machines are not.
#[cfg(unix)]
fn signal(pid: u32, how: How) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = match how {
        How::Ask => Signal::TERM,
        How::Force => Signal::KILL,
    };
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended at this very moment.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(not(unix))]
fn signal(_: u32, how: How) {
    match how {
        How::Ask | How::Force => {}
    }
}
