//! Images that are used where they lie: looked at once, and then known by path, size
//! and time of change.

use std::path::{Path, PathBuf};

use fleet_driver::{Cx, Error, ImageFile, Result};
use serde::{Deserialize, Serialize};

use super::digest::{Hasher, of_file};
use super::qemu_img;
use super::store::{Store, modified, trouble};
use crate::state::{private_dir, write_atomically};

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Known {
    path: PathBuf,
    bytes: u64,
    modified: u128,
    sha256: String,
    size_mib: u64,
}

/// The image, if it was looked at before and is the same file still.
pub(super) fn known(store: &Store, path: &Path) -> Option<ImageFile> {
    let known: Known = serde_json::from_slice(&std::fs::read(note(store, path)).ok()?).ok()?;
    let found = std::fs::metadata(path).ok()?;
    let same =
        known.path == path && known.bytes == found.len() && known.modified == modified(&found);
    same.then_some(ImageFile { path: known.path, sha256: known.sha256, size_mib: known.size_mib })
}

/// Looks at an image: whether it may be used as it is, and its digest.
///
/// # Errors
/// `NotFound`: there is no such file; `Conflict`: it is no qcow2 or names other files.
pub(super) async fn look(store: &Store, path: &Path, cx: &Cx) -> Result<ImageFile> {
    let found = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return Err(absent("is not a file", path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(absent("does not exist", path));
        }
        Err(e) => return Err(trouble("could not look at an image", path, e)),
    };
    let inside = qemu_img::look(path, cx).await?;
    if inside.format != "qcow2" {
        return Err(Error::conflict(format!("the image is {}, not qcow2", inside.format))
            .with("file", path.display())
            .hint(format!(
                "bring it in under a name, which converts it: `fleet image import NAME {}`",
                fleet_driver::text::sh(&path.to_string_lossy())
            )));
    }
    let digests = of_file(path, None, cx).await?;
    let known = Known {
        path: path.to_owned(),
        bytes: found.len(),
        modified: modified(&found),
        sha256: digests.sha256.clone(),
        size_mib: qemu_img::mib(inside.virtual_bytes),
    };
    private_dir(&store.digests())?;
    let json = serde_json::to_vec(&known)
        .map_err(|e| Error::bug("a digest cannot be written as JSON").because(e))?;
    write_atomically(&note(store, path), &json)?;
    Ok(ImageFile { path: known.path, sha256: known.sha256, size_mib: known.size_mib })
}

fn absent(how: &str, path: &Path) -> Error {
    Error::not_found(format!("the image {how}")).with("file", path.display())
}

/// Where what is known of a path is kept: a name that any path has.
fn note(store: &Store, path: &Path) -> PathBuf {
    let mut hasher = Hasher::new(None);
    hasher.update(path.as_os_str().as_encoded_bytes());
    store.digests().join(format!("{}.json", hasher.finish().sha256))
}
