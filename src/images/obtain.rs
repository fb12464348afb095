//! Images made elsewhere: downloaded or copied, compared with their digest, looked into
//! and converted, before they are taken in.

use std::path::{Path, PathBuf};

use fleet_driver::{Cx, Error, Level, Result};

use super::catalog::Distribution;
use super::digest::{self, Digests, Promise, of_file};
use super::download::Downloader;
use super::store::{New, Source, Store, fresh_dir, sweep, trouble};
use super::{qemu_img, space};
use crate::state::private_dir;

/// Downloads a distribution's official image and compares it with the publisher's list.
///
/// # Errors
/// As [`url`]; `Conflict` if the list does not name it.
pub(super) async fn official(
    distribution: &Distribution,
    mirror: Option<&str>,
    store: &Store,
    downloader: &Downloader,
    cx: &Cx,
) -> Result<New> {
    let official = &distribution.official;
    let base = mirror.unwrap_or(official.base).trim_end_matches('/');
    let folder = format!("{base}/{}", official.folder);
    let list = downloader.text(&format!("{folder}/{}", official.sums), cx).await?;
    let promise = digest::in_list(&list, official.file)?;
    let from = format!("{folder}/{}", official.file);
    cx.reporter().note(Level::Info, format!("Downloading {from}."));
    let new = url(distribution.name, &from, promise, store, downloader, cx).await?;
    Ok(New { distribution: Some(distribution.title.to_owned()), ..new })
}

/// Downloads an image into the folder of work; the caller holds the image's lock. What
/// an interrupted download has left there is continued.
///
/// # Errors
/// `Conflict`: its digest differs, or it is refused; `NotFound`, `Driver`, `Host`: it
/// cannot be downloaded or converted.
pub(super) async fn url(
    name: &str,
    url: &str,
    promise: Promise,
    store: &Store,
    downloader: &Downloader,
    cx: &Cx,
) -> Result<New> {
    let work = store.work(name).join("pull");
    private_dir(&work)?;
    let file = work.join("download");
    let digests = downloader.file(url, &file, Some(&promise), cx).await?;
    let (disk, sha256, size_mib) = qcow2(&file, digests, &work, cx).await?;
    Ok(New {
        name: name.to_owned(),
        disk,
        sha256,
        size_mib,
        source: Source::Pulled { url: url.to_owned(), digest: promise.hex().to_owned() },
        distribution: None,
        engine: None,
    })
}

/// Copies an image of this host into the folder of work; the caller holds the lock.
///
/// # Errors
/// `NotFound`: there is no such file; `Conflict`: its digest differs, or it is refused.
pub(super) async fn file(
    name: &str,
    from: &Path,
    promise: Option<&Promise>,
    store: &Store,
    cx: &Cx,
) -> Result<New> {
    let found = match std::fs::metadata(from) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return Err(Error::not_found("not a file").with("file", from.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::not_found("there is no such file").with("file", from.display()));
        }
        Err(e) => return Err(trouble("could not look at an image", from, e)),
    };
    // Before anything is copied: it may be refused.
    qemu_img::look(from, cx).await?;
    let work = store.work(name).join("import");
    fresh_dir(&work)?;
    space::need(&work, found.len(), cx).await?;
    let copy = work.join("copy");
    copied(from, &copy).await?;
    // Looked at and compared is the copy, which nobody else can change.
    let taken = async {
        let digests = of_file(&copy, promise, cx).await?;
        if let Some(promise) = promise {
            digests.keep(promise).map_err(|e| e.with("file", from.display()))?;
        }
        qcow2(&copy, digests, &work, cx).await
    };
    match taken.await {
        Ok((disk, sha256, size_mib)) => Ok(New {
            name: name.to_owned(),
            disk,
            sha256,
            size_mib,
            source: Source::Imported { from: from.display().to_string() },
            distribution: None,
            engine: None,
        }),
        Err(error) => {
            drop(sweep(&work));
            Err(error)
        }
    }
}

async fn copied(from: &Path, to: &Path) -> Result<()> {
    let copied = tokio::fs::copy(from, to).await;
    copied.map(drop).map_err(|e| {
        trouble("could not copy an image", from, e)
            .hint("is the disk full? `FLEET_CACHE` names another folder for images")
    })
}

/// Makes sure that an image is a qcow2 that stands alone: path, SHA-256 and size in MiB.
async fn qcow2(
    file: &Path,
    digests: Digests,
    work: &Path,
    cx: &Cx,
) -> Result<(PathBuf, String, u64)> {
    let inside = match qemu_img::look(file, cx).await {
        Ok(inside) => inside,
        Err(error) => {
            // Right by its digest and still refused: no other try will mend it.
            drop(std::fs::remove_file(file));
            return Err(error);
        }
    };
    let size_mib = qemu_img::mib(inside.virtual_bytes);
    if inside.format == "qcow2" {
        return Ok((file.to_owned(), digests.sha256, size_mib));
    }
    cx.reporter()
        .note(Level::Info, format!("Converting the image from {} to qcow2.", inside.format));
    let disk = work.join("disk.qcow2");
    drop(std::fs::remove_file(&disk));
    qemu_img::convert(file, &inside.format, &disk, cx).await?;
    drop(std::fs::remove_file(file));
    let sha256 = of_file(&disk, None, cx).await?.sha256;
    Ok((disk, sha256, size_mib))
}
