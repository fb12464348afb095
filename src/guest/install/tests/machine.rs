//! A folder that stands for a guest: the system's programs in it are small machines with
//! a state of their own, and scripts run in it for real.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// The shells that guests have: dash or bash, and ash.
pub(in crate::guest) const SHELLS: [&[&str]; 3] =
    [&["sh"], &["busybox", "sh"], &["bash", "--posix"]];

/// Begins every stand-in: `note` writes down how it was called, `take NAME` takes one of
/// the things of that name that the test has laid out, and fails when there are none.
const STAND_IN: &str = r#"#!/bin/sh
me=${0##*/}
note() { echo "$me $*" >>"$ROOT/log"; }
take() {
    for thing in "$ROOT/$1".*; do
        [ -e "$thing" ] || return 1
        rm "$thing"
        return 0
    done
}
"#;

/// What starts services and knows accounts.
const SERVICES: &[(&str, &str)] = &[
    ("systemctl", r#"note "$@"; [ "$1" != cat ] || [ -e "$ROOT/units/$2" ]"#),
    ("rc-update", r#"note "$@""#),
    ("usermod", r#"note "$@""#),
    ("addgroup", r#"note "$@""#),
    ("sleep", r#"note "$@"; [ ! -x "$ROOT/meanwhile" ] || "$ROOT/meanwhile""#),
];

/// The programs of this computer that scripts may use; no other one is found.
const REAL: &[&str] = &[
    "awk", "cat", "chmod", "cp", "date", "grep", "install", "ls", "mkdir", "mktemp", "mv", "rm",
    "sed", "sh", "sort", "tail", "touch", "tr", "uname", "wc",
];

/// The folder.
pub(in crate::guest) struct Machine {
    dir: tempfile::TempDir,
    programs: Vec<String>,
}

/// How a script ended, and what was done.
#[derive(Debug)]
pub(in crate::guest) struct Ended {
    pub(in crate::guest) status: Option<i32>,
    pub(in crate::guest) stdout: Vec<u8>,
    pub(in crate::guest) stderr: String,
    /// The programs as they were called, one a line.
    pub(in crate::guest) log: String,
}

impl Ended {
    #[track_caller]
    pub(in crate::guest) fn well(&self) -> &Self {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}", self.log);
        self
    }

    /// The only call that begins so.
    #[track_caller]
    pub(super) fn call(&self, begins: &str) -> &str {
        let mut found = self.log.lines().filter(|line| line.starts_with(begins));
        let call = found.next().unwrap_or_else(|| panic!("no `{begins}` in:\n{}", self.log));
        assert_eq!(found.next(), None, "`{begins}` twice");
        call
    }

    pub(super) fn times(&self, begins: &str) -> usize {
        self.log.lines().filter(|line| line.starts_with(begins)).count()
    }
}

impl Machine {
    /// A guest with these programs besides those for services and accounts.
    pub(in crate::guest) fn new(programs: &[(&str, &str)]) -> Self {
        let mut machine = Self { dir: tempfile::tempdir().unwrap(), programs: Vec::new() };
        for folder in
            ["bin", "real", "units", "etc/apk", "etc/yum.repos.d", "etc/conf.d", "var/log"]
        {
            std::fs::create_dir_all(machine.at(folder)).unwrap();
        }
        for name in REAL {
            if let Ok(path) = which::which(name) {
                symlink(path, machine.at("real").join(name)).unwrap();
            }
        }
        for (name, body) in SERVICES.iter().chain(programs) {
            machine.program(name, body);
        }
        machine
    }

    pub(in crate::guest) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(super) fn program(&mut self, name: &str, body: &str) {
        self.executable(&format!("bin/{name}"), &format!("{STAND_IN}{body}\n"));
        self.programs.push(name.to_owned());
    }

    /// Takes a program away.
    pub(super) fn lacks(&mut self, name: &str) {
        std::fs::remove_file(self.at("bin").join(name)).unwrap();
        self.programs.retain(|known| known != name);
    }

    /// What happens whenever the script sleeps.
    pub(super) fn meanwhile(&self, body: &str) {
        self.executable("meanwhile", &format!("#!/bin/sh\n{body}\n"));
    }

    fn executable(&self, path: &str, text: &str) {
        std::fs::write(self.at(path), text).unwrap();
        std::fs::set_permissions(self.at(path), PermissionsExt::from_mode(0o755)).unwrap();
    }

    pub(in crate::guest) fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    /// Lays out so many things for `take`.
    pub(super) fn lay(&self, name: &str, many: usize) {
        for n in 0..many {
            self.write(&format!("{name}.{n}"), "");
        }
    }

    pub(in crate::guest) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    /// Runs a script, with the guest's absolute paths led into the folder; `None` without
    /// such a shell on this computer.
    pub(in crate::guest) fn run(&self, shell: &[&str], script: &str) -> Option<Ended> {
        let program = which::which(shell[0]).ok()?;
        let root = self.dir.path().display().to_string();
        let mut text = script.replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", "");
        for folder in ["/etc/", "/var/lib/", "/var/log/", "/run/"] {
            for before in [" ", "=", "\"", ">", "<"] {
                let there = format!("{before}{root}{folder}");
                text = text.replace(&format!("{before}{folder}"), &there);
            }
        }
        // Values of JSON speak of the guest's own paths.
        text = text.replace(&format!("\": \"{root}/"), "\": \"/");
        // busybox takes its own programs before those of the PATH, but not before functions.
        let mut prelude = String::new();
        for name in self.programs.iter().filter(|name| !name.contains('-')) {
            prelude.extend([name, "() { ", &root, "/bin/", name, " \"$@\"; }\n"]);
        }
        let _ = std::fs::remove_file(self.at("log"));
        let output = Command::new(program)
            .args(&shell[1..])
            .args(["-c", &format!("{prelude}{text}")])
            .env("PATH", format!("{root}/bin:{root}/real"))
            .env("ROOT", &root)
            .output()
            .unwrap();
        Some(Ended {
            status: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            log: self.read("log").replace(&root, ""),
        })
    }
}
