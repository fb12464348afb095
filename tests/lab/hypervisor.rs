//! A libvirtd of the test's own: in a network and a mount namespace that nothing else is
//! in, so that its networks disturb nobody and nobody disturbs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::pause;

/// A libvirtd that runs, with a pool `default` and nothing else.
pub struct Libvirtd {
    child: Child,
    folder: tempfile::TempDir,
    listens: bool,
}

/// All that libvirt knows of: kind, then names.
pub type Inventory = BTreeMap<&'static str, Vec<String>>;

/// Whether a libvirtd of one's own can run here, which takes root; says why not.
pub fn missing() -> Option<String> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !root {
        return Some("a libvirtd of one's own needs root: run `sudo make test-lab`".to_owned());
    }
    let program = |name: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
        found.is_ok_and(|out| out.status.success())
    };
    let absent = ["libvirtd", "virtlogd", "virsh", "dnsmasq", "ip", "unshare", "nsenter"]
        .into_iter()
        .find(|name| !program(name));
    absent.map(|name| format!("`{name}` is not installed: `make setup-test` sees to it"))
}

impl Libvirtd {
    pub fn start() -> Self {
        Self::on(None)
    }

    /// With a bridge `br0` that has this address, on which it listens for TCP too.
    pub fn listening(address: &str) -> Self {
        Self::on(Some(address))
    }

    fn on(address: Option<&str>) -> Self {
        let folder =
            tempfile::Builder::new().prefix("fleet-libvirtd-").tempdir().expect("a folder");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/private-libvirtd");
        let mut child = Command::new(script)
            .arg(folder.path())
            .args(address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script is there");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it prints text");
        let libvirtd = Self { child, folder, listens: address.is_some() };
        assert_eq!(line, "ready\n", "{}", libvirtd.log());
        libvirtd
    }

    /// The words before a command that let it run beside this libvirtd.
    pub fn enter(&self) -> Vec<String> {
        let pid = self.child.id().to_string();
        ["nsenter", "-t", &pid, "-m", "-n"].map(str::to_owned).to_vec()
    }

    /// Links the bridges `br0` of two hosts.
    pub fn link(&self, other: &Self) {
        let (here, there) = (self.child.id().to_string(), other.child.id().to_string());
        self.run(&["ip", "link", "add", "cable", "type", "veth", "peer", "name", "plug"]);
        self.run(&["ip", "link", "set", "plug", "netns", &there]);
        self.run(&["ip", "link", "set", "cable", "master", "br0", "up"]);
        other.run(&["ip", "link", "set", "plug", "master", "br0", "up"]);
        assert_ne!(here, there);
    }

    /// Runs a command beside it to a successful end; gives what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        let (code, out, err) = self.try_run(words);
        assert_eq!(code, Some(0), "`{}`: {err}", words.join(" "));
        out
    }

    fn try_run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let enter = self.enter();
        let out = Command::new(&enter[0])
            .args(&enter[1..])
            .arg("timeout")
            .arg("60")
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter is there");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (out.status.code(), text(out.stdout), text(out.stderr))
    }

    /// Asks libvirt's own client.
    pub fn virsh(&self, words: &[&str]) -> String {
        self.run(&[&["virsh", "-q", "-c", "qemu:///system"], words].concat())
    }

    /// Hands a description to libvirt's own client.
    pub fn define(&self, what: &str, xml: &str) {
        let file = self.folder.path().join("description.xml");
        std::fs::write(&file, xml).expect("room on the disk");
        self.virsh(&[what, &file.display().to_string()]);
    }

    /// Everything that is there, as libvirt's own client and the disk tell it.
    pub fn inventory(&self) -> Inventory {
        let names = |words: &[&str]| {
            let mut names: Vec<String> =
                self.virsh(words).split_whitespace().map(str::to_owned).collect();
            names.sort();
            names
        };
        self.virsh(&["pool-refresh", "default"]);
        let volumes = self.virsh(&["vol-list", "default"]);
        let mut volumes: Vec<String> = volumes
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        volumes.sort();
        BTreeMap::from([
            ("domains", names(&["list", "--all", "--name"])),
            ("networks", names(&["net-list", "--all", "--name"])),
            ("pools", names(&["pool-list", "--all", "--name"])),
            ("volumes", volumes),
            ("images", self.files("lib/images")),
            ("nvram", self.files("lib/qemu/nvram")),
            ("saved", self.files("lib/qemu/save")),
            ("snapshots", self.files("lib/qemu/snapshot")),
            ("networks' files", self.files("etc/qemu/networks")),
            ("domains' files", self.files("etc/qemu")),
        ])
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join(folder));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Kills the daemon, as by `kill -9`; guests go on.
    pub fn dies(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("run/libvirtd.pid"));
        let pid = pid.expect("it runs").trim().to_owned();
        let killed = Command::new("kill").args(["-9", &pid]).status().expect("kill is there");
        assert!(killed.success());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Path::new("/proc").join(&pid).join("exe").exists() {
            assert!(Instant::now() < deadline, "libvirtd does not die");
            pause(Duration::from_millis(20));
        }
    }

    /// Starts the daemon that died.
    pub fn comes_back(&self) {
        let mut words = vec!["libvirtd", "-d", "-p", "/run/libvirtd.pid"];
        if self.listens {
            words.push("--listen");
        }
        self.run(&words);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.try_run(&["virsh", "-q", "-c", "qemu:///system", "uri"]).0 != Some(0) {
            assert!(Instant::now() < deadline, "libvirtd does not come back: {}", self.log());
            pause(Duration::from_millis(100));
        }
    }

    /// The driver programs that run beside it, by their process ids.
    pub fn programs(&self) -> Vec<String> {
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let here = network(&self.child.id().to_string());
        std::fs::read_dir("/proc")
            .expect("Linux")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|pid| {
                let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let program = words.split(|byte| *byte == 0).next().unwrap_or_default();
                program.ends_with(b"fleet-driver-libvirt") && network(pid) == here
            })
            .collect()
    }

    fn log(&self) -> String {
        let file: PathBuf = self.folder.path().join("log/libvirtd.log");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Libvirtd {
    fn drop(&mut self) {
        // The script ends, with all that it started, when nobody can speak to it any more.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                drop(self.child.kill());
            }
            pause(Duration::from_millis(50));
        }
    }
}
