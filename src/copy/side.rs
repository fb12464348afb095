//! One side of a copy: this host's own files, or those of a machine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fleet_driver::{Cx, Error, Result};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Watch;
use crate::guest::ssh::{About, CHUNK, Files, Kind, Opened};

/// How many pieces are on their way at once: a line has a length.
const AHEAD: usize = 32;

/// Where files are.
pub enum Side {
    /// This host; paths count from this folder.
    Here(PathBuf),
    /// A machine.
    There(Files),
}

impl Side {
    /// Whether both are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(_), Self::Here(_)) => true,
            (Self::There(a), Self::There(b)) => a.machine() == b.machine(),
            _ => false,
        }
    }

    /// The error with the side's name.
    pub(super) fn named(&self, error: Error) -> Error {
        match self {
            Self::Here(_) => error,
            Self::There(files) => error.with("machine", files.machine()),
        }
    }

    pub(super) async fn about(&self, path: &str) -> Result<Option<About>> {
        match self {
            Self::There(files) => files.about(path).await,
            Self::Here(cwd) => {
                let place = cwd.join(path);
                match tokio::fs::metadata(&place).await {
                    Ok(found) => Ok(Some(about(&found))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(wrong("look at", &place, error)),
                }
            }
        }
    }

    pub(super) async fn real(&self, path: &str) -> Result<String> {
        match self {
            Self::There(files) => files.real(path).await,
            Self::Here(cwd) => {
                let place = cwd.join(path);
                let real = tokio::fs::canonicalize(&place).await;
                Ok(real.map_err(|e| wrong("find", &place, e))?.display().to_string())
            }
        }
    }

    /// The names in a folder, sorted.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut names = match self {
            Self::There(files) => files.list(path).await?,
            Self::Here(cwd) => {
                let place = cwd.join(path);
                let failed = |error| wrong("list", &place, error);
                let mut folder = tokio::fs::read_dir(&place).await.map_err(failed)?;
                let mut names = Vec::new();
                while let Some(entry) = folder.next_entry().await.map_err(failed)? {
                    names.push(entry.file_name().into_string().map_err(|name| {
                        Error::host("a name is not UTF-8")
                            .with("path", place.join(name).display())
                            .hint("rename it first")
                    })?);
                }
                names
            }
        };
        names.sort();
        Ok(names)
    }

    pub(super) async fn make_folder(&self, path: &str, mode: u32) -> Result<()> {
        match self {
            Self::There(files) => files.make_folder(path, mode).await,
            Self::Here(cwd) => {
                let place = cwd.join(path);
                let made = tokio::fs::create_dir(&place).await;
                made.map_err(|error| wrong("make the folder", &place, error))
            }
        }
    }

    pub(super) async fn set_mode(&self, path: &str, mode: u32) -> Result<()> {
        match self {
            Self::There(files) => files.set_mode(path, mode).await,
            Self::Here(cwd) => {
                let place = cwd.join(path);
                permit(&place, mode).await.map_err(|error| wrong("change", &place, error))
            }
        }
    }
}

/// Copies one file and gives its size in bytes.
pub(super) async fn file(
    from: &Side,
    source: &str,
    to: &Side,
    target: &str,
    about: About,
    watch: &dyn Watch,
    cx: &Cx,
) -> Result<u64> {
    let opened = match from {
        Side::There(files) => Some(files.open(source).await?),
        Side::Here(_) => None,
    };
    let pieces = match (from, &opened) {
        (Side::There(files), Some(file)) => far(files, file, about.size),
        (Side::There(_), None) => stream::empty().boxed(),
        (Side::Here(cwd), _) => near(&cwd.join(source)).await?,
    };
    let pieces = pieces.inspect_ok(|piece| watch.arrived(piece.len() as u64));
    let pieces = pieces.take_until(cx.cancelled().cancelled()).boxed();
    let written = match to {
        Side::There(files) => put(files, target, about.mode, pieces, cx).await,
        Side::Here(cwd) => keep(&cwd.join(target), about.mode, pieces, cx).await,
    };
    if let (Side::There(files), Some(file)) = (from, opened) {
        let closed = files.close(file).await;
        if written.is_ok() {
            closed?;
        }
    }
    written
}

/// A file and how its pieces come.
type Pieces<'a> = BoxStream<'a, Result<Vec<u8>>>;

/// The pieces of a file of this host.
async fn near<'a>(place: &Path) -> Result<Pieces<'a>> {
    let place = place.to_owned();
    let file = tokio::fs::File::open(&place).await.map_err(|e| wrong("read", &place, e))?;
    Ok(stream::try_unfold((file, place), |(mut file, place)| async move {
        let mut piece = Vec::with_capacity(CHUNK as usize);
        let mut limited = (&mut file).take(CHUNK.into());
        limited.read_to_end(&mut piece).await.map_err(|e| wrong("read", &place, e))?;
        Ok((!piece.is_empty()).then_some((piece, (file, place))))
    })
    .boxed())
}

/// The pieces of a file of a machine: many asked for at once as far as its size is known,
/// then one by one until nothing comes, since it may have grown or say 0 as those in
/// `/proc` do.
fn far<'a>(files: &'a Files, file: &'a Opened, size: u64) -> Pieces<'a> {
    let known = (0..size).step_by(CHUNK as usize);
    let behind = size.next_multiple_of(CHUNK.into());
    let ahead = stream::iter(known).map(move |place| files.read(file, place)).buffered(AHEAD);
    let rest = stream::try_unfold(behind, move |place| async move {
        let piece = files.read(file, place).await?;
        let next = place + piece.len() as u64;
        Ok((!piece.is_empty()).then_some((piece, next)))
    });
    let mut ended = false;
    ahead
        .chain(rest)
        // Behind a piece that is short there is nothing, even if there is by now.
        .take_while(move |piece| {
            let before = ended;
            ended |= piece.as_ref().is_ok_and(|piece| piece.len() < CHUNK as usize);
            std::future::ready(!before)
        })
        .boxed()
}

/// Writes a file of this host.
async fn keep(place: &Path, mode: u32, mut pieces: Pieces<'_>, cx: &Cx) -> Result<u64> {
    let failed = |error| wrong("write", place, error);
    let folder = place.parent().filter(|dir| !dir.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    // A link is written through, as by `cp`.
    let real = tokio::fs::canonicalize(place).await.unwrap_or_else(|_| place.to_owned());
    let folder = real.parent().map_or(folder, ToOwned::to_owned);
    let scratch =
        tempfile::Builder::new().prefix(".fleet-").tempfile_in(&folder).map_err(failed)?;
    let (file, scratch) = scratch.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut size = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        file.write_all(&piece).await.map_err(failed)?;
    }
    cx.go_on()?;
    file.flush().await.map_err(failed)?;
    permit(&scratch, mode).await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    drop(file);
    scratch.persist(&real).map_err(|error| failed(error.error))?;
    Ok(size)
}

/// Writes a file of a machine.
async fn put(files: &Files, path: &str, mode: u32, pieces: Pieces<'_>, cx: &Cx) -> Result<u64> {
    /// Tells the scratch files of one process apart.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A link is written through, as by `cp`.
    let real = match files.about(path).await? {
        Some(_) => files.real(path).await?,
        None => path.to_owned(),
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".fleet-{:x}-{number}", std::process::id());
    let scratch = match real.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name,
    };
    let file = match files.create(&scratch).await {
        // Left by a process of the same number that was killed.
        Err(_) if files.about(&scratch).await.is_ok_and(|there| there.is_some()) => {
            files.remove(&scratch).await?;
            files.create(&scratch).await?
        }
        made => made?,
    };
    let written = async {
        let size = fill(files, &file, pieces).await?;
        cx.go_on()?;
        files.finish(file, mode).await?;
        files.rename(&scratch, &real).await?;
        Ok(size)
    };
    let written = written.await;
    if written.is_err() {
        // The error counts, not that there was no cleaning up after it.
        drop(files.remove(&scratch).await);
    }
    written
}

async fn fill(files: &Files, file: &Opened, mut pieces: Pieces<'_>) -> Result<u64> {
    let mut size = 0;
    let mut writes = FuturesUnordered::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let place = size;
        size += piece.len() as u64;
        writes.push(files.write(file, place, piece));
        if writes.len() >= AHEAD {
            writes.try_next().await?;
        }
    }
    while writes.try_next().await?.is_some() {}
    Ok(size)
}

/// The last name of a path; none if it ends in dots, or is the root.
pub(super) fn base(path: &str) -> Option<&str> {
    let last = path.trim_end_matches('/').rsplit('/').next();
    last.filter(|name| !matches!(*name, "" | "." | ".."))
}

/// A name in a folder.
pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}{name}"),
        folder => format!("{folder}/{name}"),
    }
}

fn about(found: &std::fs::Metadata) -> About {
    let kind = if found.is_dir() {
        Kind::Folder
    } else if found.is_file() {
        Kind::File
    } else {
        Kind::Other
    };
    About { kind, size: found.len(), mode: mode(found) }
}

#[cfg(unix)]
fn mode(found: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(found) & 0o777
}

#[cfg(not(unix))]
fn mode(found: &std::fs::Metadata) -> u32 {
    match (found.is_dir(), found.permissions().readonly()) {
        (true, _) => 0o755,
        (false, true) => 0o444,
        (false, false) => 0o644,
    }
}

#[cfg(unix)]
async fn permit(place: &Path, mode: u32) -> io::Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    tokio::fs::set_permissions(place, mode).await
}

#[cfg(not(unix))]
async fn permit(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

fn wrong(verb: &str, place: &Path, error: io::Error) -> Error {
    let not_there = error.kind() == io::ErrorKind::NotFound;
    let made = Error::host(format!("could not {verb} `{}`", place.display())).because(error);
    if not_there { made.hint("is there such a folder?") } else { made }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together_and_taken_apart() {
        for (path, name) in [
            ("a/b", Some("b")),
            ("/a/b//", Some("b")),
            ("b", Some("b")),
            (".", None),
            ("a/..", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(base(path), name, "{path}");
        }
        assert_eq!(join("", "a"), "a");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("b", "a"), "b/a");
    }
}
