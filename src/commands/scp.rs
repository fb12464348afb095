//! `fleet scp`: copies files between this computer and machines.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_driver::{Cx, Error};
use serde_json::json;

use super::{Exit, Failure, Global, Session, ssh};
use crate::copy::{Depth, Place, Side, copy};
use crate::guest::ssh::{Contact, Ssh};
use crate::host::Host;
use crate::report::Copying;

/// How long a machine that runs may take to answer, such as while it boots.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a copy may take: no limit of ours.
const COPY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Copy files between this computer and machines
///
/// A path in a machine is NAME:PATH or USER@NAME:PATH, and counts from the home of the
/// account. A path without a colon, or behind `localhost:`, is here. A file appears when
/// all of it has arrived; permissions are kept, links followed. From machine to machine
/// nothing is kept here.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Copy folders with all that is in them
    #[arg(long, short)]
    recursive: bool,
    /// What to copy, and where to as the last
    #[arg(value_name = "PATH", required = true, num_args = 2..)]
    paths: Vec<String>,
}

/// A path as it is written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// The account and the machine; none on this host.
    pub(super) machine: Option<(Option<String>, String)>,
    /// The path there.
    pub(super) path: String,
}

impl Spot {
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        // As OpenSSH's `scp`: behind a slash, a colon belongs to the path.
        let split = text.split_once(':').filter(|(before, _)| !before.contains('/'));
        let Some((before, path)) = split else {
            return Ok(Self { machine: None, path: text.to_owned() });
        };
        let (user, name) = match before.split_once('@') {
            Some((user, name)) => (Some(user.to_owned()), name),
            None => (None, before),
        };
        if name.is_empty() || user.as_deref() == Some("") {
            return Err(Error::usage(format!("`{text}` names no machine"))
                .hint("write NAME:PATH; a path here with a colon in it is `./a:b`"));
        }
        let home = |path: &str| path.strip_prefix("~/").unwrap_or(path).to_owned();
        let path = match path {
            "" | "~" | "~/" => ".".to_owned(),
            path => home(path),
        };
        if name == "localhost" {
            return Ok(Self { machine: None, path });
        }
        Ok(Self { machine: Some((user, name.to_owned())), path })
    }
}

/// Runs `fleet scp`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut spots = Vec::new();
    for path in &args.paths {
        spots.push(Spot::read(path)?);
    }
    let session = Session::open(host, global)?;
    let cx = session.cx().within(COPY);
    let mut sides = Sides { connections: Vec::new(), sides: BTreeMap::new() };
    for spot in &spots {
        sides.open(spot, &session, &cx).await?;
    }
    let mut places = Vec::new();
    for spot in &spots {
        places.push(sides.place(spot)?);
    }
    let to = places.pop().ok_or_else(|| Error::bug("there are two paths at least"))?;
    let depth = if args.recursive { Depth::Folders } else { Depth::Files };
    let watch = Copying::new(host, global);
    let copied = Box::pin(copy(&places, &to, depth, &watch, &cx)).await?;
    drop((places, to));
    sides.close().await;
    if global.json {
        let value = json!({
            "v": 1, "files": copied.files, "bytes": copied.bytes, "left_out": copied.left_out,
        });
        super::print_json(host, &value)?;
    }
    Ok(u8::from(copied.left_out > 0))
}

/// This host, and each machine that takes part once, with what is open to it.
struct Sides {
    connections: Vec<Ssh>,
    sides: BTreeMap<Option<(Option<String>, String)>, Side>,
}

impl Sides {
    async fn open(&mut self, spot: &Spot, session: &Session, cx: &Cx) -> Result<(), Failure> {
        if self.sides.contains_key(&spot.machine) {
            return Ok(());
        }
        let side = match &spot.machine {
            None => Side::Here(session.host.cwd().to_owned()),
            Some((user, name)) => {
                let mut target = ssh::target(session, name).await?;
                if let Some(user) = user {
                    target.user.clone_from(user);
                }
                let ssh = Ssh::wait_for(&target, Contact::Known, &cx.within(PATIENCE)).await?;
                let files = ssh.files(cx).await?;
                self.connections.push(ssh);
                Side::There(files)
            }
        };
        self.sides.insert(spot.machine.clone(), side);
        Ok(())
    }

    fn place(&self, spot: &Spot) -> Result<Place<'_>, Error> {
        let side = self.sides.get(&spot.machine);
        let side = side.ok_or_else(|| Error::bug("a side was not opened"))?;
        Ok(Place { side, path: spot.path.clone() })
    }

    async fn close(self) {
        drop(self.sides);
        for ssh in self.connections {
            ssh.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_where_it_is() {
        let read = |text: &str| Spot::read(text).unwrap();
        let there = |user: Option<&str>, name: &str, path: &str| Spot {
            machine: Some((user.map(ToOwned::to_owned), name.to_owned())),
            path: path.to_owned(),
        };
        assert_eq!(read("web-1:/etc/hosts"), there(None, "web-1", "/etc/hosts"));
        assert_eq!(read("me@web-1:a:b"), there(Some("me"), "web-1", "a:b"));
        assert_eq!(read("web-1:"), there(None, "web-1", "."));
        assert_eq!(read("web-1:~/x"), there(None, "web-1", "x"));
        for (text, path) in
            [("a/b", "a/b"), ("./a:b", "./a:b"), ("localhost:/x", "/x"), ("localhost:", ".")]
        {
            assert_eq!(read(text), Spot { machine: None, path: path.to_owned() }, "{text}");
        }
        assert!(Spot::read(":x").is_err());
        assert!(Spot::read("@web:x").is_err());
    }
}
