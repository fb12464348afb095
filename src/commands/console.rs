//! `fleet console`: the serial console of a machine, live.

use fleet_driver::{Error, ErrorKind, Power, Result};
use tokio_util::bytes::Bytes;

use super::{Exit, Failure, Global, Session, logs};
use crate::guest::ssh::Piece;
use crate::guest::terminal::{self, Cleaner, FarOutput, Keys, Near, Parted, Raw, Typed};
use crate::host::Host;

/// How many lines of the log come first.
const BEFORE: usize = 20;

/// Connect to the serial console of a machine
///
/// Shows the last lines of its log, then what comes. `~.` at the start of a line leaves. Without a
/// terminal it only shows, until Ctrl-C or the machine's end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine; can be left out if there is but one
    name: Option<String>,
}

/// Runs `fleet console`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let console = logs::console(&session, &name).await?;
    if session.sighting(&name).await?.power != Power::Running {
        return Err(Failure::Error(Error::conflict(format!("`{name}` is not running")).hint(
            format!("start it: `fleet start {name}`; what it printed before: `fleet logs {name}`"),
        )));
    }
    let (input, output) = socket::connect(&console.socket).await.map_err(|e| {
        Error::host(format!("could not connect to the console of `{name}`"))
            .with("socket", console.socket.display())
            .because(e)
    })?;

    let interactive = host.stdin_is_terminal();
    if interactive && !global.quiet {
        host.err(&format!(
            "Connected to the console of {name}; ~. at the start of a line leaves, \
             Enter shows what waits for you.\n"
        ));
    }
    host.out(&logs::tail(&console.log, BEFORE, &mut logs::cleaner(host))?)?;

    let raw = interactive.then(Raw::enter).transpose()?;
    let near = Near::process(if interactive { Typed::Stdin } else { Typed::Silence })?;
    let keys = if interactive { Keys::Terminal } else { Keys::Pipe };
    // A terminal program, such as an editor, is drawn by what is cleaned away elsewhere.
    let mut output = Shown { output, cleaner: (!interactive).then(|| logs::cleaner(host)) };
    let parted = terminal::join(&input, &mut output, near, keys, host.cancel()).await;
    drop(raw);

    match parted {
        Ok(Parted::Far) => {
            if !global.quiet {
                host.err(&format!("\nThe console has ended: {name} has stopped.\n"));
            }
            Ok(0)
        }
        Ok(Parted::Left) => {
            if !global.quiet {
                host.err(&format!("\nLeft the console of {name}; it goes on running.\n"));
            }
            Ok(0)
        }
        Ok(Parted::BrokenPipe) => Err(Failure::BrokenPipe),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(130),
        Err(error) => Err(error.into()),
    }
}

/// The console's output, cleaned unless it goes to a terminal that it may command.
struct Shown<O> {
    output: O,
    cleaner: Option<Cleaner>,
}

impl<O: FarOutput> FarOutput for Shown<O> {
    async fn next(&mut self) -> Result<Option<Piece>> {
        let piece = self.output.next().await?;
        Ok(match (piece, &mut self.cleaner) {
            (Some(Piece::Stdout(bytes)), Some(cleaner)) => {
                Some(Piece::Stdout(Bytes::from(cleaner.clean(&bytes))))
            }
            (piece, _) => piece,
        })
    }
}

/// Unix sockets, whose addresses are short: 107 bytes on Linux (unix(7)).
mod socket {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use fleet_driver::{Error, Result};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::sync::Mutex;
    use tokio_util::bytes::{Bytes, BytesMut};

    use crate::guest::ssh::Piece;
    use crate::guest::terminal::{FarInput, FarOutput, Size};

    /// The longest path that every Unix takes: 104 bytes with the final zero on macOS.
    const LONGEST: usize = 103;

    pub(super) struct Input(Mutex<OwnedWriteHalf>);
    pub(super) struct Output(OwnedReadHalf);

    /// Connects, by a detour if the path is too long for an address.
    pub(super) async fn connect(path: &Path) -> io::Result<(Input, Output)> {
        let stream = if path.as_os_str().len() <= LONGEST {
            UnixStream::connect(path).await?
        } else {
            let missing = || io::Error::from(io::ErrorKind::InvalidInput);
            let folder = File::open(path.parent().ok_or_else(missing)?)?;
            let name = path.file_name().ok_or_else(missing)?;
            // Linux names the open files of a process there (proc(5)).
            let detour = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
            UnixStream::connect(detour.join(name)).await?
        };
        let (output, input) = stream.into_split();
        Ok((Input(Mutex::new(input)), Output(output)))
    }

    fn lost(error: io::Error) -> Error {
        Error::driver("the connection to the console is lost").because(error)
    }

    impl FarInput for Input {
        async fn send(&self, bytes: Bytes) -> Result<()> {
            self.0.lock().await.write_all(&bytes).await.map_err(lost)
        }

        // A serial line has neither an end nor a size.
        async fn end(&self) -> Result<()> {
            Ok(())
        }

        async fn resize(&self, _: Size) -> Result<()> {
            Ok(())
        }
    }

    impl FarOutput for Output {
        async fn next(&mut self) -> Result<Option<Piece>> {
            let mut bytes = BytesMut::with_capacity(16 << 10);
            match self.0.read_buf(&mut bytes).await {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some(Piece::Stdout(bytes.freeze()))),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(None),
                Err(e) => Err(lost(e)),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use tokio::net::UnixListener;

        use super::*;

        #[tokio::test]
        async fn a_path_too_long_for_an_address_is_reached() {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("x".repeat(120));
            std::fs::create_dir(&folder).unwrap();
            // The listener needs a short path too, through the same detour.
            let open = File::open(&folder).unwrap();
            let short = format!("/proc/self/fd/{}/console.sock", open.as_raw_fd());
            let listener = UnixListener::bind(short).unwrap();
            let (input, mut output) = connect(&folder.join("console.sock")).await.unwrap();
            let (mut guest, _) = listener.accept().await.unwrap();
            guest.write_all(b"login: ").await.unwrap();
            let shown = output.next().await.unwrap();
            assert_eq!(shown, Some(Piece::Stdout(Bytes::from_static(b"login: "))));
            input.send(Bytes::from_static(b"root\r")).await.unwrap();
            let mut typed = [0; 5];
            guest.read_exact(&mut typed).await.unwrap();
            assert_eq!(&typed, b"root\r");
            drop(guest);
            assert_eq!(output.next().await.unwrap(), None);
        }
    }
}
