//! A command of the server as a child process of this one.

use russh::server::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio_util::task::AbortOnDropHandle;

/// A folder with a `sudo` that changes nothing.
pub(super) fn stand_ins() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let bin = tempfile::tempdir().unwrap();
    let sudo = bin.path().join("sudo");
    std::fs::write(&sudo, "#!/bin/sh\n[ \"$1\" = -n ] || exit 99\nshift\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

/// Runs a child to its end; `None` if the client ended it.
pub(super) async fn converse(
    mut child: Child,
    mut read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> Option<u32> {
    // What comes in is taken at once, however slow the child is: a session of russh's
    // server that waits for one channel's reader hears nothing else any more.
    let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel();
    let _drain = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(message) = read.wait().await {
            if queue.send(message).is_err() {
                break;
            }
        }
    }));
    let mut stdin = child.stdin.take();
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let (mut out, mut err) = (write.make_writer(), write.make_writer_ext(Some(1)));
    let feed = async {
        loop {
            match queued.recv().await {
                Some(ChannelMsg::Data { data }) => {
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&data).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Some(ChannelMsg::Eof) => stdin = None,
                Some(ChannelMsg::Signal { .. } | ChannelMsg::Close) | None => return,
                Some(_) => {}
            }
        }
    };
    let work = async {
        tokio::join!(
            tokio::io::copy(&mut stdout, &mut out),
            tokio::io::copy(&mut stderr, &mut err),
            child.wait()
        )
        .2
    };
    tokio::select! {
        status = work => Some(status.ok()?.code().unwrap_or(255) as u32),
        () = feed => None,
    }
}
