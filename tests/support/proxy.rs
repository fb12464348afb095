//! A fault on the way: a proxy on loopback between fleet and a guest's port, whose first
//! connections go wrong as ordered and all others properly.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::sim::nap;

/// How a connection goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing listens for so long; whoever comes meanwhile is not counted.
    Refused(Duration),
    /// It is reset after so many bytes from the guest.
    Reset(usize),
    /// It is accepted, and nothing more comes.
    Silence,
    /// Something comes that is neither SSH nor TLS.
    Garbage,
    /// So many bytes pass each way, then it waits for so long, and so on.
    Slow(usize, Duration),
    /// It is accepted and closed.
    CloseAtOnce,
    /// It goes as it should.
    Proper,
}

/// More connections than these at once are a loop that has gone wild.
const MOST: usize = 64;
/// Nothing in here lasts longer.
const LONGEST: Duration = Duration::from_secs(60);

/// A running proxy; it ends when dropped.
pub struct Proxy {
    /// Where it listens; register it in place of the guest's own address.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    to: SocketAddr,
    faults: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Fault>>,
    ordered: Notify,
    places: Semaphore,
}

impl Proxy {
    /// A proxy to `to` whose first connections go as in `faults`, one each.
    pub fn start(to: SocketAddr, faults: &[Fault]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let socket = bound(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            faults: Mutex::new(faults.iter().copied().collect()),
            seen: Mutex::default(),
            ordered: Notify::new(),
            places: Semaphore::new(MOST),
        });
        runtime.spawn(serve(socket, address, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Orders more faults, for the next connections.
    pub fn order(&self, faults: &[Fault]) {
        locked(&self.shared.faults).extend(faults);
        self.shared.ordered.notify_one();
    }

    /// How each connection went so far.
    pub fn seen(&self) -> Vec<Fault> {
        locked(&self.shared.seen).clone()
    }

    /// How many faults are still to come.
    pub fn left(&self) -> usize {
        locked(&self.shared.faults).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that has the port but does not listen: whoever connects is refused.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn serve(socket: TcpSocket, address: SocketAddr, shared: Arc<Shared>) {
    let mut silent = Some(socket);
    let mut listening: Option<TcpListener> = None;
    loop {
        let next = locked(&shared.faults).front().copied();
        if let Some(Fault::Refused(time)) = next {
            if listening.take().is_some() {
                silent = Some(bound(address));
            }
            nap(time.min(LONGEST)).await;
            locked(&shared.faults).pop_front();
            continue;
        }
        if let Some(socket) = silent.take() {
            listening = Some(socket.listen(64).unwrap());
        }
        let listener = listening.as_ref().expect("one of the two is there");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.ordered.notified() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let fault = locked(&shared.faults).pop_front().unwrap_or(Fault::Proper);
        locked(&shared.seen).push(fault);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Ok(_place) = shared.places.try_acquire() {
                drop(tokio::time::timeout(LONGEST, connection(stream, fault, shared.to)).await);
            }
        });
    }
}

async fn connection(mut stream: TcpStream, fault: Fault, to: SocketAddr) {
    drop(stream.set_nodelay(true));
    let (most, pause) = match fault {
        Fault::CloseAtOnce | Fault::Refused(_) => return,
        Fault::Silence => {
            // Until the other side gives up.
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
            return;
        }
        Fault::Garbage => {
            let lines = "HTTP/1.1 400 Bad Request\r\n".repeat(30);
            drop(stream.write_all(lines.as_bytes()).await);
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
            return;
        }
        Fault::Reset(0) => {
            drop(stream.set_zero_linger());
            return;
        }
        Fault::Slow(bytes, pause) => (bytes.max(1), pause),
        Fault::Reset(_) | Fault::Proper => (16 << 10, Duration::ZERO),
    };
    let left = match fault {
        Fault::Reset(bytes) => bytes,
        _ => usize::MAX,
    };
    let Ok(guest) = TcpStream::connect(to).await else {
        drop(stream.set_zero_linger());
        return;
    };
    drop(guest.set_nodelay(true));
    let (near_read, near_write) = stream.into_split();
    let (far_read, far_write) = guest.into_split();
    let up = carry(near_read, far_write, most, pause, usize::MAX);
    let down = carry(far_read, near_write, most, pause, left);
    tokio::pin!(up, down);
    // A reset ends both ways at once; an ordinary end lets the other way finish.
    tokio::select! {
        end = &mut down => if end == End::Whole { up.await; },
        _ = &mut up => { down.await; }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    CutOff,
}

/// Carries bytes one way, at most `left` of them; resets the side that it writes to where
/// that was not enough.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    most: usize,
    pause: Duration,
    mut left: usize,
) -> End {
    let mut buffer = vec![0; most];
    while let Ok(read) = from.read(&mut buffer).await
        && read > 0
    {
        let passes = read.min(left);
        if to.write_all(&buffer[..passes]).await.is_err() {
            break;
        }
        left -= passes;
        if left == 0 {
            drop(to.as_ref().set_zero_linger());
            to.forget();
            return End::CutOff;
        }
        if !pause.is_zero() {
            nap(pause).await;
        }
    }
    drop(to.shutdown().await);
    End::Whole
}
