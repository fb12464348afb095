//! Base images: where they are kept, and how one is downloaded, built or brought in.
//!
//! [`Images`] is the whole interface. `up` asks [`Images::find`], which is instant, and
//! where that has nothing [`Images::ensure`], which takes minutes. Everything that
//! writes holds the image's lock and shows its result whole or not at all.

mod build;
mod catalog;
mod digest;
mod download;
mod inplace;
mod lock;
mod obtain;
mod qemu_img;
mod space;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use fleet_driver::{Cx, Error, ErrorKind, ImageFile, Level, Result};
use serde::Serialize;

pub use self::catalog::DEFAULT;
use self::download::{Downloader, Patience};
pub(crate) use self::space::amount;
use self::store::Store;
pub use self::store::{Entry, Source};
use crate::config::ImageRef;
use crate::host::Host;

/// The base images of this host: below `images` in its cache folder.
pub struct Images {
    host: Host,
    store: Store,
    patience: Patience,
}

/// What to do about an image that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Keep it: there is nothing to do.
    Keep,
    /// Get a new one; machines stay on the old one.
    Renew,
}

/// Whether an operation has made a new image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// It was there.
    Already(Entry),
    /// It is new.
    New(Entry),
}

/// One line of the list of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// What is known of it; `None` if it is damaged or half there.
    pub entry: Option<Entry>,
    /// The disk file.
    pub path: Option<PathBuf>,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// The bytes of older disks, which machines may still be backed by.
    pub older_bytes: u64,
}

/// How a missing image comes.
enum Way {
    Pull,
    Build,
}

impl Images {
    /// The images below the cache folder of this process; looks at nothing yet.
    pub fn open(host: &Host) -> Self {
        let store = Store::new(host.cache_dir().join("images"));
        Self { host: host.clone(), store, patience: Patience::default() }
    }

    /// The image, if it is on this host; instant, since digests are kept beside the
    /// files and compared by size and time of change.
    ///
    /// # Errors
    /// `Host`: what is there cannot be read, or was changed after it was made.
    pub fn find(&self, image: &ImageRef) -> Result<Option<ImageFile>> {
        let name = match image {
            ImageRef::Path(path) => return Ok(inplace::known(&self.store, path)),
            ImageRef::Name(name) => name.clone(),
            ImageRef::Url { digest, .. } => url_name(digest),
        };
        Ok(self.store.entry(&name)?.map(|entry| entry.file(&self.store)))
    }

    /// As [`Images::find`], and looks at a file that is used where it lies if nobody has so
    /// far; nothing is got from anywhere.
    ///
    /// # Errors
    /// As [`Images::find`]; `Interrupted` on Ctrl-C.
    pub async fn look(&self, image: &ImageRef, cx: &Cx) -> Result<Option<ImageFile>> {
        match (self.find(image)?, image) {
            (None, ImageRef::Path(path)) => match inplace::look(&self.store, path, cx).await {
                Err(error) if error.kind() != ErrorKind::Interrupted => Ok(None),
                looked => looked.map(Some),
            },
            (found, _) => Ok(found),
        }
    }

    /// Says what [`Images::ensure`] would do, a fragment such as `build it from the
    /// packages of Debian 12`.
    pub fn how(&self, image: &ImageRef) -> String {
        match image {
            ImageRef::Path(path) => format!("look at {}", path.display()),
            ImageRef::Url { url, .. } => format!("download it from {url}"),
            ImageRef::Name(name) => match (catalog::find(name), self.way()) {
                (Some(d), Way::Build) => format!("build it from the packages of {}", d.title),
                (Some(d), Way::Pull) => format!("pull the official image of {}", d.title),
                (None, _) => format!("nothing: no distribution is known as `{name}`"),
            },
        }
    }

    /// Gets an image that is not there: builds it where this host can, since such an
    /// image has the engine in it and boots quickly, else pulls the official one; says
    /// beforehand which.
    ///
    /// # Errors
    /// `NotFound`: there is no such file or distribution; `Conflict`: a digest differs, or
    /// the image is refused; `Host`, `Driver`: it could not be got, with the commands that
    /// do it by hand.
    pub async fn ensure(&self, image: &ImageRef, cx: &Cx) -> Result<ImageFile> {
        if let Some(file) = self.find(image)? {
            return Ok(file);
        }
        let name = match image {
            ImageRef::Path(path) => return inplace::look(&self.store, path, cx).await,
            ImageRef::Url { url, digest } => {
                let text = format!("The image is not on this host; downloading it from {url}.");
                cx.reporter().note(Level::Info, text);
                let got = self.pull_url(url, digest, cx).await?;
                return Ok(got.entry().file(&self.store));
            }
            ImageRef::Name(name) => name,
        };
        let known = catalog::known(name)?;
        let (doing, got) = match self.way() {
            Way::Build => {
                let text = format!(
                    "The image `{name}` is not on this host; building it from the packages of {}, \
                     which takes some minutes, once.",
                    known.title
                );
                cx.reporter().note(Level::Info, text);
                ("build", self.build(name, Existing::Keep, cx).await)
            }
            Way::Pull => {
                let text = format!(
                    "The image `{name}` is not on this host; pulling the official one of {}, once.",
                    known.title
                );
                cx.reporter().note(Level::Info, text);
                ("pull", self.pull(name, Existing::Keep, cx).await)
            }
        };
        match got {
            Ok(got) => Ok(got.entry().file(&self.store)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                Err(Error::new(error.kind(), format!("could not {doing} the image `{name}`"))
                    .because(error)
                    .hint(format!(
                        "get it where the network is: `fleet image pull {name}`, or \
                         `fleet image build {name}`"
                    )))
            }
        }
    }

    /// Downloads the official image of a distribution, such as `debian-12`.
    ///
    /// # Errors
    /// `NotFound`: no such distribution; `Conflict`: its digest is not the publisher's;
    /// `Driver`: the server cannot be reached; `Host`: too little room.
    pub async fn pull(&self, name: &str, existing: Existing, cx: &Cx) -> Result<Got> {
        let distribution = catalog::known(name)?;
        let _lock = lock::take(&self.store, name, cx).await?;
        if let Some(got) = self.there(name, existing)? {
            return Ok(got);
        }
        let mirror = self.host.var("FLEET_IMAGE_MIRROR");
        let new =
            obtain::official(distribution, mirror, &self.store, &self.downloader()?, cx).await?;
        self.store.admit(new).map(Got::New)
    }

    /// Builds the image of a distribution, such as `debian-12`, from its packages.
    ///
    /// # Errors
    /// `NotFound`: no such distribution; `Host`: programs are missing (all are named), or
    /// too little room; `Driver`: a program fails.
    pub async fn build(&self, name: &str, existing: Existing, cx: &Cx) -> Result<Got> {
        let distribution = catalog::known(name)?;
        let _lock = lock::take(&self.store, name, cx).await?;
        if let Some(got) = self.there(name, existing)? {
            return Ok(got);
        }
        let new = build::build(distribution, &self.host, &self.store, cx).await?;
        let work = self.store.work(name).join("build");
        let entry = self.store.admit(new)?;
        // It is there; what is left over is swept by the next build at the latest.
        drop(store::sweep(&work));
        Ok(Got::New(entry))
    }

    /// Brings in an image from a file or a URL, under a name of one's own.
    ///
    /// # Errors
    /// `Usage`: a bad name; `NotFound`: no such file; `Conflict`: the digest differs, or
    /// the image names other files; `Config`: `digest` is none, or a URL has none.
    pub async fn import(
        &self,
        name: &str,
        from: &str,
        digest: Option<&str>,
        existing: Existing,
        cx: &Cx,
    ) -> Result<Got> {
        check_name(name)?;
        let promise = digest.map(digest::Promise::parse).transpose()?;
        let _lock = lock::take(&self.store, name, cx).await?;
        if let Some(got) = self.there(name, existing)? {
            return Ok(got);
        }
        let new = if from.starts_with("https://") || from.starts_with("http://") {
            let promise = promise.ok_or_else(no_digest)?;
            obtain::url(name, from, promise, &self.store, &self.downloader()?, cx).await?
        } else {
            let path = self.host.cwd().join(from);
            obtain::file(name, &path, promise.as_ref(), &self.store, cx).await?
        };
        let new = store::New { source: Source::Imported { from: from.to_owned() }, ..new };
        let entry = self.store.admit(new)?;
        drop(store::sweep(&self.store.work(name)));
        Ok(Got::New(entry))
    }

    /// All images, by name; damaged ones too.
    ///
    /// # Errors
    /// `Host`: the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let names = self.store.names()?;
        Ok(names.into_iter().map(|name| self.listed(name)).collect())
    }

    /// Whether an image of the store is known to have an engine in it.
    pub fn has_engine(&self, image: &ImageRef) -> bool {
        let ImageRef::Name(name) = image else { return false };
        self.store.entry(name).is_ok_and(|entry| entry.is_some_and(|e| e.engine.is_some()))
    }

    fn listed(&self, name: String) -> Listed {
        let (entry, problem) = match self.store.entry(&name) {
            Ok(Some(entry)) => (Some(entry), None),
            Ok(None) => (None, Some("incomplete".to_owned())),
            Err(error) => (None, Some(error.to_string())),
        };
        let path = entry.as_ref().map(|entry| self.store.disk(entry));
        let disks = self.store.disks(&name);
        let older = disks.iter().filter(|(disk, _)| Some(disk) != path.as_ref());
        let older_bytes = older.map(|(_, bytes)| bytes).sum();
        Listed { name, entry, path, problem, older_bytes }
    }

    /// Removes an image, its older disks included. Machines that are backed by it do not
    /// start any more: the caller asks first.
    ///
    /// # Errors
    /// `NotFound`: there is none of that name; `Host`: a file cannot be removed.
    pub async fn remove(&self, name: &str, cx: &Cx) -> Result<()> {
        self.must_be_there(name)?;
        let _lock = lock::take(&self.store, name, cx).await?;
        self.store.remove(name)
    }

    /// Removes the older disks of an image; gives the bytes that this frees. The same
    /// holds for machines that are backed by them.
    ///
    /// # Errors
    /// As [`Images::remove`].
    pub async fn remove_older(&self, name: &str, cx: &Cx) -> Result<u64> {
        self.must_be_there(name)?;
        let _lock = lock::take(&self.store, name, cx).await?;
        self.store.remove_older(name)
    }

    /// The folder of images.
    pub fn folder(&self) -> &Path {
        self.store.root()
    }

    /// Makes sure that there is something of that name, whole or damaged.
    ///
    /// # Errors
    /// `NotFound`, with the names there are.
    pub fn must_be_there(&self, name: &str) -> Result<()> {
        let names = self.store.names()?;
        if names.iter().any(|known| known == name) {
            return Ok(());
        }
        let error = Error::not_found(format!("there is no image `{name}` on this host"));
        Err(if names.is_empty() {
            error.hint("there are none yet")
        } else {
            error.hint(format!("there are {}", names.join(", ")))
        })
    }

    async fn pull_url(&self, url: &str, digest: &str, cx: &Cx) -> Result<Got> {
        let promise = digest::Promise::parse(digest)?;
        let name = url_name(promise.hex());
        let _lock = lock::take(&self.store, &name, cx).await?;
        if let Some(got) = self.there(&name, Existing::Keep)? {
            return Ok(got);
        }
        let new = obtain::url(&name, url, promise, &self.store, &self.downloader()?, cx).await?;
        let entry = self.store.admit(new)?;
        drop(store::sweep(&self.store.work(&name)));
        Ok(Got::New(entry))
    }

    /// The image, when it is there and is to be kept; called with the lock held, since
    /// another fleet may just have made it. A damaged one is made anew.
    fn there(&self, name: &str, existing: Existing) -> Result<Option<Got>> {
        match existing {
            Existing::Keep => Ok(self.store.entry(name)?.map(Got::Already)),
            Existing::Renew => Ok(None),
        }
    }

    fn way(&self) -> Way {
        match build::possible(&self.host) {
            Ok(()) => Way::Build,
            Err(_) => Way::Pull,
        }
    }

    fn downloader(&self) -> Result<Downloader> {
        Downloader::new(self.patience)
    }
}

impl Got {
    /// What is known of the image.
    pub fn entry(&self) -> &Entry {
        match self {
            Self::Already(entry) | Self::New(entry) => entry,
        }
    }
}

/// The name under which a download of `machines.toml` is kept: its digest's beginning,
/// so that the same image from two places is kept once.
fn url_name(digest: &str) -> String {
    format!("url-{}", &digest[..digest.len().min(16)])
}

fn no_digest() -> Error {
    Error::config("a download needs the digest of its file")
        .hint("give it with `--sha256`; the publisher lists it beside the image")
}

/// Makes sure that a name can be a folder's and stand in `machines.toml`.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
        && ![".qcow2", ".img"].iter().any(|ending| name.ends_with(ending))
    {
        return Ok(());
    }
    Err(Error::usage(format!("`{name}` cannot be the name of an image"))
        .hint("small letters, digits, `-`, `.` and `_`, such as `debian-12`"))
}
