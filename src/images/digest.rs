//! Digests: of files, of downloads as they pass, and as publishers list them.

use std::io::Read;
use std::path::{Path, PathBuf};

use fleet_driver::event::{EventKind, StepId, Unit};
use fleet_driver::{Cx, Error, Result};
use sha2::{Digest, Sha256, Sha512};

use super::store::trouble;

/// A digest that a file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    /// SHA-256 in lower-case hex.
    Sha256(String),
    /// SHA-512 in lower-case hex.
    Sha512(String),
}

impl Promise {
    /// Reads a digest in hex; its length tells which it is.
    ///
    /// # Errors
    /// `Config`: it is neither a SHA-256 nor a SHA-512.
    pub(super) fn parse(hex: &str) -> Result<Self> {
        let hex = hex.trim().to_ascii_lowercase();
        match hex.len() {
            _ if !hex.chars().all(|c| c.is_ascii_hexdigit()) => {}
            64 => return Ok(Self::Sha256(hex)),
            128 => return Ok(Self::Sha512(hex)),
            _ => {}
        }
        Err(Error::config("not a digest: it takes 64 (SHA-256) or 128 (SHA-512) hex digits")
            .with("digest", hex)
            .hint("the publisher lists it beside the image, often as SHA256SUMS"))
    }

    /// Its hex digits.
    pub(super) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }
}

/// Both digests of one stream of bytes.
#[derive(Default, Clone)]
pub(super) struct Hasher {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Hasher {
    /// A hasher that can answer `promise`, and always gives the SHA-256.
    pub(super) fn new(promise: Option<&Promise>) -> Self {
        let sha512 = matches!(promise, Some(Promise::Sha512(_))).then(Sha512::default);
        Self { sha256: Sha256::default(), sha512 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The digests of all that passed.
    pub(super) fn finish(self) -> Digests {
        Digests {
            sha256: hex(&self.sha256.finalize()),
            sha512: self.sha512.map(|sha512| hex(&sha512.finalize())),
        }
    }
}

/// The digests of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) sha256: String,
    sha512: Option<String>,
}

impl Digests {
    /// Whether they are what was promised.
    ///
    /// # Errors
    /// `Conflict`, with both digests.
    pub(super) fn keep(&self, promise: &Promise) -> Result<()> {
        let found = match promise {
            Promise::Sha256(_) => Some(&self.sha256),
            Promise::Sha512(_) => self.sha512.as_ref(),
        };
        if found.map(String::as_str) == Some(promise.hex()) {
            return Ok(());
        }
        Err(Error::conflict("the image is not what its publisher promised: the digests differ")
            .with("expected", promise.hex())
            .with("found", found.map_or("", String::as_str)))
    }
}

/// The digests of a file; reports how far it is, and ends early on Ctrl-C.
///
/// # Errors
/// `Host`: the file cannot be read.
pub(super) async fn of_file(path: &Path, promise: Option<&Promise>, cx: &Cx) -> Result<Digests> {
    let (path, mut hasher): (PathBuf, _) = (path.to_owned(), Hasher::new(promise));
    let work = cx.clone();
    let task = tokio::task::spawn_blocking(move || {
        let unreadable = |e| trouble("could not read an image", &path, e);
        let mut file = std::fs::File::open(&path).map_err(unreadable)?;
        let total = file.metadata().map_err(unreadable)?.len();
        let (mut buffer, mut done, mut told) = (vec![0; 1 << 20], 0_u64, 0);
        loop {
            work.go_on()?;
            let count = file.read(&mut buffer).map_err(unreadable)?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..count]);
            done += count as u64;
            if done - told >= 32 << 20 || done == total {
                told = done;
                advanced(&work, done, Some(total));
            }
        }
    });
    task.await.map_err(|e| Error::bug("hashing an image failed").because(e))?
}

/// Reports bytes done of the step that gets an image.
pub(super) fn advanced(cx: &Cx, done: u64, total: Option<u64>) {
    cx.report(EventKind::StepAdvanced { step: StepId::Image, done, total, unit: Unit::Bytes });
}

/// The digest of `file` in a list that `sha256sum` or `sha512sum` wrote: lines of
/// digest, space, ` ` or `*`, name; the name may have a folder before it.
///
/// # Errors
/// `Conflict`: the list does not name the file, or its digest is not one.
pub(super) fn in_list(list: &str, file: &str) -> Result<Promise> {
    let line = list.lines().find_map(|line| {
        let (digest, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*');
        (name.rsplit('/').next() == Some(file)).then_some(digest)
    });
    let digest = line.ok_or_else(|| {
        Error::conflict("the publisher's list of digests does not name the image")
            .with("file", file)
    })?;
    Promise::parse(digest).map_err(|e| {
        Error::conflict("the publisher's list of digests is damaged").with("file", file).because(e)
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
