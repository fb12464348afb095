//! An SSH server in this process, that really runs commands and misbehaves on demand.
//!
//! It listens on loopback only, knows one login key, and ends with its value. `sudo -n`
//! is a stand-in that runs the command as it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use fleet::guest::keys::KeyPair;
use fleet::guest::ssh::Target;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{Channel, ChannelId, ChannelMsg, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

mod child;
mod files;

use child::{converse, stand_ins};

/// How a connection goes before any command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// As it should.
    Proper,
    /// It is accepted, and nothing more comes.
    Silence,
    /// It is closed at once.
    Close,
    /// Something that is not SSH.
    Garbage,
    /// The login is refused.
    Refusal,
}

/// How a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It runs.
    Runs,
    /// It prints a little and then the connection is reset.
    Reset,
    /// It ends by a signal.
    Signal,
    /// It ends, but something goes on holding its output.
    Lingers,
    /// Nothing runs, and all is said to have gone well: for scripts that would change
    /// this computer.
    Pretends,
}

/// What the server has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Connections accepted.
    pub(crate) connections: usize,
    /// Keys offered for a login.
    pub(crate) logins: usize,
    /// Commands, as they came.
    pub(crate) commands: Vec<String>,
    /// Commands that were ended by the client.
    pub(crate) killed: usize,
    /// Commands that run now.
    pub(crate) running: usize,
    /// The most commands that ran at once.
    pub(crate) most: usize,
    /// Terminals asked for: kind, columns and rows.
    pub(crate) terminals: Vec<(String, u32, u32)>,
}

/// The key that opens all servers, as one fleet's does.
static LOGIN: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate("login").unwrap());

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) host_key: KeyPair,
    pub(crate) login: KeyPair,
    seen: Arc<Mutex<Seen>>,
    cut: CancellationToken,
    _accepts: AbortOnDropHandle<()>,
    /// The home of the account, whose files are served.
    home: tempfile::TempDir,
    _bin: tempfile::TempDir,
}

impl Server {
    /// A server whose first connections go as in `greetings`, and all others properly.
    pub(crate) async fn start(greetings: &[Greeting], manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (host_key, login) = (KeyPair::generate("host").unwrap(), LOGIN.clone());
        let bin = stand_ins();
        let home = tempfile::tempdir().unwrap();
        let shared = Shared {
            config: Arc::new(server::Config {
                keys: vec![PrivateKey::from_openssh(host_key.private.expose()).unwrap()],
                auth_rejection_time: Duration::ZERO,
                inactivity_timeout: Some(Duration::from_secs(60)),
                ..server::Config::default()
            }),
            seen: Arc::default(),
            cut: CancellationToken::new(),
            login: PublicKey::from_openssh(&login.public).unwrap(),
            manner,
            path: bin.path().to_owned(),
            home: home.path().to_owned(),
        };
        let (seen, cut) = (Arc::clone(&shared.seen), shared.cut.clone());
        let accepts = tokio::spawn(accept(listener, greetings.to_vec(), shared));
        let accepts = AbortOnDropHandle::new(accepts);
        Self { address, host_key, login, seen, cut, _accepts: accepts, home, _bin: bin }
    }

    pub(crate) async fn proper() -> Self {
        Self::start(&[], Manner::Runs).await
    }

    /// A target that fits the server.
    pub(crate) fn target(&self) -> Target {
        Target {
            machine: "host1".to_owned(),
            address: self.address,
            user: "fleet".to_owned(),
            host_key: self.host_key.public.clone(),
            key: self.login.clone(),
        }
    }

    /// A path in the home of the account.
    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

#[derive(Clone)]
struct Shared {
    config: Arc<server::Config>,
    seen: Arc<Mutex<Seen>>,
    cut: CancellationToken,
    login: PublicKey,
    manner: Manner,
    path: PathBuf,
    home: PathBuf,
}

async fn accept(listener: TcpListener, greetings: Vec<Greeting>, shared: Shared) {
    let mut greetings = greetings.into_iter();
    while let Ok((stream, _)) = listener.accept().await {
        let greeting = greetings.next().unwrap_or(Greeting::Proper);
        shared.seen.lock().unwrap().connections += 1;
        tokio::spawn(serve(stream, greeting, shared.clone()));
    }
}

async fn serve(mut stream: TcpStream, greeting: Greeting, shared: Shared) {
    match greeting {
        Greeting::Close => {}
        Greeting::Silence => shared.cut.cancelled().await,
        Greeting::Garbage => {
            let lines = "HTTP/1.1 400 Bad Request\r\n".repeat(30);
            drop(stream.write_all(lines.as_bytes()).await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
        Greeting::Proper | Greeting::Refusal => {
            let refuses = greeting == Greeting::Refusal;
            // The server works on a pipe, so that the socket itself can be cut.
            let (near, mut far) = tokio::io::duplex(64 << 10);
            let cut = shared.cut.clone();
            let handler = Connection { shared, refuses, channels: HashMap::new() };
            let config = Arc::clone(&handler.shared.config);
            let session = tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, near, handler).await {
                    drop(session.await);
                }
            });
            tokio::select! {
                () = cut.cancelled() => drop(stream.set_zero_linger()),
                _ = tokio::io::copy_bidirectional(&mut stream, &mut far) => {}
            }
            session.abort();
        }
    }
}

struct Connection {
    shared: Shared,
    refuses: bool,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.shared.seen.lock().unwrap().logins += 1;
        let known = offer.public_key.key_data() == self.shared.login.key_data();
        Ok(if known && user == "fleet" && !self.refuses { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        key: server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = key.public_key.key_data() == self.shared.login.key_data();
        Ok(if known && !self.refuses { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        assert_eq!(host, "127.0.0.1", "tests stay on loopback");
        if let Ok(mut stream) = TcpStream::connect((host, port as u16)).await {
            reply.accept().await;
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut stream, &mut channel.into_stream()).await);
            });
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.shared.seen.lock().unwrap().terminals.push((term.to_owned(), columns, rows));
        session.channel_success(channel)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.exec_request(channel, b"sh", session).await
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.channels.remove(&id).expect("opened before");
        if name != "sftp" {
            return session.channel_failure(id);
        }
        session.channel_success(id)?;
        let files = files::Files::new(self.shared.home.clone());
        russh_sftp::server::run(channel.into_stream(), files).await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        self.shared.seen.lock().unwrap().commands.push(command.clone());
        let channel = self.channels.remove(&id).expect("opened before");
        session.channel_success(id)?;
        tokio::spawn(run(channel, command, self.shared.clone(), session.handle()));
        Ok(())
    }
}

async fn run(channel: Channel<Msg>, command: String, shared: Shared, handle: server::Handle) {
    let id = channel.id();
    let (mut read, write) = channel.split();
    match shared.manner {
        Manner::Runs | Manner::Lingers | Manner::Pretends => {}
        Manner::Reset => {
            drop(write.data_bytes(b"begun\n".to_vec()).await);
            // The client has read it once it answers, by the end of its own input.
            while let Some(message) = read.wait().await {
                if matches!(message, ChannelMsg::Eof) {
                    break;
                }
            }
            shared.cut.cancel();
            return;
        }
        Manner::Signal => {
            _ = handle
                .exit_signal_request(id, Sig::TERM, false, String::new(), String::new())
                .await;
            drop(write.close().await);
            return;
        }
    }
    let pretended = shared.manner == Manner::Pretends;
    let command = if pretended { "cat > /dev/null".to_owned() } else { command };
    let search = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("sh")
        .args(["-c", &command])
        .env("PATH", format!("{}:{search}", shared.path.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("sh is there");
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.running += 1;
        seen.most = seen.most.max(seen.running);
    }
    let outcome = converse(child, read, &write).await;
    let mut killed = false;
    match outcome {
        Some(status) => {
            drop(write.exit_status(status).await);
            if shared.manner == Manner::Lingers {
                shared.cut.cancelled().await;
            }
            drop(write.eof().await);
        }
        None => killed = true,
    }
    drop(write.close().await);
    let mut seen = shared.seen.lock().unwrap();
    seen.running -= 1;
    seen.killed += usize::from(killed);
}
