//! The bytes of volumes, to and from their host.

use fleet_driver::{Error, Result};
use virt::connect::Connect;
use virt::error::Error as VirtError;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

use super::job::refusal;

/// How much goes at once; libvirt's own messages are no larger.
const CHUNK: usize = 256 << 10;

/// Carries the bytes of volumes.
pub trait Content: Send + Sync {
    /// Writes `length` bytes from `at` on, which `next` gives piece by piece; an error of
    /// `next` ends it.
    ///
    /// # Errors
    /// Those of `next`, and libvirt's as the cause of a `Driver` error.
    fn write(
        &self,
        connect: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        next: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<()>;

    /// Reads at most `length` bytes from `at` on and hands them to `take`; 0 for all.
    ///
    /// # Errors
    /// Those of `take`, and libvirt's as the cause of a `Driver` error.
    fn read(
        &self,
        connect: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()>;
}

/// By libvirt's streams.
pub(super) struct Streams;

fn failed(what: &str, error: VirtError) -> Error {
    let text = error.message().to_lowercase();
    let message = format!("libvirt could not {what}");
    // The same bytes may go over a new connection.
    let lost = refusal(&error).lost_connection();
    let ours = if lost { Error::busy(message) } else { Error::driver(message) };
    let ours = if text.contains("no space left") {
        ours.hint("the storage is full: free some space on the host, or use another `pool`")
    } else {
        ours
    };
    ours.because(error)
}

impl Content for Streams {
    fn write(
        &self,
        connect: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        next: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let what = "write to the volume";
        let stream = Stream::new(connect, 0).map_err(|e| failed(what, e))?;
        volume.upload(&stream, at, length, 0).map_err(|e| failed(what, e))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let got = match next(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) => {
                    drop(stream.abort());
                    return Err(error);
                }
            };
            let mut left = &buffer[..got];
            while !left.is_empty() {
                match stream.send(left) {
                    Ok(sent) if sent > 0 => left = &left[sent as usize..],
                    Ok(_) => return Err(Error::driver("libvirt took no more bytes")),
                    Err(e) => {
                        drop(stream.abort());
                        return Err(failed(what, e));
                    }
                }
            }
        }
        stream.finish().map_err(|e| failed(what, e))
    }

    fn read(
        &self,
        connect: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let what = "read the volume";
        let stream = Stream::new(connect, 0).map_err(|e| failed(what, e))?;
        volume.download(&stream, at, length, 0).map_err(|e| failed(what, e))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let got = match stream.recv(&mut buffer) {
                Ok(0) => break,
                Ok(got) if got > 0 => got as usize,
                Ok(_) => break,
                Err(e) => {
                    drop(stream.abort());
                    return Err(failed(what, e));
                }
            };
            if let Err(error) = take(&buffer[..got]) {
                drop(stream.abort());
                return Err(error);
            }
        }
        stream.finish().map_err(|e| failed(what, e))
    }
}
