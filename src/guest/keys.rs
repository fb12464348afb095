//! SSH key pairs: made by fleet, kept where only the user can read them, and
//! written out for the user's own OpenSSH.
//!
//! Login keys and the guests' host keys are the same kind of thing: ed25519 in
//! OpenSSH's own formats (`PROTOCOL.key` in OpenSSH's sources).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, Result, Secret, fault};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};

use crate::state::{UNFINISHED, write_atomically};

const REPAIR: &str = "put the right key back; without it the machines made with it cannot be \
                      reached, and must be made again: `fleet down` and `fleet up`";

/// An ed25519 key pair.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The public half: one line, such as `ssh-ed25519 AAAA… fleet`.
    pub public: String,
    /// The private half, in OpenSSH's PEM.
    pub private: Secret<String>,
}

impl KeyPair {
    /// Makes a new pair; `comment` is what people see at the end of the public line.
    ///
    /// # Errors
    /// `Bug`: the library cannot write what it has made.
    pub fn generate(comment: &str) -> Result<Self> {
        let bug = |e| Error::bug("an SSH key cannot be made").because(e);
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .map_err(bug)?;
        key.set_comment(comment);
        Self::of(&key).map_err(bug)
    }

    fn of(key: &PrivateKey) -> Result<Self, russh::keys::ssh_key::Error> {
        Ok(Self {
            public: key.public_key().to_openssh()?,
            private: Secret::new(key.to_openssh(LineEnding::LF)?.to_string()),
        })
    }

    /// Loads the pair from `path` and `path.pub`, or makes and keeps a new one.
    ///
    /// The private file is 0600 from its first byte and its folder 0700; wider modes,
    /// such as after a restored backup, are narrowed. A lost public file is written
    /// again.
    ///
    /// # Errors
    /// `Host` if the files cannot be read or written, `Conflict` if the file is not an
    /// unencrypted ed25519 key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        let dir = folder(path);
        private_folder(dir).map_err(|e| cannot("make", dir, e))?;
        let pair = match load(path)? {
            Some(pair) => pair,
            None => create(path)?,
        };
        let line = format!("{}\n", pair.public);
        let beside = public_path(path);
        if fs::read_to_string(&beside).ok().as_deref() != Some(line.as_str()) {
            write_atomically(&beside, line.as_bytes())?;
        }
        Ok(pair)
    }

    /// Loads a pair that was made before.
    ///
    /// # Errors
    /// As [`KeyPair::load_or_create`], and `NotFound` if it is not there.
    pub fn load(path: &Path) -> Result<Self> {
        load(path)?.ok_or_else(|| {
            Error::not_found("the SSH key is lost").with("path", path.display()).hint(REPAIR)
        })
    }

    /// The fingerprint of the pair, such as `SHA256:47DEQ…`.
    ///
    /// # Errors
    /// As [`fingerprint`].
    pub fn fingerprint(&self) -> Result<String> {
        fingerprint(&self.public)
    }
}

/// The fingerprint of a public key's line, as `ssh-keygen -l` shows it.
///
/// # Errors
/// `Conflict` if the line is not a public key.
pub fn fingerprint(public: &str) -> Result<String> {
    Ok(parse_public(public)?.fingerprint(HashAlg::Sha256).to_string())
}

/// Reads a public key's line.
///
/// # Errors
/// `Conflict` if it is none.
pub(crate) fn parse_public(line: &str) -> Result<PublicKey> {
    PublicKey::from_openssh(line.trim())
        .map_err(|e| Error::conflict("a recorded public key is damaged").because(e))
}

/// One machine in the user's OpenSSH configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEntry {
    /// The machine's name, by which `ssh` will know it.
    pub name: String,
    /// Where its SSH port is reached.
    pub address: SocketAddr,
    /// The account to log in to.
    pub user: String,
    /// The public line of its host key.
    pub host_key: String,
}

/// Writes `known_hosts` and `config` into `dir`, beside the key `id_ed25519`, so that
/// `ssh -F <dir>/config NAME`, scp, rsync and Ansible work, with the pinned host keys.
///
/// Format: ssh_config(5) and sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Each file is
/// replaced as a whole.
///
/// # Errors
/// `Host` if a file cannot be written or the path of `dir` cannot be named in such a
/// file, `Conflict` if a host key is damaged.
pub fn write_client_config(dir: &Path, entries: &[ClientEntry]) -> Result<()> {
    private_folder(dir).map_err(|e| cannot("make", dir, e))?;
    let dir = std::path::absolute(dir).map_err(|e| cannot("find", dir, e))?;
    let mut known = String::new();
    for entry in entries {
        let mut key = parse_public(&entry.host_key)?;
        key.set_comment("");
        let line = key
            .to_openssh()
            .map_err(|e| Error::bug("a public key cannot be written").because(e))?;
        // Writing to a string cannot fail.
        _ = writeln!(known, "{} {}", entry.name, line.trim_end());
    }
    write_atomically(&dir.join("known_hosts"), known.as_bytes())?;
    write_atomically(&dir.join("config"), client_config(&dir, entries)?.as_bytes())
}

fn client_config(dir: &Path, entries: &[ClientEntry]) -> Result<String> {
    let mut text = format!(
        "# Written by fleet; changes are lost. Use: ssh -F {} NAME\n",
        fleet_driver::text::sh(&dir.join("config").to_string_lossy())
    );
    for entry in entries {
        _ = write!(
            text,
            "\nHost {name}\n    HostName {ip}\n    Port {port}\n    User {user}\n    HostKeyAlias {name}\n",
            name = entry.name,
            ip = entry.address.ip(),
            port = entry.address.port(),
            user = entry.user,
        );
    }
    if !entries.is_empty() {
        let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        _ = write!(
            text,
            "\nHost {names}\n    IdentityFile {key}\n    IdentitiesOnly yes\n    \
             UserKnownHostsFile {known}\n    GlobalKnownHostsFile /dev/null\n    \
             StrictHostKeyChecking yes\n    UpdateHostKeys no\n    \
             PasswordAuthentication no\n    KbdInteractiveAuthentication no\n    \
             ServerAliveInterval 15\n    LogLevel ERROR\n",
            names = names.join(" "),
            key = config_path(&dir.join("id_ed25519"))?,
            known = config_path(&dir.join("known_hosts"))?,
        );
    }
    Ok(text)
}

/// Quotes a path for ssh_config(5), where `%` and `${` begin what OpenSSH replaces.
fn config_path(path: &Path) -> Result<String> {
    let unusable = || {
        Error::host("the path of the fleet cannot be written into an OpenSSH configuration")
            .with("path", path.display())
            .hint("move the folder to a path without line breaks and `${`")
    };
    let text = path.to_str().ok_or_else(unusable)?;
    if text.contains("${") || text.contains(char::is_control) {
        return Err(unusable());
    }
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%")))
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn load(path: &Path) -> Result<Option<KeyPair>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("read", path, e)),
    };
    narrow(path).map_err(|e| cannot("protect", path, e))?;
    let damaged = |error: Error| error.with("path", path.display()).hint(REPAIR);
    let key = PrivateKey::from_openssh(&text)
        .map_err(|e| damaged(Error::conflict("the SSH key is damaged").because(e)))?;
    if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
        return Err(damaged(Error::conflict(
            "the SSH key is not an ed25519 key without a passphrase",
        )));
    }
    let pair = KeyPair::of(&key).map_err(|e| Error::bug("a key cannot be written").because(e))?;
    Ok(Some(pair))
}

/// Makes the key under a temporary name and links it into place, so that two runs at
/// once end with the same key.
fn create(path: &Path) -> Result<KeyPair> {
    let pair = KeyPair::generate("fleet")?;
    let file =
        temporary(path, pair.private.expose().as_bytes()).map_err(|e| cannot("write", path, e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fault::point("before-key", &name)?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            sync_folder(path).map_err(|e| cannot("write", path, e))?;
            Ok(pair)
        }
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
            load(path)?.ok_or_else(|| cannot("read", path, e.error))
        }
        Err(e) => Err(cannot("write", path, e.error)),
    }
}

/// Writes and flushes a temporary file beside `path`; `tempfile` makes it 0600.
fn temporary(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(unix)]
fn private_folder(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(unix)]
fn narrow(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

// Elsewhere the folders of a user are private by inheritance, and folders cannot be
// flushed.
#[cfg(not(unix))]
fn private_folder(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(not(unix))]
fn narrow(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    Error::host(format!("could not {what} `{}`", path.display())).because(error)
}

#[cfg(test)]
mod tests;
