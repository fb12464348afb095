//! The driver's side: reads calls, does them at once, writes answers.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::{AsyncBufRead, BufReader};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::perform::perform;
use super::process::{Line, next_line};
use super::wire::{Call, FromProgram, Hello, LONGEST, PROTOCOL, Ready, ToProgram, Told, line};
use crate::event::Reporter;
use crate::{Cx, Driver, Error, Result, Settings};

/// How long a verb may go on after it was cancelled, to end at a place that it likes;
/// then it is dropped.
const GIVING_UP: Duration = Duration::from_millis(500);
/// How long all verbs together have to end when fleet has gone.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Serves a driver on standard input and output until fleet closes the input: the whole
/// `main` of a driver program.
///
/// `make` gets what the fleet's file says to the driver as a whole; its error is fleet's
/// answer. Nothing else may be written to standard output; where a library does that, use
/// [`serve_to`]. What is written to standard error is shown by fleet.
pub fn serve(make: impl FnOnce(&Settings) -> Result<Arc<dyn Driver>>) -> ExitCode {
    serve_to(io::stdout(), make)
}

/// Serves a driver as [`serve`] does, and writes the answers to `out`.
pub fn serve_to(
    out: impl Write + Send + 'static,
    make: impl FnOnce(&Settings) -> Result<Arc<dyn Driver>>,
) -> ExitCode {
    if io::stdin().is_terminal() {
        complain("this is a driver of fleet: fleet starts it, see `fleet driver ls`");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the driver cannot begin: {error}"));
            return ExitCode::from(4);
        }
    };
    let (lines, to_write) = mpsc::channel();
    let writer = std::thread::spawn(move || write(out, &to_write));
    let input = BufReader::new(tokio::io::stdin());
    let ended = runtime.block_on(answer(input, Out(lines), make));
    runtime.shutdown_timeout(GIVING_UP);
    // It ends with the last of those that write.
    drop(writer.join());
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn complain(text: &str) {
    // Nobody may be left to read it.
    drop(writeln!(io::stderr(), "{text}"));
}

/// Writes lines until nobody makes any, or nobody reads them.
fn write(mut out: impl Write, lines: &mpsc::Receiver<String>) {
    for line in lines {
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Where messages go.
#[derive(Clone)]
struct Out(mpsc::Sender<String>);

impl Out {
    fn say(&self, message: &FromProgram) {
        // Fleet may have gone; the end of the input says so.
        drop(self.0.send(line(message)));
    }
}

async fn answer(
    mut input: impl AsyncBufRead + Unpin,
    out: Out,
    make: impl FnOnce(&Settings) -> Result<Arc<dyn Driver>>,
) -> Result<()> {
    let Some(driver) = greet(&mut input, &out, make).await? else { return Ok(()) };
    let mut running: HashMap<u64, CancellationToken> = HashMap::new();
    let mut work = JoinSet::new();
    let ended = loop {
        let line = match next_line(&mut input, LONGEST).await {
            Line::Text(line) => line,
            Line::TooLong => break Err(Error::driver("fleet sent a line that is too long")),
            Line::End => break Ok(()),
        };
        // Those that have ended.
        while let Some(done) = work.try_join_next() {
            if let Ok(id) = done {
                running.remove(&id);
            }
        }
        match serde_json::from_slice(&line) {
            Ok(ToProgram::Call(call)) => {
                let token = CancellationToken::new();
                running.insert(call.id, token.clone());
                work.spawn(one(driver.clone(), *call, out.clone(), token));
            }
            Ok(ToProgram::Cancel { id }) => {
                if let Some(token) = running.get(&id) {
                    token.cancel();
                }
            }
            Ok(ToProgram::Hello(_)) => break Err(Error::driver("fleet said hello twice")),
            Ok(ToProgram::Unknown) => {}
            // The line may hold secrets.
            Err(_) => break Err(Error::driver("fleet sent a line that is no message")),
        }
    };
    running.values().for_each(CancellationToken::cancel);
    let all = async { while work.join_next().await.is_some() {} };
    drop(timeout(GOODBYE, all).await);
    ended
}

/// Answers the hello; none if fleet went before it said one.
async fn greet(
    input: &mut (impl AsyncBufRead + Unpin),
    out: &Out,
    make: impl FnOnce(&Settings) -> Result<Arc<dyn Driver>>,
) -> Result<Option<Arc<dyn Driver>>> {
    let hello: Hello = match next_line(input, LONGEST).await {
        Line::End => return Ok(None),
        Line::Text(line) => match serde_json::from_slice(&line) {
            Ok(ToProgram::Hello(hello)) => hello,
            _ => return Err(Error::driver("the first line was not fleet's hello")),
        },
        Line::TooLong => return Err(Error::driver("fleet sent a line that is too long")),
    };
    let refuse = |error: Error| {
        out.say(&FromProgram::Refused { error: (&error).into() });
        Err(error)
    };
    if !hello.protocol.contains(&PROTOCOL) {
        let spoken: Vec<String> = hello.protocol.iter().map(u32::to_string).collect();
        return refuse(
            Error::host(format!("this driver speaks version {PROTOCOL} of the protocol only"))
                .with("fleet", &hello.fleet)
                .with("fleet speaks", spoken.join(", "))
                .hint("install a driver and a fleet of the same time"),
        );
    }
    let driver = match make(&hello.settings) {
        Ok(driver) => driver,
        Err(error) => return refuse(error),
    };
    let about = driver.about();
    out.say(&FromProgram::Ready(Ready {
        protocol: PROTOCOL,
        name: about.name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: about.capabilities,
        concurrency: about.concurrency,
    }));
    Ok(Some(driver))
}

/// Does one call, tells what happens meanwhile, and answers it.
async fn one(driver: Arc<dyn Driver>, call: Call, out: Out, token: CancellationToken) -> u64 {
    let id = call.id;
    let (reporter, mut events) = Reporter::channel();
    let cx = Cx::new(&call.scratch, reporter, token.clone())
        .within(Duration::from_millis(call.deadline_ms));
    let tell = |event: crate::event::Event| {
        if let Some(event) = Told::of(event.kind) {
            out.say(&FromProgram::Event { id, event });
        }
    };
    // On a task of its own, so that a panic ends this call and not the program.
    let mut work = tokio::spawn(async move { perform(&*driver, call, &cx).await });
    let enough = async {
        token.cancelled().await;
        // Whether the time passes is all that matters.
        drop(timeout(GIVING_UP, std::future::pending::<()>()).await);
    };
    tokio::pin!(enough);
    let mut patient = true;
    let ended = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => tell(event),
            ended = &mut work => break ended,
            () = &mut enough, if patient => {
                patient = false;
                work.abort();
            }
        }
    };
    while let Ok(event) = events.try_recv() {
        tell(event);
    }
    let result = ended.unwrap_or_else(|e| {
        if e.is_cancelled() {
            return Err(Error::interrupted());
        }
        Err(Error::bug("the driver panicked").hint("what it printed on standard error says more"))
    });
    out.say(&match result {
        Ok(value) => FromProgram::Answer { id, value },
        Err(error) => FromProgram::Failed { id, error: (&error).into() },
    });
    id
}
