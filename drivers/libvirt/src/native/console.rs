//! The serial console: its log is brought here, and a socket here leads to it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use fleet_driver::{Console, Error, MachineId, Power, Result};
use virt::stream::Stream;

use super::disks::Pool;
use super::find::{self, Here};
use super::job::Job;
use super::power;
use crate::names;

/// The longest path that every Unix takes: 104 bytes with the final zero on macOS.
const LONGEST: usize = 103;

/// Makes the console reachable.
pub(super) fn open(job: &Job, id: &MachineId) -> Result<Option<Console>> {
    let here = match find::find(job, id)? {
        find::Found::Here(here) => here,
        _ => return Ok(None),
    };
    let folder = job.cx.make_scratch(id)?;
    let (log, socket) = (folder.join("console.log"), folder.join("console.sock"));
    fetch(job, id, &here, &log)?;
    if power::of(&here.link, &here.domain)? == Power::Running && !here.link.pretends() {
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

/// Makes the socket, whose one guest is the console. The stream is opened at once, so that
/// a console which somebody else has is an error now.
fn serve(here: &Here, socket: &Path) -> Result<()> {
    let what = "open the console";
    let stream = here.link.ok(what, Stream::new(&here.link.connect, 0))?;
    if let Err(e) = here.domain.open_console(None, &stream, 0) {
        let text = e.message().to_lowercase();
        let error = here.link.error(what, &e);
        return Err(if text.contains("active console session") {
            error.hint("somebody else has this console: leave it there first")
        } else {
            error
        });
    }
    let listener = listen(socket).map_err(|e| {
        Error::host("could not make the console's socket")
            .with("socket", socket.display())
            .because(e)
    })?;
    let stream = Arc::new(stream);
    // Threads of their own, since libvirt's streams block; they end with the guest, with
    // whoever connects, or with the program.
    thread::spawn(move || {
        let Ok((near, _)) = listener.accept() else { return };
        let Ok(typed) = near.try_clone() else { return };
        let back = stream.clone();
        thread::spawn(move || type_in(typed, &back));
        show(near, &stream);
    });
    Ok(())
}

fn type_in(mut near: UnixStream, stream: &Stream) {
    let mut buffer = [0; 4096];
    while let Ok(got) = near.read(&mut buffer) {
        if got == 0 || stream.send(&buffer[..got]).is_err() {
            return;
        }
    }
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
