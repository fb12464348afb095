//! Files and folders from one place to another: this host, or a machine.
//!
//! A file arrives whole or not at all: it is written under another name beside its place
//! and renamed when all of it is there. What goes from machine to machine passes through
//! this process, piece by piece, and is on no disk of the host.

mod glob;
mod side;

use std::collections::BTreeSet;

use fleet_driver::{Cx, Error, Result};
use futures::future::BoxFuture;

pub use self::side::Side;
use self::side::{base, join};
use crate::guest::ssh::{About, Kind};

/// A side, and a path there.
pub struct Place<'a> {
    /// Where the path is.
    pub side: &'a Side,
    /// The path; on this host it is absolute or counts from the working directory, in a
    /// machine from the home of the account.
    pub path: String,
}

/// Whether folders are copied too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A folder is an error.
    Files,
    /// A folder is copied with all that is in it.
    Folders,
}

/// Is told how a copy goes on.
pub trait Watch: Send + Sync {
    /// A file of so many bytes begins.
    fn begins(&self, name: &str, size: u64);
    /// So many bytes of it have arrived.
    fn arrived(&self, bytes: u64);
    /// It is all there.
    fn ends(&self);
    /// Something was left out, and why.
    fn left_out(&self, name: &str, why: &str);
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many files and folders were left out.
    pub left_out: u64,
}

/// Copies files, and folders where `depth` allows it.
///
/// One source becomes what the target names, or lands in it if it is a folder; several
/// need a folder. Links are followed.
///
/// # Errors
/// `NotFound` for a source that is not there; `Usage` for a folder that may not be copied,
/// or several sources without a folder to take them; `Guest` and `Host` for what cannot be
/// read or written.
pub async fn copy(
    from: &[Place<'_>],
    to: &Place<'_>,
    depth: Depth,
    watch: &dyn Watch,
    cx: &Cx,
) -> Result<Copied> {
    let from = sources(from).await?;
    let there = to.side.about(&to.path).await?;
    let folder = there.is_some_and(|about| about.kind == Kind::Folder);
    if !folder && (from.len() > 1 || to.path.ends_with('/')) {
        let error = Error::usage(format!("`{}` is no folder", to.path));
        return Err(to.side.named(error).hint("make it first, or name one that is there"));
    }
    let mut copied = Copied::default();
    for (source, about) in &from {
        let about = *about;
        let target = match base(&source.path) {
            Some(name) if folder => join(&to.path, name),
            _ => to.path.clone(),
        };
        if about.kind == Kind::Folder && depth == Depth::Files {
            let error = Error::usage(format!("`{}` is a folder", source.path));
            return Err(source.side.named(error).hint("copy it with all that is in it: `-r`"));
        }
        if about.kind == Kind::Folder && source.side.is(to.side) {
            not_into_itself(source, &target).await?;
        }
        let mut walk = Walk {
            from: source.side,
            to: to.side,
            watch,
            cx,
            above: BTreeSet::new(),
            copied: &mut copied,
        };
        walk.any(&source.path, &target, about).await?;
    }
    Ok(copied)
}

/// What is there of the sources, patterns filled in where nothing has their very name.
async fn sources<'a>(from: &[Place<'a>]) -> Result<Vec<(Place<'a>, About)>> {
    let mut found = Vec::new();
    for Place { side, path } in from {
        let mut paths = vec![path.clone()];
        if glob::is_one(path) && side.about(path).await?.is_none() {
            paths = glob::expand(side, path).await?;
        }
        let before = found.len();
        for path in paths {
            if let Some(about) = side.about(&path).await? {
                found.push((Place { side, path }, about));
            }
        }
        if found.len() == before {
            return Err(side.named(Error::not_found(format!("there is no `{path}`"))));
        }
    }
    Ok(found)
}

/// What is copied into itself would never end.
async fn not_into_itself(source: &Place<'_>, target: &str) -> Result<()> {
    let above = match target.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/",
        Some((above, _)) => above,
        None => ".",
    };
    let outer = source.side.real(&source.path).await?;
    let inner = source.side.real(above).await?;
    if inner == outer || inner.starts_with(&format!("{}/", outer.trim_end_matches('/'))) {
        let error = Error::usage(format!("`{}` would be copied into itself", source.path));
        return Err(source.side.named(error));
    }
    Ok(())
}

struct Walk<'a> {
    from: &'a Side,
    to: &'a Side,
    watch: &'a dyn Watch,
    cx: &'a Cx,
    /// The folders that the walk is in, by their real paths: a link may lead back to one.
    above: BTreeSet<String>,
    copied: &'a mut Copied,
}

impl Walk<'_> {
    fn any<'b>(
        &'b mut self,
        from: &'b str,
        to: &'b str,
        about: About,
    ) -> BoxFuture<'b, Result<()>> {
        Box::pin(async move {
            self.cx.go_on()?;
            match about.kind {
                Kind::File => self.file(from, to, about).await,
                Kind::Folder => self.folder(from, to, about).await,
                Kind::Other => {
                    self.leave_out(from, "it is neither a file nor a folder");
                    Ok(())
                }
            }
        })
    }

    fn leave_out(&mut self, path: &str, why: &str) {
        self.copied.left_out += 1;
        self.watch.left_out(path, why);
    }

    async fn folder(&mut self, from: &str, to: &str, about: About) -> Result<()> {
        let real = self.from.real(from).await?;
        if !self.above.insert(real.clone()) {
            self.leave_out(from, "it leads back to a folder above it");
            return Ok(());
        }
        let names = self.from.list(from).await?;
        match self.to.about(to).await? {
            Some(found) if found.kind == Kind::Folder => {}
            Some(_) => {
                let error = Error::conflict(format!("`{to}` is there, and is no folder"));
                return Err(self.to.named(error));
            }
            // Nothing could be put into a folder that may not be written to.
            None => self.to.make_folder(to, about.mode | 0o700).await?,
        }
        for name in names {
            let (from, to) = (join(from, &name), join(to, &name));
            match self.from.about(&from).await? {
                Some(about) => self.any(&from, &to, about).await?,
                None => self.leave_out(&from, "it is a link to nothing"),
            }
        }
        if about.mode & 0o700 != 0o700 {
            self.to.set_mode(to, about.mode).await?;
        }
        self.above.remove(&real);
        Ok(())
    }

    async fn file(&mut self, from: &str, to: &str, about: About) -> Result<()> {
        if self.from.is(self.to) && self.same(from, to).await? {
            let error = Error::usage(format!("`{from}` would be copied onto itself"));
            return Err(self.from.named(error));
        }
        self.watch.begins(base(from).unwrap_or(from), about.size);
        let bytes = side::file(self.from, from, self.to, to, about, self.watch, self.cx).await?;
        self.watch.ends();
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }

    async fn same(&self, from: &str, to: &str) -> Result<bool> {
        if self.to.about(to).await?.is_none() {
            return Ok(false);
        }
        Ok(self.from.real(from).await? == self.to.real(to).await?)
    }
}
