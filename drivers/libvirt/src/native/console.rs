//! The serial console: its log is brought here, and a socket here leads to it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use fleet_driver::{Console, Error, MachineId, Power, Result};
use virt::domain::Domain;
use virt::stream::Stream;

use super::disks::Pool;
use super::find::{self, Here};
use super::job::{Job, Link};
use super::power;
use crate::names;

/// The longest path that every Unix takes: 104 bytes with the final zero on macOS.
const LONGEST: usize = 103;

/// Makes the console reachable.
pub(super) fn open(job: &Job, id: &MachineId) -> Result<Option<Console>> {
    let find::Found::Here(here) = find::find(job, id)? else { return Ok(None) };
    let folder = job.cx.make_scratch(id)?;
    let (log, socket) = (folder.join("console.log"), folder.join("console.sock"));
    fetch(job, id, &here, &log)?;
    if power::of(&here.link, &here.domain)? == Power::Running {
        serve(&here, &socket)?;
    }
    Ok(Some(Console { socket, log }))
}

/// Brings the log here.
fn fetch(job: &Job, id: &MachineId, here: &Here, log: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::host("could not write the console's log").with("file", log.display()).because(e)
    };
    let fresh = log.with_extension("log.new");
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(failed)?;
    let pool = Pool::open(&here.link, &here.record.pool)?;
    pool.refresh(job)?;
    if let Some(volume) = pool.volume(&names::log(id))? {
        job.content().read(&here.link.connect, &volume, 0, 0, &mut |bytes| {
            job.go_on()?;
            file.write_all(bytes).map_err(failed)
        })?;
    }
    fs::rename(&fresh, log).map_err(failed)
}

/// The sockets that this process serves.
static SERVED: LazyLock<Mutex<BTreeSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Makes the socket. The console is opened when somebody connects, and not before: it has
/// one user at a time, and whoever only reads the log is none.
fn serve(here: &Here, socket: &Path) -> Result<()> {
    let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    if served.contains(socket) && socket.exists() {
        return Ok(());
    }
    let listener = listen(socket).map_err(|e| {
        Error::host("could not make the console's socket")
            .with("socket", socket.display())
            .because(e)
    })?;
    served.insert(socket.to_owned());
    let (link, domain) = (here.link.clone(), here.domain.clone());
    // Threads of their own, since libvirt's streams block; they end with the program.
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            relay(&link, &domain, near);
        }
    });
    Ok(())
}

/// Joins whoever has connected with the console; an error is told there.
fn relay(link: &Link, domain: &Domain, mut near: UnixStream) {
    let opened = Stream::new(&link.connect, 0)
        .and_then(|stream| domain.open_console(None, &stream, 0).map(|()| stream));
    let stream = match opened {
        Ok(stream) => Arc::new(stream),
        Err(e) => {
            let why = if e.message().contains("Active console session") {
                "somebody else has this console: leave it there first"
            } else {
                e.message()
            };
            drop(near.write_all(format!("the console cannot be opened: {why}\r\n").as_bytes()));
            return;
        }
    };
    if let Ok(typed) = near.try_clone() {
        let back = stream.clone();
        thread::spawn(move || type_in(typed, &back));
        show(near, &stream);
    }
}

fn type_in(mut near: UnixStream, stream: &Stream) {
    let mut buffer = [0; 4096];
    while let Ok(got) = near.read(&mut buffer) {
        if got == 0 || stream.send(&buffer[..got]).is_err() {
            break;
        }
    }
    // Whoever was connected has left, which ends the other direction too.
    drop(stream.clone().abort());
}

fn show(mut near: UnixStream, stream: &Stream) {
    let mut buffer = [0; 16384];
    while let Ok(got) = stream.recv(&mut buffer) {
        if got <= 0 || near.write_all(&buffer[..got as usize]).is_err() {
            break;
        }
    }
    drop(near.shutdown(std::net::Shutdown::Both));
}

/// Listens, by a detour if the path is too long for an address.
fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    drop(fs::remove_file(socket));
    if socket.as_os_str().len() <= LONGEST {
        return UnixListener::bind(socket);
    }
    let missing = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let folder = File::open(socket.parent().ok_or_else(missing)?)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    UnixListener::bind(short.join(socket.file_name().ok_or_else(missing)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_listened_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x".repeat(120));
        fs::create_dir(&folder).unwrap();
        let socket = folder.join("console.sock");
        drop(listen(&socket).unwrap());
        assert!(listen(&socket).is_ok());
        assert!(socket.exists());
    }
}
