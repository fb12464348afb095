//! The lab's folder, and how the tests run `fleet` and `docker` in it: every run has
//! a deadline, and whatever happens the machines are gone afterwards.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::hypervisor::Libvirtd;

pub const MINUTE: Duration = Duration::from_secs(60);

/// A folder with a `machines.toml`.
pub struct Lab {
    dir: tempfile::TempDir,
    data: tempfile::TempDir,
    /// The words before each command, where it runs in a namespace of its own.
    enter: Vec<String>,
    began: Instant,
    printed: Mutex<String>,
}

/// One run of a program.
pub struct Run<'a> {
    lab: &'a Lab,
    what: String,
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Lab {
    /// The repository's own `machines.toml` in a folder of its own.
    pub fn new(name: &str) -> Self {
        Self::of(name, &sample())
    }

    /// This `machines.toml` in a folder of its own; its machines cannot reach the outside.
    pub fn of(name: &str, text: &str) -> Self {
        let mut table: toml::Table = toml::from_str(text).expect("the file is valid");
        let network = table.entry("network").or_insert_with(|| toml::Table::new().into());
        let network = network.as_table_mut().expect("a table");
        network.insert("internet".to_owned(), false.into());
        Self::with(name, &toml::to_string(&table).expect("TOML"), Vec::new())
    }

    /// This `machines.toml`, word for word, beside a libvirtd whose network leads nowhere.
    pub fn beside(libvirtd: &Libvirtd, name: &str, text: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_fleet")).with_file_name("fleet-driver-libvirt");
        assert!(program.exists(), "{} is missing: `make test-lab` builds it", program.display());
        Self::with(name, text, libvirtd.enter())
    }

    fn with(name: &str, text: &str, enter: Vec<String>) -> Self {
        let folder = |what: &str| {
            let folder = tempfile::Builder::new().prefix(&format!("fleet-{name}-{what}")).tempdir();
            folder.expect("a folder")
        };
        let (dir, data) = (folder(""), folder("data-"));
        std::fs::write(dir.path().join("machines.toml"), text).expect("room on the disk");
        Self { dir, data, enter, began: Instant::now(), printed: Mutex::default() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of machines, and of what is kept of fleets.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Changes `machines.toml`.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.dir().join("machines.toml");
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(from), "no `{from}` in:\n{text}");
        std::fs::write(&path, text.replace(from, to)).expect("room on the disk");
    }

    /// All that `fleet` has printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().expect("no writer panics").clone()
    }

    /// Tells the reader of the test's output what comes next.
    pub fn say(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        writeln!(std::io::stderr(), "[{seconds:4} s] {what}").expect("stderr is open");
    }

    /// The program under test.
    pub fn fleet(&self, args: &[&str]) -> Run<'_> {
        let mut command = self.command(env!("CARGO_BIN_EXE_fleet"));
        command.args(args).env_remove("DOCKER_HOST").env_remove("FLEET_FILE");
        self.run(format!("fleet {}", args.join(" ")), command)
    }

    /// The user's own client, pointed at a machine as the README says.
    pub fn docker(&self, machine: &str, args: &[&str]) -> Run<'_> {
        let mut command = self.command("bash");
        let script = r#"eval "$("$FLEET" env --shell bash "$MACHINE")" && exec docker "$@""#;
        command.args(["-c", script, "docker"]).args(args);
        command.env("FLEET", env!("CARGO_BIN_EXE_fleet")).env("MACHINE", machine);
        self.run(format!("docker@{machine} {}", args.join(" ")), command)
    }

    fn command(&self, program: &str) -> Command {
        match self.enter.as_slice() {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(format!("--wd={}", self.dir.path().display()));
                command.arg(program);
                command
            }
        }
    }

    /// Builds the image of all labs, where it is missing.
    pub fn needs_image(&self) {
        if !self.has_image("debian-12") {
            self.fleet(&["image", "build", "debian-12"]).within(15 * MINUTE).ok();
        }
    }

    fn run(&self, what: String, mut command: Command) -> Run<'_> {
        command.current_dir(self.dir.path()).env("FLEET_DATA", self.data.path());
        Run { lab: self, what, command, stdin: Vec::new(), limit: MINUTE }
    }

    /// Waits for something that will come true by itself.
    pub fn until(&self, what: &str, limit: Duration, mut come_true: impl FnMut() -> bool) {
        self.say(&format!("  waiting for {what}"));
        let deadline = Instant::now() + limit;
        while !come_true() {
            assert!(Instant::now() < deadline, "waited {} s for {what}", limit.as_secs());
            pause(Duration::from_secs(1));
        }
    }

    fn has_image(&self, name: &str) -> bool {
        let images = self.fleet(&["image", "ls", "--json"]).within(MINUTE).ok().json();
        images["images"].as_array().is_some_and(|all| all.iter().any(|i| i["name"] == name))
    }

    /// How many tasks of the service run, asked of one manager.
    pub fn running_tasks(&self, manager: &str) -> usize {
        self.tasks_told_by(manager).values().sum()
    }

    /// How many tasks of the service run on each node that has any.
    pub fn tasks_on(&self) -> BTreeMap<String, usize> {
        self.tasks_told_by("host1")
    }

    /// Ends a machine's process and removes its folder, as nobody should.
    pub fn destroy_behind_its_back(&self, machine: &str) {
        let inspected = self.fleet(&["inspect", machine]).within(MINUTE).ok().json();
        let pid = inspected[0]["seen"]["machine"]["details"]["pid"].as_str().expect("it runs");
        let killed = Command::new("kill").args(["-9", pid]).status().expect("kill is there");
        assert!(killed.success());
        let fleets = std::fs::read_dir(self.data.path().join("machines")).expect("a folder");
        for fleet in fleets.flatten() {
            drop(std::fs::remove_dir_all(fleet.path().join(machine)));
        }
    }

    fn tasks_told_by(&self, manager: &str) -> BTreeMap<String, usize> {
        let format = "{{.Node}} {{.CurrentState}}";
        let filter = "desired-state=running";
        let args = ["service", "ps", "web", "--filter", filter, "--format", format];
        let listed = self.docker(manager, &args).within(MINUTE).run().stdout;
        let mut tasks = BTreeMap::new();
        for line in listed.lines() {
            if let Some((node, state)) = line.split_once(' ')
                && state.starts_with("Running")
            {
                *tasks.entry(node.to_owned()).or_default() += 1;
            }
        }
        tasks
    }

    /// Proves that the engine talks to nobody without the fleet's certificate.
    pub fn refuses_strangers(&self, machine: &str) {
        let url = self.fleet(&["url", machine]).within(MINUTE).ok().stdout;
        let url = url.trim().replace("tcp://", "https://");
        let curl = |more: &[&str]| {
            let mut command = self.command("curl");
            command.args(["-sS", "--max-time", "20", "-o", "/dev/null"]).args(more);
            command.arg(format!("{url}/version"));
            self.run(format!("curl {}", more.join(" ")), command).within(MINUTE).run()
        };
        let certs = self.dir().join(".fleet/certs");
        let file = |name: &str| certs.join(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
        assert_ne!(curl(&["-k"]).code, Some(0), "answered without a certificate");
        assert_eq!(curl(&["--cacert", &ca, "--cert", &cert, "--key", &key]).code, Some(0));
    }

    /// Looks for what `down` may have forgotten.
    pub fn nothing_is_left(&self) {
        let folders = [self.dir(), self.data.path()];
        for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if !words.starts_with(b"qemu-system") {
                continue;
            }
            // Its words name no folder, but its open files are there.
            let open = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
            let ours = open
                .filter_map(|fd| std::fs::read_link(fd.path()).ok())
                .find(|file| folders.iter().any(|folder| file.starts_with(folder)));
            assert_eq!(ours, None, "a machine still runs: {}", entry.path().display());
        }
        assert!(!self.dir().join(".fleet").exists(), "`.fleet` is still there");
        let left: Vec<_> = std::fs::read_dir(self.dir()).expect("the folder").flatten().collect();
        assert_eq!(left.len(), 1, "more than `machines.toml` is left: {left:?}");
        let machines = std::fs::read_dir(self.data.path().join("machines"));
        let left: Vec<_> = machines.into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "folders of machines are left: {left:?}");
        let kept = std::fs::read_dir(self.data.path().join("fleets"));
        let left: Vec<_> = kept.into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "keys are left: {left:?}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let within = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
            let fleets = within(&self.data.path().join("machines"));
            for entry in fleets.flat_map(|fleet| within(&fleet.path())) {
                let log = std::fs::read(entry.path().join("console.log")).unwrap_or_default();
                let text = String::from_utf8_lossy(&log).into_owned();
                let tail: Vec<&str> = text.lines().rev().take(15).collect();
                self.say(&format!("console of {}:", entry.path().display()));
                for line in tail.iter().rev() {
                    self.say(&format!("  {line}"));
                }
            }
        }
        self.fleet(&["down"]).within(3 * MINUTE).run();
    }
}

impl Run<'_> {
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// Makes whatever comes to this point die there, as by `kill -9`: `fleet`, or the
    /// program of a driver that it has started.
    pub fn deadly(mut self, point: &str) -> Self {
        self.command.env("FLEET_FAULT", format!("kill@{point}"));
        self
    }

    /// Makes the program die at this point, as by `kill -9`; says whether it did.
    pub fn dies_at(self, point: &str) -> bool {
        let this = self.deadly(point);
        let (what, limit) = (this.what.clone(), this.limit);
        let lab = this.lab;
        let ended = this.until(limit);
        let ended = ended.unwrap_or_else(|| panic!("`{what}` went on for {} s", limit.as_secs()));
        let died = ended.code.is_none();
        let how = if died { "died at" } else { "did not come to" };
        lab.say(&format!("  `{what}` {how} {point}"));
        died
    }

    /// Runs to a successful end.
    pub fn ok(self) -> Ended {
        let what = self.what.clone();
        let ended = self.run();
        assert_eq!(
            ended.code,
            Some(0),
            "`{what}` failed\nstdout:\n{}\nstderr:\n{}",
            ended.stdout,
            ended.stderr
        );
        ended
    }

    /// Runs to its end, whatever that is.
    pub fn run(self) -> Ended {
        let (lab, what, limit) = (self.lab, self.what.clone(), self.limit);
        let ended = self.until(limit);
        let ended =
            ended.unwrap_or_else(|| panic!("`{what}` took more than {} s", limit.as_secs()));
        let mut printed = lab.printed.lock().expect("no writer panics");
        printed.extend([ended.stdout.as_str(), ended.stderr.as_str()]);
        drop(printed);
        ended
    }

    /// Runs and is killed, as by `kill -9`, unless it has ended by then.
    pub fn killed_after(self, time: Duration) {
        drop(self.until(time));
    }

    fn until(mut self, limit: Duration) -> Option<Ended> {
        let began = Instant::now();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("`{}`: {e}", self.what));
        let mut stdin = child.stdin.take().expect("piped");
        let bytes = std::mem::take(&mut self.stdin);
        let feed = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let out = drain(child.stdout.take().expect("piped"));
        let err = drain(child.stderr.take().expect("piped"));
        let status = loop {
            match child.try_wait().expect("a child of ours") {
                Some(status) => break Some(status),
                None if began.elapsed() > limit => break None,
                None => pause(Duration::from_millis(20)),
            }
        };
        if status.is_none() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
        let status = status?;
        feed.join().expect("no panic");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Some(Ended {
            code: status.code(),
            stdout: text(out.join().expect("no panic")),
            stderr: text(err.join().expect("no panic")),
            elapsed: began.elapsed(),
        })
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        bytes
    })
}

impl Ended {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not JSON: {e}\n{}\n{}", self.stdout, self.stderr))
    }
}

/// The repository's own `machines.toml`.
pub fn sample() -> String {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/machines.toml");
    std::fs::read_to_string(sample).expect("the sample is there")
}

/// Waits a little; tests have no event loop.
pub fn pause(time: Duration) {
    let (_open, never) = std::sync::mpsc::channel::<()>();
    let waited = never.recv_timeout(time);
    assert!(waited.is_err(), "nobody sends");
}
