//! Joining two ends, both of them fakes.

use std::sync::{Arc, Mutex};

use super::*;

#[derive(Default)]
struct Far {
    sent: Mutex<Vec<u8>>,
    ended: CancellationToken,
}

impl FarInput for Far {
    async fn send(&self, bytes: Bytes) -> Result<()> {
        self.sent.lock().unwrap().extend_from_slice(&bytes);
        Ok(())
    }
    async fn end(&self) -> Result<()> {
        self.ended.cancel();
        Ok(())
    }
    async fn resize(&self, _: Size) -> Result<()> {
        Ok(())
    }
}

/// Prints its pieces once the near input has ended, or at once; then ends, or hangs.
struct Prints {
    after: Option<CancellationToken>,
    pieces: Vec<Piece>,
    hangs: bool,
}

impl FarOutput for Prints {
    async fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(after) = &self.after {
            after.cancelled().await;
        }
        match self.pieces.pop() {
            Some(piece) => Ok(Some(piece)),
            None if self.hangs => std::future::pending().await,
            None => Ok(None),
        }
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn near(typed: &[&'static str], out: impl io::Write + Send + 'static) -> (Near, Kept) {
    let err = Kept::default();
    let (keys, input) = mpsc::channel(typed.len().max(1));
    for text in typed {
        keys.try_send(Bytes::from_static(text.as_bytes())).unwrap();
    }
    let near =
        Near { input, out: Writer::new(out).unwrap(), err: Writer::new(err.clone()).unwrap() };
    (near, err)
}

#[tokio::test]
async fn bytes_pass_both_ways_unchanged_and_the_end_is_passed_on() {
    let far = Far::default();
    let out = Kept::default();
    let (near, err) = near(&["~.\0", "\u{ff}x"], out.clone());
    let mut prints = Prints {
        after: Some(far.ended.clone()),
        pieces: vec![
            Piece::Stderr(Bytes::from_static(b"oops\xff")),
            Piece::Stdout(Bytes::from_static(b"\0\xfe\r\n")),
        ],
        hangs: false,
    };
    let cancel = CancellationToken::new();
    let parted = join(&far, &mut prints, near, Keys::Pipe, &cancel).await.unwrap();
    assert_eq!(parted, Parted::Far);
    assert_eq!(*far.sent.lock().unwrap(), "~.\0\u{ff}x".as_bytes());
    assert_eq!(*out.0.lock().unwrap(), b"\0\xfe\r\n");
    assert_eq!(*err.0.lock().unwrap(), b"oops\xff");
}

#[tokio::test]
async fn a_terminal_can_be_left() {
    let far = Far::default();
    let out = Kept::default();
    let (near, _) = near(&["ls\r", "~?", "~.never"], out.clone());
    let mut prints = Prints { after: None, pieces: vec![], hangs: true };
    let cancel = CancellationToken::new();
    let parted = join(&far, &mut prints, near, Keys::Terminal, &cancel).await.unwrap();
    assert_eq!(parted, Parted::Left);
    assert_eq!(*far.sent.lock().unwrap(), b"ls\r");
    assert_eq!(*out.0.lock().unwrap(), escape::HELP);
}

#[tokio::test]
async fn ctrl_c_parts_and_so_does_a_broken_pipe() {
    let cancel = CancellationToken::new();
    let (still, _) = near(&[], Kept::default());
    let mut prints = Prints { after: None, pieces: vec![], hangs: true };
    cancel.cancel();
    let error = join(&Far::default(), &mut prints, still, Keys::Pipe, &cancel).await.unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Interrupted);

    let (closed, _) = near(&[], Broken);
    let pieces = vec![Piece::Stdout(Bytes::from_static(b"x")); 100];
    let mut prints = Prints { after: None, pieces, hangs: true };
    let cancel = CancellationToken::new();
    let parted = join(&Far::default(), &mut prints, closed, Keys::Pipe, &cancel).await.unwrap();
    assert_eq!(parted, Parted::BrokenPipe);
}
