//! SSH of a simulated guest: a real server on loopback with the guest's own host key, that
//! lets in the key of its seed and hands commands to the world.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::guest::Phase;
use super::script::Then;

/// Whom a guest lets in, and when that ends.
#[derive(Clone)]
struct Door {
    name: String,
    user: String,
    login: PublicKey,
    cut: CancellationToken,
    shared: Shared,
}

pub async fn serve(listener: TcpListener, name: String, shared: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        let found = shared.now(|state, _| {
            let guest = &state.guests[&name];
            let ready = guest.phase == Phase::Up && !guest.disk.host_key.is_empty();
            ready.then(|| (guest.disk.clone(), guest.cut.clone()))
        });
        let Some((disk, cut)) = found else {
            // As behind a forwarded port of a machine that does not listen.
            drop(stream.set_zero_linger());
            continue;
        };
        let key = PrivateKey::from_openssh(&disk.host_key);
        let (Ok(key), Ok(login)) = (key, PublicKey::from_openssh(&disk.login)) else {
            shared.state().journal.complain(&name, "the keys of its seed are damaged");
            continue;
        };
        let door = Door { name: name.clone(), user: disk.user, login, cut, shared: shared.clone() };
        tokio::spawn(session(stream, key, door));
    }
}

async fn session(mut stream: TcpStream, key: PrivateKey, door: Door) {
    drop(stream.set_nodelay(true));
    let config = Arc::new(server::Config {
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: Some(Duration::from_secs(60)),
        nodelay: true,
        ..server::Config::default()
    });
    // The server works on a pipe, so that the socket itself can be cut.
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let cut = door.cut.clone();
    let handler = Connection { door, channels: HashMap::new() };
    let serving = tokio::spawn(async move {
        if let Ok(session) = server::run_stream(config, near, handler).await {
            drop(session.await);
        }
    });
    tokio::select! {
        () = cut.cancelled() => drop(stream.set_zero_linger()),
        _ = tokio::io::copy_bidirectional(&mut stream, &mut far) => {}
    }
    serving.abort();
}

struct Connection {
    door: Door,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    fn lets_in(&self, user: &str, key: &PublicKey) -> Auth {
        let known = key.key_data() == self.door.login.key_data();
        if known && user == self.door.user { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.lets_in(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.lets_in(user, key.public_key))
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

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        let channel = self.channels.remove(&id).expect("opened before");
        session.channel_success(id)?;
        let (read, write) = channel.split();
        tokio::spawn(run(command, read, write, self.door.clone()));
        Ok(())
    }
}

/// Runs a command; one whose connection ends before its input does never begins, since a
/// shell reads all of a script first.
async fn run(command: String, mut read: ChannelReadHalf, write: ChannelWriteHalf<Msg>, door: Door) {
    let mut input = Vec::new();
    if command.ends_with("sh -s") {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => input.extend_from_slice(&data),
                Some(ChannelMsg::Eof) => break,
                Some(ChannelMsg::Close | ChannelMsg::Signal { .. }) | None => return,
                Some(_) => {}
            }
        }
    }
    let input = String::from_utf8_lossy(&input).into_owned();
    let (shared, name) = (&door.shared, &door.name);
    shared.point().await;
    if door.cut.is_cancelled() {
        return;
    }
    let then = shared.now(|state, now| state.command(name, &command, &input, now));
    let said = match then {
        Then::Ends(said) => said,
        Then::WaitsForEngine => shared.until(|state, _| state.engine_end(name)).await,
    };
    shared.point().await;
    drop(write.data_bytes(said.stdout.into_bytes()).await);
    drop(write.extended_data_bytes(1, said.stderr.into_bytes()).await);
    drop(write.exit_status(said.status).await);
    drop(write.eof().await);
    drop(write.close().await);
}
