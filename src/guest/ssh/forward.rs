//! Ports of this host that lead into a guest through the connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::wait::pause_for;
use fleet_driver::{Cx, Error, Level, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::Ssh;

/// How many connections one forwarded port carries at once.
const CONNECTIONS: usize = 64;
/// Before another try when this host cannot accept a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// A forwarding as OpenSSH writes it: `[address:]port:host:port`; an IPv6 address
/// stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// Where this host listens; 127.0.0.1 unless said otherwise.
    pub listen: SocketAddr,
    /// The host to connect to, by a name or address that the guest knows.
    pub host: String,
    /// The port there.
    pub port: u16,
}

impl FromStr for Forwarding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not of the form [ADDRESS:]PORT:HOST:PORT");
        let (rest, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (listen, host) = match rest.strip_suffix(']') {
            Some(open) => open.rsplit_once(":[").ok_or_else(wrong)?,
            None => rest.rsplit_once(':').ok_or_else(wrong)?,
        };
        let listen = match listen.parse::<u16>() {
            Ok(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Err(_) => match listen.strip_prefix("localhost:") {
                Some(port) => {
                    SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().map_err(|_| wrong())?))
                }
                None => listen.parse().map_err(|_| wrong())?,
            },
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { listen, host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }
}

/// An open forwarding; dropping it closes the port.
pub struct Open {
    /// The address that this host listens on.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

pub(super) async fn open(ssh: &Arc<Ssh>, what: &Forwarding, cx: &Cx) -> Result<Open> {
    let taken = |e| {
        Error::host(format!("this host cannot listen on {}", what.listen))
            .because(e)
            .hint("choose another port, or port 0 for any free one")
    };
    let listener = TcpListener::bind(what.listen).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let task = accept(listener, Arc::clone(ssh), what.clone(), cx.clone());
    Ok(Open { address, _task: AbortOnDropHandle::new(tokio::spawn(task)) })
}

async fn accept(listener: TcpListener, ssh: Arc<Ssh>, what: Forwarding, cx: Cx) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // Aborted with this task when the forwarding is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        // A failure to accept is one of this host's limits, and may pass.
        let Ok((stream, peer)) = listener.accept().await else {
            if pause_for(&cx.within(PAUSE), PAUSE).await.is_err() {
                return;
            }
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (ssh, what, cx) = (Arc::clone(&ssh), what.clone(), cx.clone());
        connections.spawn(async move {
            if let Err(error) = carry(&ssh, &what, stream, peer.ip(), peer.port()).await {
                let to = format!("{}:{}", what.host, what.port);
                cx.reporter().note(Level::Warning, format!("No connection to {to}: {error}."));
            }
            drop(permit);
        });
    }
}

async fn carry(
    ssh: &Ssh,
    what: &Forwarding,
    mut stream: TcpStream,
    from: IpAddr,
    from_port: u16,
) -> Result<(), russh::Error> {
    let channel = ssh
        .handle
        .channel_open_direct_tcpip(&what.host, what.port.into(), from.to_string(), from_port.into())
        .await?;
    // Either side may leave without a word; that is between the two of them.
    drop(tokio::io::copy_bidirectional(&mut stream, &mut channel.into_stream()).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwardings_read_as_those_of_openssh() {
        let read = |text: &str| text.parse::<Forwarding>().unwrap();
        let plain = read("8080:localhost:80");
        assert_eq!(plain.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((plain.host.as_str(), plain.port), ("localhost", 80));
        assert_eq!(read("127.0.0.2:1:h:2").listen, "127.0.0.2:1".parse().unwrap());
        assert_eq!(read("localhost:1:h:2").listen, "127.0.0.1:1".parse().unwrap());
        assert_eq!(read("[::1]:1:h:2").listen, "[::1]:1".parse().unwrap());
        assert_eq!(read("1:[fe80::1]:2").host, "fe80::1");
        for wrong in ["", "80", "80:80", "x:h:80", "80::80", "80:h:x", "70000:h:1"] {
            assert!(wrong.parse::<Forwarding>().is_err(), "{wrong}");
        }
    }
}
