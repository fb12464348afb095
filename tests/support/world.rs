//! A fleet in a simulated world: whole commands are run on it, in this process or in a
//! child that can be killed at any point.

use std::io::{Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fleet::engine::Engine;
use fleet::host::Host;
use fleet::pki::Pki;
use fleet::registry::Registry;
use fleet_driver::fake::{Fake, Standing};
use tokio::process::Child;

use super::proxy::Proxy;
use super::scenario::Ended;
use super::sim::Sim;

mod mortal;
pub mod served;

use mortal::Mortal;

/// One manager and two workers, in a swarm.
pub const THREE: &str = r#"
[fleet]
name = "lab"
[defaults]
driver = "qemu"
image = "./base.qcow2"
[swarm]
[machine.host1]
role = "manager"
[machine.worker]
count = 2
role = "worker"
"#;

/// Three managers, in a swarm.
pub const MANAGERS: &str = r#"
[fleet]
name = "lab"
[defaults]
driver = "qemu"
image = "./base.qcow2"
[swarm]
[machine.host]
count = 3
role = "manager"
"#;

/// No command of a test may take longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Where a child finds its folder, its arguments, and when it is to die.
const DIR: &str = "SIM_CHILD_DIR";
const ARGS: &str = "SIM_CHILD_ARGS";
const DIES_AT: &str = "SIM_CHILD_DIES_AT";
/// Says that the verbs of a child never end, whatever happens; a file `stuck` tells that
/// one began.
pub const STUCK: &str = "SIM_CHILD_STUCK";
/// What a child prints before fleet prints anything.
const BEGIN: &str = "---- the child begins ----\n";

/// A fleet in a folder of its own, and its world in another.
pub struct World {
    pub sim: Sim,
    /// The same machines as those of the commands; ordered troubles hold for commands in
    /// this process.
    pub fake: Fake,
    // After what uses it.
    dir: tempfile::TempDir,
}

/// How a child ended.
#[derive(Debug)]
pub struct Done {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command that runs in a child process; it is killed when this is dropped.
pub struct Running {
    child: Child,
    stdout: std::fs::File,
    stderr: std::fs::File,
}

impl World {
    /// A fleet of this file, none of whose machines exists; `names` are its machines, and
    /// those that the file will name later.
    pub async fn new(file: &str, names: &[&str]) -> Self {
        // In memory where that can be had: much of it is flushed, and disks are slow.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        for folder in ["fleet", "world", "home"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let home = dir.path().join("fleet");
        std::fs::write(home.join("machines.toml"), file).unwrap();
        // Nobody boots it, but an image is looked at before it is used.
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "base.qcow2", "16M"])
            .current_dir(&home)
            .status();
        assert!(made.unwrap().success(), "qemu-img works");
        let fake = Fake::on(&dir.path().join("world"));
        let sim = Sim::start(&dir.path().join("world"), names).await;
        Self { sim, fake, dir }
    }

    /// One manager and two workers.
    pub async fn three() -> Self {
        Self::new(THREE, &["host1", "worker-1", "worker-2"]).await
    }

    /// Three managers, `host-1` to `host-3`.
    pub async fn managers() -> Self {
        Self::new(MANAGERS, &["host-1", "host-2", "host-3"]).await
    }

    /// The folder of `machines.toml`.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("fleet")
    }

    /// The folder of everything: the fleet's, its machines', and the user's.
    pub fn root(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Changes `machines.toml`.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.dir().join("machines.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change(text)).unwrap();
    }

    /// Everything about the machines that exist.
    pub fn machines(&self) -> Vec<Standing> {
        self.fake.standing()
    }

    /// The folder that stands for the user's data.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("home/data")
    }

    /// A process in the fleet's folder.
    pub fn host(&self) -> Host {
        self.host_in(&self.dir())
    }

    /// A process in the fleet's folder with more variables.
    pub fn host_with(&self, more: &[(&str, &str)]) -> Host {
        let env = environment(self.dir.path());
        let own = env.iter().map(|(k, v)| (*k, v.as_str()));
        let env: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        let driver = Registry::Only(Arc::new(self.fake.clone()));
        Host::captured(self.dir(), &env).with_registry(driver)
    }

    /// A process of the same user in another folder.
    pub fn host_in(&self, folder: &Path) -> Host {
        let env = environment(self.dir.path());
        let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
        Host::captured(folder, &env).with_registry(Registry::Only(Arc::new(self.fake.clone())))
    }

    /// Runs a command to its end, in this process.
    pub async fn fleet(&self, args: &[&str]) -> Ended {
        self.fleet_on(&self.host(), args).await
    }

    /// Runs a command in a pretended process that the test keeps, to interrupt it.
    pub async fn fleet_on(&self, host: &Host, args: &[&str]) -> Ended {
        let words = std::iter::once("fleet").chain(args.iter().copied()).map(Into::into);
        let run = fleet::cli::main(host.clone(), words);
        let code = tokio::time::timeout(LIMIT, Box::pin(run)).await.expect("it ends in time");
        let (stdout, stderr) = host.printed();
        Ended { code, stdout, stderr }
    }

    /// Begins a command in a child process, with variables of its own.
    pub fn spawn(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        self.spawn_by(&[], args, env)
    }

    /// The same through another program, which gets the child's command as its last words.
    pub fn spawn_by(&self, by: &[String], args: &[&str], env: &[(&str, &str)]) -> Running {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let output = |file: &std::fs::File| Stdio::from(file.try_clone().unwrap());
        let own = std::env::current_exe().unwrap();
        let mut words = by.iter().map(std::ffi::OsStr::new).chain([own.as_os_str()]);
        let child = tokio::process::Command::new(words.next().unwrap_or_default())
            .args(words)
            .args(["--exact", "support::world::child_of_a_test", "--nocapture"])
            .args(["--test-threads", "1"])
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .envs(environment(self.dir.path()))
            .env(DIR, self.dir.path())
            .env(ARGS, serde_json::to_string(args).unwrap())
            .envs(env.iter().copied())
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(output(&stdout))
            .stderr(output(&stderr))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Running { child, stdout, stderr }
    }

    /// Runs a command in a child to its end.
    pub async fn child(&self, args: &[&str]) -> Done {
        self.spawn(args, &[]).end().await
    }

    /// Runs a command in a child that is killed as its `n`th script or request, counted
    /// from 1, has reached a guest, or as its answer is about to leave: each of them has two
    /// points. [`Done::killed`] tells whether the command got so far.
    pub async fn killed_at_guest(&self, n: u64, args: &[&str]) -> Done {
        self.sim.hold(n);
        let mut running = self.spawn(args, &[]);
        let held = tokio::select! {
            biased;
            () = self.sim.held() => true,
            _ = running.child.wait() => false,
        };
        if held {
            running.kill();
        }
        let done = running.end().await;
        self.sim.go_on();
        done
    }

    /// Runs a command in a child that is interrupted as its `n`th script or request has
    /// reached a guest, or as its answer is about to leave; none if it does not get so far.
    pub async fn interrupted_at_guest(&self, n: u64, args: &[&str]) -> Option<Done> {
        self.sim.hold(n);
        let mut running = self.spawn(args, &[]);
        let held = tokio::select! {
            biased;
            () = self.sim.held() => true,
            _ = running.child.wait() => false,
        };
        if held {
            running.interrupt();
        }
        let done = running.end().await;
        self.sim.go_on();
        held.then_some(done)
    }

    /// Runs a command in a child that kills itself at the `n`th point, counted from 1, of
    /// the verbs that change a machine: before each verb, wherever one waits inside, and
    /// after it. [`Done::killed`] tells whether the command got so far.
    pub async fn killed_at_verb(&self, n: u64, args: &[&str]) -> Done {
        self.spawn(args, &[(DIES_AT, &n.to_string())]).end().await
    }

    /// A client of a guest's engine, with the fleet's certificates.
    pub fn engine(&self, name: &str) -> Engine {
        self.engine_at(self.sim.engine(name))
    }

    /// A client of the engine that is reached at an address.
    pub fn engine_at(&self, address: SocketAddr) -> Engine {
        let pki = Pki::load(&self.dir().join(".fleet/certs")).unwrap();
        Engine::new(address, &pki).unwrap()
    }

    /// Leads fleet to a guest through proxies, where they are given.
    pub fn through(&self, name: &str, ssh: Option<&Proxy>, engine: Option<&Proxy>) {
        let ssh = ssh.map_or_else(|| self.sim.ssh(name), |proxy| proxy.address);
        let engine = engine.map_or_else(|| self.sim.engine(name), |proxy| proxy.address);
        self.fake.endpoints(name, ssh, engine);
    }

    /// Waits until the world is so; fails the test after a while.
    pub async fn until(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let wait = async {
            while !so(self) {
                super::sim::nap(Duration::from_millis(3)).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "never: {what}");
    }
}

impl Running {
    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        self.child.start_kill().unwrap();
    }

    /// Interrupts it, as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(self.child.id().expect("it was not waited for"), "INT");
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Done {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = status.expect("it ends in time").unwrap();
        let stdout = text(&mut self.stdout);
        let stdout = stdout.split_once(BEGIN).map(|(_, own)| own.to_owned());
        Done {
            code: status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            stdout: stdout.unwrap_or_default(),
            stderr: text(&mut self.stderr),
        }
    }
}

impl Done {
    /// Whether a signal ended it.
    pub fn killed(&self) -> bool {
        self.signal.is_some()
    }

    /// Fails the test unless it ended with this code.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error holds this text.
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }
}

fn text(file: &mut std::fs::File) -> String {
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn environment(dir: &Path) -> Vec<(&'static str, String)> {
    let inside = |name: &str| dir.join(name).display().to_string();
    vec![
        ("HOME", inside("home")),
        ("FLEET_DATA", inside("home/data")),
        ("FLEET_CACHE", inside("home/cache")),
    ]
}

fn signal(process: u32, name: &str) {
    let sent =
        std::process::Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(sent.unwrap().success(), "the process was there");
}

/// Not a test: what [`World::spawn`] runs in a process of its own. It does nothing where
/// nobody asked for it.
#[test]
#[expect(clippy::exit, reason = "the exit code of the process is what its parent asks for")]
fn child_of_a_test() {
    let (Some(dir), Ok(args)) = (std::env::var_os(DIR), std::env::var(ARGS)) else { return };
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    let mut stdout = std::io::stdout();
    stdout.write_all(format!("\n{BEGIN}").as_bytes()).and_then(|()| stdout.flush()).unwrap();
    // As in the program itself.
    drop(rustls::crypto::ring::default_provider().install_default());
    let dies_at = std::env::var(DIES_AT).ok().and_then(|n| n.parse().ok());
    let fake = Fake::on(&Path::new(&dir).join("world"));
    let stuck = std::env::var_os(STUCK).map(|_| Path::new(&dir).join("stuck"));
    let driver = Arc::new(Mortal::new(fake, dies_at, stuck));
    let host = Host::system().unwrap().with_registry(Registry::Only(driver));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let words = std::iter::once("fleet".to_owned()).chain(args).map(Into::into);
    let code = runtime.block_on(fleet::cli::main(host, words));
    std::process::exit(code.into());
}
