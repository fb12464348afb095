//! A fleet on the fake driver, whose guests are SSH servers in this process: whole
//! commands are run on it, as by a person.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet::host::Host;
use fleet::registry::Registry;
use fleet_driver::fake::{Fake, Verb};

use super::ssh::{Manner, Server};

/// Two machines without an engine, which need no more than SSH.
pub const PLAIN: &str = r#"
[fleet]
name = "lab"
[defaults]
driver = "qemu"
image = "./base.qcow2"
[engine]
install = "none"
[machine.web]
count = 2
"#;

/// A fleet in a folder of its own.
pub struct Scenario {
    dir: tempfile::TempDir,
    pub fake: Fake,
    servers: BTreeMap<String, Server>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Scenario {
    /// A fleet of this file, none of whose machines exists; `names` are its machines.
    pub async fn new(file: &str, names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("machines.toml"), file).unwrap();
        // Nobody boots it, but an image is looked at before it is used.
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "base.qcow2", "16M"])
            .current_dir(dir.path())
            .status();
        assert!(made.unwrap().success(), "qemu-img works");
        let fake = Fake::named("qemu");
        let mut servers = BTreeMap::new();
        let ssh = dir.path().join(".fleet/ssh");
        std::fs::create_dir_all(&ssh).unwrap();
        for name in names {
            let server = Server::start(&[], Manner::Pretends).await;
            fake.endpoints(name, server.address, server.address);
            // As after an interrupted `create`: the key that is already on the disk is
            // the one that the guest gets.
            private(&ssh.join(format!("{name}.hostkey")), server.host_key.private.expose());
            private(&ssh.join("id_ed25519"), server.login.private.expose());
            servers.insert((*name).to_owned(), server);
        }
        Self { dir, fake, servers }
    }

    /// Two plain machines, `web-1` and `web-2`.
    pub async fn plain() -> Self {
        Self::new(PLAIN, &["web-1", "web-2"]).await
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder that stands for the user's data, with the machines in it.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn server(&self, name: &str) -> &Server {
        &self.servers[name]
    }

    /// A process in the fleet's folder.
    pub fn host(&self) -> Host {
        let home = self.dir.path().join("home").display().to_string();
        let data = self.data().display().to_string();
        Host::captured(self.dir.path(), &[("HOME", &home), ("FLEET_DATA", &data)])
            .with_registry(Registry::Only(Arc::new(self.fake.clone())))
    }

    /// Runs a command to its end.
    pub async fn fleet(&self, args: &[&str]) -> Ended {
        self.fleet_on(&self.host(), args).await
    }

    /// Runs a command in a process that the test keeps, to interrupt it.
    pub async fn fleet_on(&self, host: &Host, args: &[&str]) -> Ended {
        let words = std::iter::once("fleet").chain(args.iter().copied()).map(Into::into);
        let code = fleet::cli::main(host.clone(), words).await;
        let (stdout, stderr) = host.printed();
        Ended { code, stdout, stderr }
    }

    /// How often a verb was called on a machine.
    pub fn calls(&self, machine: &str, verb: Verb) -> usize {
        let calls = self.fake.calls();
        calls.iter().filter(|c| c.verb == verb && c.machine.as_deref() == Some(machine)).count()
    }
}

impl Ended {
    /// Fails the test unless the exit code is this one.
    pub fn exits(self, code: u8) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error holds this text.
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }
}

fn private(path: &Path, text: &str) {
    fleet::state::write_atomically(path, text.as_bytes()).unwrap();
}
