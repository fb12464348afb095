//! QEMU's control socket: one JSON object a line.
//!
//! The protocol is in QEMU's `docs/interop/qmp-spec.txt`, the commands in its QMP
//! reference. QEMU speaks to one client at a time and lets others wait, so a
//! connection is opened for one question and closed again.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_driver::{Cx, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::folder::QMP;

/// QEMU answers within milliseconds; on a host under heavy load within a second.
const ANSWER: Duration = Duration::from_secs(4);

/// A line is never longer, so that a program that is not QEMU cannot fill memory.
const LONGEST_LINE: u64 = 4 << 20;

/// An open connection.
pub(crate) struct Qmp<'a> {
    stream: BufReader<UnixStream>,
    cx: &'a Cx,
}

/// What QEMU sends: a greeting, answers, and events, which nobody here waits for.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

impl<'a> Qmp<'a> {
    /// Connects to the QEMU that was started in `folder`.
    ///
    /// # Errors
    /// `Busy` if there is no answer.
    pub(crate) async fn connect(folder: &Path, cx: &'a Cx) -> Result<Self> {
        let open = async {
            let stream = connect_in(folder, QMP).await?;
            let mut qmp = Self { stream: BufReader::new(stream), cx };
            while qmp.read().await?.greeting.is_none() {}
            Ok(qmp)
        };
        let mut qmp = in_time(cx, open).await?;
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// `Driver` if QEMU refuses, `Busy` if it does not answer.
    pub(crate) async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let cx = self.cx;
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let ask = async {
            self.stream.get_mut().write_all(line.as_bytes()).await.map_err(silent)?;
            loop {
                let message = self.read().await?;
                if let Some(refusal) = message.error {
                    let why = format!("{}: {}", refusal.class, refusal.desc);
                    return Err(Error::driver("QEMU refused a command").because(why));
                }
                if let Some(answer) = message.answer {
                    return Ok(answer);
                }
            }
        };
        in_time(cx, ask).await.map_err(|e| e.with("command", command))
    }

    async fn read(&mut self) -> Result<Message> {
        let mut line = String::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut self.stream, LONGEST_LINE);
        let length = limited.read_line(&mut line).await.map_err(silent)?;
        if length == 0 {
            return Err(Error::busy("QEMU closed its control socket"));
        }
        serde_json::from_str(&line).map_err(|e| Error::driver("QEMU did not speak QMP").because(e))
    }
}

async fn in_time<T>(cx: &Cx, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Error::interrupted()),
        done = tokio::time::timeout(ANSWER.min(cx.left()), work) => {
            done.unwrap_or_else(|_| Err(Error::busy("QEMU does not answer on its control socket")))
        }
    }
}

fn silent(error: std::io::Error) -> Error {
    Error::busy("could not reach QEMU's control socket").because(error)
}

/// Connects to a socket by its name in a folder.
///
/// A socket's address holds 108 bytes (unix(7)), which is less than a path may have,
/// so a long one is reached through the open folder.
async fn connect_in(folder: &Path, name: &str) -> Result<UnixStream> {
    const LONGEST_ADDRESS: usize = 107;
    let path = folder.join(name);
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return UnixStream::connect(path).await.map_err(silent);
    }
    let open = File::open(folder).map_err(silent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(name);
    let stream = UnixStream::connect(short).await;
    drop(open);
    stream.map_err(silent)
}

#[cfg(test)]
mod tests {
    use fleet_driver::ErrorKind;
    use fleet_driver::event::Reporter;
    use tokio::net::UnixListener;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn cx() -> Cx {
        Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
            .within(Duration::from_secs(20))
    }

    /// Answers like QEMU, with an event in between; refuses all but two commands.
    async fn serve(listener: UnixListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut say = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n".to_owned();
        loop {
            stream.get_mut().write_all(say.as_bytes()).await.unwrap();
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return;
            }
            let command: Value = serde_json::from_str(&line).unwrap();
            let answer = match command["execute"].as_str().unwrap() {
                "qmp_capabilities" => json!({ "return": {} }),
                "query-status" => json!({ "return": { "status": "running" } }),
                _ => json!({ "error": { "class": "CommandNotFound", "desc": "no such thing" } }),
            };
            say = format!("{}\r\n{answer}\r\n", json!({ "event": "RESUME", "data": {} }));
        }
    }

    async fn talk(folder: &Path) {
        let listener = {
            // A relative address, as QEMU is given it: the folder's path may be long.
            let open = File::open(folder).unwrap();
            UnixListener::bind(format!("/proc/self/fd/{}/{QMP}", open.as_raw_fd())).unwrap()
        };
        let server = tokio::spawn(serve(listener));
        let cx = cx();
        let mut qmp = Qmp::connect(folder, &cx).await.unwrap();
        let status = qmp.execute("query-status", json!({})).await.unwrap();
        assert_eq!(status["status"], "running");
        let refused = qmp.execute("nonsense", json!({})).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Driver);
        assert!(refused.to_string().contains("no such thing"));
        drop(qmp);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn commands_are_answered_past_events() {
        talk(tempfile::tempdir().unwrap().path()).await;
    }

    #[tokio::test]
    async fn a_path_longer_than_an_address_works() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&long).unwrap();
        talk(&long).await;
    }

    #[tokio::test]
    async fn nobody_there_is_busy() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx();
        let error = Qmp::connect(dir.path(), &cx).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy);
    }

    #[tokio::test]
    async fn silence_is_busy_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join(QMP)).unwrap();
        let cx = cx().within(Duration::from_millis(100));
        let error = Qmp::connect(dir.path(), &cx).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy);
    }
}
