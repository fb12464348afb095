//! From an address to a verified, authenticated connection: limits for each stage, and
//! which failures are worth another try.
//!
//! A guest that boots looks strange from outside. QEMU's user network accepts a
//! connection before the guest listens, then keeps silent or resets it. An emulated
//! guest takes seconds to fork sshd and seconds more for a key exchange. So the wait
//! for the first byte is short at first and grows, while the stages after it, which
//! prove that sshd is there, get a long limit: OpenSSH 9.8 and later punishes addresses
//! that connect and leave (`PerSourcePenalties` in sshd_config(5)), and behind a user
//! network all connections come from one address.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_driver::wait::{pause_for, until};
use fleet_driver::{Cx, Error, Result};
use russh::client::{self, AuthResult, DisconnectReason, Handler};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{CHANNELS, Contact, Ssh, Target, bounded};
use crate::guest::keys::{fingerprint, parse_public};

const CONNECT: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(3);
const LONGEST_FIRST_BYTE: Duration = Duration::from_secs(15);
const KEY_EXCHANGE: Duration = Duration::from_secs(60);
const LOGIN: Duration = Duration::from_secs(60);
/// Each refused login costs a source address five seconds of grace in OpenSSH, which
/// ends after fifteen.
const AFTER_REFUSAL: Duration = Duration::from_secs(3);
/// How long a connection that has ended may take to say why.
const FATE: Duration = Duration::from_secs(1);

/// A silent guest is noticed after four of these.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connects once, waiting for a slow guest as long as one ever should.
pub(super) async fn once(target: &Target, contact: Contact, cx: &Cx) -> Result<Ssh> {
    dial(target, contact, LONGEST_FIRST_BYTE, cx).await
}

/// Connects as soon as the guest answers.
pub(super) async fn patiently(target: &Target, contact: Contact, cx: &Cx) -> Result<Ssh> {
    let reason = format!("SSH at {}", target.address);
    let hint = format!(
        "see what the machine says: `fleet logs {0}`, or `fleet console {0}`; \
         it may only need more time, then run the same command again",
        target.machine
    );
    let mut tries = 0;
    until(cx, &reason, &hint, || {
        let patience = (FIRST_BYTE + Duration::from_millis(250) * tries).min(LONGEST_FIRST_BYTE);
        tries += 1;
        dial(target, contact, patience, cx)
    })
    .await
}

async fn dial(target: &Target, contact: Contact, patience: Duration, cx: &Cx) -> Result<Ssh> {
    let about =
        |error: Error| error.with("machine", &target.machine).with("address", target.address);
    let expected = parse_public(&target.host_key).map_err(about)?;
    let login = login_key(target).map_err(about)?;

    let stream = bounded(cx, CONNECT, TcpStream::connect(target.address))
        .await?
        .ok_or_else(|| about(late("connecting", CONNECT)))?
        .map_err(|e| about(unreachable(e)))?;
    // Small messages go back and forth; none of them should wait for another.
    drop(stream.set_nodelay(true));

    // The server speaks first (RFC 4253, section 4.2, which OpenSSH does).
    match bounded(cx, patience, stream.peek(&mut [0])).await? {
        None => return Err(about(late("the greeting", patience))),
        Some(Ok(0)) => return Err(about(Error::busy("the connection was closed at once"))),
        Some(Ok(_)) => {}
        Some(Err(e)) => return Err(about(unreachable(e))),
    }

    let config = Arc::new(config(&expected));
    let fate = Fate::default();
    let handler = Pinned { expected: expected.clone(), fate: fate.clone() };
    let mut handle = bounded(cx, KEY_EXCHANGE, client::connect_stream(config, stream, handler))
        .await?
        .ok_or_else(|| about(late("the key exchange", KEY_EXCHANGE)))?
        .map_err(|trouble| about(refused_handshake(target, &expected, trouble)))?;

    let answer = bounded(cx, LOGIN, handle.authenticate_publickey(&target.user, login))
        .await?
        .ok_or_else(|| about(late("the login", LOGIN)))?;
    if let Ok(AuthResult::Failure { remaining_methods, .. }) = &answer
        && remaining_methods.is_empty()
        && let Ok(fate) = tokio::time::timeout(FATE, &mut handle).await
    {
        // russh calls it a refusal if the connection ends before the answer.
        return Err(about(lost_during_login(fate, russh::Error::Disconnect)));
    }
    match answer {
        Ok(AuthResult::Success) => Ok(Ssh {
            machine: target.machine.clone(),
            root: target.user == "root",
            handle,
            fate,
            channels: Arc::new(Semaphore::new(CHANNELS)),
        }),
        Ok(AuthResult::Failure { .. }) if contact == Contact::First => {
            drop(handle);
            pause_for(cx, AFTER_REFUSAL).await?;
            Err(about(Error::busy(format!("the login of `{}` was refused", target.user))))
        }
        Ok(AuthResult::Failure { .. }) => Err(about(
            Error::guest(format!(
                "`{}` refuses the fleet's key for the account `{}`",
                target.machine, target.user
            ))
            .with("key", fingerprint(&target.key.public)?)
            .hint(format!(
                "the account's ~/.ssh/authorized_keys in the machine must hold \
                 `.fleet/ssh/id_ed25519.pub`; see `fleet logs {}`",
                target.machine
            )),
        )),
        Err(error) => {
            let fate = tokio::time::timeout(FATE, handle).await.unwrap_or(Ok(()));
            Err(about(lost_during_login(fate, error)))
        }
    }
}

/// The error of a connection that ended while logging in; its task knows the cause.
fn lost_during_login(fate: Result<(), Trouble>, error: russh::Error) -> Error {
    let busy = Error::busy("the connection ended during the login");
    match fate {
        Err(Trouble::Ssh(cause)) => busy.because(cause),
        _ => busy.because(error),
    }
}

fn login_key(target: &Target) -> Result<PrivateKeyWithHashAlg> {
    let key = PrivateKey::from_openssh(target.key.private.expose())
        .map_err(|e| Error::conflict("the fleet's SSH key is damaged").because(e))?;
    Ok(PrivateKeyWithHashAlg::new(Arc::new(key), Some(HashAlg::Sha512)))
}

fn config(expected: &PublicKey) -> client::Config {
    client::Config {
        // A server with several host keys must prove the pinned one.
        preferred: Preferred { key: vec![expected.algorithm()].into(), ..Preferred::DEFAULT },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        // Ends the task of a handshake that was given up, and a write that is stuck.
        inactivity_timeout: Some(KEY_EXCHANGE * 2),
        nodelay: true,
        ..client::Config::default()
    }
}

fn late(stage: &str, limit: Duration) -> Error {
    Error::busy(format!("{stage} took longer than {} s", limit.as_secs()))
}

/// A failure of the connection below SSH; a machine that boots has many of them.
fn unreachable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported => {
            Error::host("this host may not connect there").because(error)
        }
        _ => Error::busy("no connection").because(error),
    }
}

fn refused_handshake(target: &Target, expected: &PublicKey, trouble: Trouble) -> Error {
    use russh::Error as E;
    let changed = |offered: &str| {
        Error::conflict(format!("the host key of `{}` has changed", target.machine))
            .with("expected", expected.fingerprint(HashAlg::Sha256))
            .with("offered", offered)
            .hint(format!(
                "nothing was sent there; either something else answers at {}, or the machine's \
                 key was replaced inside it: look with `fleet console {1}`, and if it cannot be \
                 trusted make it again with `fleet down {1}` and `fleet up`",
                target.address, target.machine
            ))
    };
    match trouble {
        Trouble::Changed(offered) => changed(&offered),
        Trouble::Ssh(E::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. }) => {
            changed(&format!("a key of another kind ({})", theirs.join(", ")))
        }
        Trouble::Ssh(E::IO(e)) => unreachable(e),
        // An end without a word, as of an sshd with too many half-open connections.
        Trouble::Ssh(error @ (E::Disconnect | E::HUP | E::InactivityTimeout)) => {
            Error::busy("the connection ended before it was secure").because(error)
        }
        Trouble::Ssh(error @ E::Version) => {
            Error::conflict("what answers there does not speak SSH").because(error).hint(format!(
                "another program may have taken the port {}; see `ss -ltnp`",
                target.address.port()
            ))
        }
        Trouble::Ssh(error) => Error::guest("no secure connection came about").because(error),
    }
}

/// Why a connection ended, told by its task.
#[derive(Clone, Default)]
pub(super) struct Fate(Arc<Mutex<Option<String>>>);

impl Fate {
    /// The error of a connection that ended in the middle of something.
    pub(super) fn broken(&self, machine: &str) -> Error {
        let error = Error::guest(format!("the connection to `{machine}` broke"))
            .with("machine", machine)
            .hint(format!(
                "look whether it still runs: `fleet status {machine}`, `fleet logs {machine}`"
            ));
        match self.0.lock().expect("nobody panics with it").clone() {
            Some(cause) => error.because(cause),
            None => error,
        }
    }

    fn tell(&self, cause: String) {
        self.0.lock().expect("nobody panics with it").get_or_insert(cause);
    }
}

/// Accepts the pinned host key and nothing else.
pub(super) struct Pinned {
    expected: PublicKey,
    fate: Fate,
}

/// What went wrong on a connection.
#[derive(Debug)]
pub(super) enum Trouble {
    Ssh(russh::Error),
    /// The fingerprint of the key that was offered instead of the pinned one.
    Changed(String),
}

impl From<russh::Error> for Trouble {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for Pinned {
    type Error = Trouble;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, Trouble> {
        match offered {
            PublicKeyOrCertificate::PublicKey { key, .. }
                if key.key_data() == self.expected.key_data() =>
            {
                Ok(true)
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                Err(Trouble::Changed(key.fingerprint(HashAlg::Sha256).to_string()))
            }
            PublicKeyOrCertificate::Certificate(_) => {
                Err(Trouble::Changed("a certificate".to_owned()))
            }
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Trouble>) -> Result<(), Trouble> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.fate.tell(format!("the guest said goodbye: {}", info.message));
                Ok(())
            }
            DisconnectReason::Error(trouble) => {
                self.fate.tell(match &trouble {
                    Trouble::Ssh(
                        russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout,
                    ) => "the guest has been silent for a minute".to_owned(),
                    Trouble::Ssh(error) => error.to_string(),
                    Trouble::Changed(offered) => format!("it offered another host key, {offered}"),
                });
                Err(trouble)
            }
        }
    }
}
