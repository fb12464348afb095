//! Files of a guest, over SFTP version 3 as OpenSSH serves it
//! (draft-ietf-secsh-filexfer-02, and PROTOCOL in OpenSSH's sources).

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::{Cx, Error, Result};
use russh_sftp::client::error::Error as Failure;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, FileMode, OpenFlags, Packet, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::{Ssh, bounded};

/// How long the guest may take to start its file server, and to answer a request.
const ANSWER: Duration = Duration::from_secs(60);

/// As much as every server gives and takes at once.
pub const CHUNK: u32 = 32 << 10;

/// The files of a guest, as the account sees them that is logged in.
///
/// Paths that do not begin with `/` count from the account's home.
pub struct Files {
    machine: String,
    session: RawSftpSession,
    // Given back when nobody asks any more.
    _permit: OwnedSemaphorePermit,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something to be read.
    File,
    /// A folder.
    Folder,
    /// A device, a pipe, a link or the like.
    Other,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions, the lowest nine bits.
    pub mode: u32,
}

/// A file that was opened, until it is closed.
#[derive(Debug, Clone)]
pub struct Opened(String);

impl Ssh {
    /// Starts the guest's file server.
    ///
    /// # Errors
    /// `Guest` if the guest has none, `Interrupted`.
    pub async fn files(&self, cx: &Cx) -> Result<Files> {
        let missing = || {
            Error::guest(format!("`{}` serves no files over SSH", self.machine))
                .hint("the subsystem `sftp` of its SSH server is switched off or missing")
        };
        let permit = bounded(cx, cx.left(), Arc::clone(&self.channels).acquire_owned())
            .await?
            .ok_or_else(|| Error::guest("all channels to the guest are busy"))?
            .expect("the semaphore is never closed");
        let start = async {
            let channel = self.handle.channel_open_session().await?;
            channel.request_subsystem(true, "sftp").await?;
            Ok::<_, russh::Error>(channel)
        };
        let channel = bounded(cx, ANSWER, start)
            .await?
            .ok_or_else(missing)?
            .map_err(|error| missing().because(error))?;
        let config = Config { request_timeout_secs: ANSWER.as_secs(), ..Config::default() };
        let session = RawSftpSession::new_with_config(channel.into_stream(), config);
        // A server that refused the subsystem closes the channel, or never says a word.
        bounded(cx, ANSWER, session.init())
            .await?
            .ok_or_else(missing)?
            .map_err(|error| missing().because(error))?;
        Ok(Files { machine: self.machine.clone(), session, _permit: permit })
    }
}

impl Files {
    /// The machine whose files these are.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// What is at a path, links followed; `None` if there is nothing.
    ///
    /// # Errors
    /// `Guest` if the account may not look, or the connection ended.
    pub async fn about(&self, path: &str) -> Result<Option<About>> {
        match self.session.stat(path).await {
            Ok(found) => Ok(Some(about(&found.attrs))),
            Err(error) if is(&error, StatusCode::NoSuchFile) => Ok(None),
            Err(error) => Err(self.wrong("look at", path, error)),
        }
    }

    /// The path without links and dots, from the root.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn real(&self, path: &str) -> Result<String> {
        let found = self.session.realpath(path).await;
        let found = found.map_err(|error| self.wrong("find", path, error))?;
        let first = found.files.into_iter().next();
        first.map(|file| file.filename).ok_or_else(|| {
            Error::guest(format!("`{}` does not say where `{path}` is", self.machine))
        })
    }

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        let wrong = |error| self.wrong("list", path, error);
        let folder = self.session.opendir(path).await.map_err(wrong)?.handle;
        let mut names = Vec::new();
        loop {
            match self.session.readdir(&folder).await {
                Ok(found) => names.extend(found.files.into_iter().map(|file| file.filename)),
                Err(error) if is(&error, StatusCode::Eof) => break,
                Err(error) => return Err(wrong(error)),
            }
        }
        self.session.close(folder).await.map_err(wrong)?;
        // A name is never a way out of the folder, whatever the guest says.
        names.retain(|name| !name.contains('/') && name != "." && name != ".." && !name.is_empty());
        Ok(names)
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn make_folder(&self, path: &str, mode: u32) -> Result<()> {
        let made = self.session.mkdir(path, with_mode(mode)).await;
        made.map(drop).map_err(|error| self.wrong("make the folder", path, error))
    }

    /// Gives a path permissions.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn set_mode(&self, path: &str, mode: u32) -> Result<()> {
        let set = self.session.setstat(path, with_mode(mode)).await;
        set.map(drop).map_err(|error| self.wrong("change", path, error))
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn open(&self, path: &str) -> Result<Opened> {
        let opened = self.session.open(path, OpenFlags::READ, FileAttributes::empty()).await;
        opened.map(|file| Opened(file.handle)).map_err(|error| self.wrong("read", path, error))
    }

    /// Reads at a place, [`CHUNK`] bytes at most; less is only at the end of the file.
    ///
    /// # Errors
    /// `Guest` if it cannot be read or the connection ended.
    pub async fn read(&self, file: &Opened, place: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < CHUNK as usize {
            let (at, left) = (place + bytes.len() as u64, CHUNK - bytes.len() as u32);
            match self.session.read(&file.0, at, left).await {
                Ok(data) if data.data.is_empty() => break,
                Ok(data) if bytes.is_empty() => bytes = data.data,
                Ok(data) => bytes.extend_from_slice(&data.data),
                Err(error) if is(&error, StatusCode::Eof) => break,
                Err(error) => return Err(self.wrong("read", "the file", error)),
            }
        }
        Ok(bytes)
    }

    /// Makes a file that must not be there yet, for the account alone until its mode is
    /// set.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn create(&self, path: &str) -> Result<Opened> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        let opened = self.session.open(path, flags, with_mode(0o600)).await;
        opened.map(|file| Opened(file.handle)).map_err(|error| self.wrong("write", path, error))
    }

    /// Writes at a place, [`CHUNK`] bytes at most.
    ///
    /// # Errors
    /// `Guest` if the disk is full or the connection ended.
    pub async fn write(&self, file: &Opened, place: u64, bytes: Vec<u8>) -> Result<()> {
        let written = self.session.write(&file.0, place, bytes).await;
        written.map(drop).map_err(|error| self.wrong("write", "the file", error))
    }

    /// Gives a file that was written its permissions, flushes it, and closes it.
    ///
    /// # Errors
    /// `Guest` if that fails or the connection ended.
    pub async fn finish(&self, file: Opened, mode: u32) -> Result<()> {
        let wrong = |error| self.wrong("write", "the file", error);
        self.session.fsetstat(&file.0, with_mode(mode)).await.map_err(wrong)?;
        match self.session.fsync(&file.0).await {
            // An extension of OpenSSH; others flush when they like.
            Err(error) if !is(&error, StatusCode::OpUnsupported) => return Err(wrong(error)),
            _ => {}
        }
        self.close(file).await
    }

    /// Closes a file.
    ///
    /// # Errors
    /// `Guest` if the connection ended.
    pub async fn close(&self, file: Opened) -> Result<()> {
        let closed = self.session.close(file.0).await;
        closed.map(drop).map_err(|error| self.wrong("close", "the file", error))
    }

    /// Gives a file another name, in place of what has it.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let wrong = |error| self.wrong("write", to, error);
        // The protocol's own verb fails where a file has the name (section 6.5).
        let mut both = Vec::new();
        for path in [from, to] {
            both.extend((path.len() as u32).to_be_bytes());
            both.extend(path.as_bytes());
        }
        match self.session.extended("posix-rename@openssh.com", both).await {
            Ok(Packet::Status(status)) if status.status_code == StatusCode::Ok => Ok(()),
            Ok(Packet::Status(status)) if status.status_code == StatusCode::OpUnsupported => {
                self.session.rename(from, to).await.map(drop).map_err(wrong)
            }
            Ok(Packet::Status(status)) => Err(wrong(Failure::Status(status))),
            Ok(_) => Err(wrong(Failure::UnexpectedPacket)),
            Err(error) => Err(wrong(error)),
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As [`Files::about`].
    pub async fn remove(&self, path: &str) -> Result<()> {
        let removed = self.session.remove(path).await;
        removed.map(drop).map_err(|error| self.wrong("remove", path, error))
    }

    fn wrong(&self, verb: &str, path: &str, error: Failure) -> Error {
        let about = |error: Error| error.with("machine", &self.machine).with("path", path);
        match error {
            Failure::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => about(Error::not_found(format!(
                    "there is no `{path}` in `{}`",
                    self.machine
                ))),
                StatusCode::PermissionDenied => about(
                    Error::guest(format!("the account in `{}` may not {verb} it", self.machine))
                        .hint("copy it into the account's home, and move it with `fleet ssh NAME sudo mv …`"),
                ),
                _ => about(
                    Error::guest(format!("`{}` could not {verb} it", self.machine))
                        .because(status.error_message)
                        .hint("is there such a folder, and room on its disk?"),
                ),
            },
            Failure::Timeout => about(Error::guest(format!(
                "`{}` gave no answer within {} s",
                self.machine,
                ANSWER.as_secs()
            ))),
            other => {
                about(Error::guest(format!("the connection to `{}` ended", self.machine)))
                    .because(other)
            }
        }
    }
}

fn is(error: &Failure, code: StatusCode) -> bool {
    matches!(error, Failure::Status(status) if status.status_code == code)
}

fn with_mode(mode: u32) -> FileAttributes {
    FileAttributes { permissions: Some(mode & 0o777), ..FileAttributes::empty() }
}

fn about(found: &FileAttributes) -> About {
    const TYPE: u32 = 0o170_000;
    let mode = found.permissions.unwrap_or(0o644);
    let kind = match FileMode::from_bits_retain(mode & TYPE) {
        FileMode::DIR => Kind::Folder,
        FileMode::REG => Kind::File,
        _ => Kind::Other,
    };
    About { kind, size: found.len(), mode: mode & 0o777 }
}
