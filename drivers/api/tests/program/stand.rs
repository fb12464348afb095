//! Programs for a test: shell scripts, and this test's own binary as a driver.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::fake::Fake;
use fleet_driver::program::{Program, serve_to};
use fleet_driver::{Cx, Error, MachineId, Settings, wait};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Says that this test binary is to be a driver program.
const SERVES: &str = "FLEET_TEST_SERVES";

/// What most scripts begin with: the answer to the hello.
pub(crate) const READY: &str = r#"read -r hello
echo '{"type":"ready","protocol":1,"name":"x","version":"7","concurrency":2,"capabilities":{}}'
id() { echo "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
"#;

/// A folder with programs in it.
pub(crate) struct Stand {
    dir: TempDir,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program of this text for the shell; `$HERE` is the stand's folder.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let here = self.dir.path().display();
        // Written by another process: while one of this process's threads has it open for
        // writing, a child that another thread starts holds it too, and it cannot be run.
        let mut writer = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\nHERE='{here}'\n{text}\n");
        writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }

    /// The fake driver as a program; its world is where its settings say.
    pub(crate) fn fake(&self) -> PathBuf {
        let own = std::env::current_exe().unwrap();
        // The test harness prints to standard output, the driver elsewhere.
        let text = format!(
            "exec 3>&1 1>/dev/null\n{SERVES}=1 exec '{}' --exact stand::served_by_this_test \
             --nocapture --test-threads 1",
            own.display()
        );
        self.script("fleet-driver-fake", &text)
    }

    /// What the fake driver is told.
    pub(crate) fn settings(&self) -> Settings {
        let world = self.path("world");
        std::fs::create_dir_all(&world).unwrap();
        let driver = toml::Table::from_iter([(
            "world".to_owned(),
            toml::Value::String(world.display().to_string()),
        )]);
        Settings { driver, ..Settings::default() }
    }

    pub(crate) fn cx(&self) -> Cx {
        self.cx_with(Reporter::silent())
    }

    pub(crate) fn cx_with(&self, reporter: Reporter) -> Cx {
        Cx::new(self.path("machines"), reporter, CancellationToken::new())
            .within(Duration::from_secs(30))
    }

    /// Starts a script as a driver.
    pub(crate) async fn start(&self, text: &str) -> Result<Program, Error> {
        let path = self.script("fleet-driver-x", text);
        Program::start(&path, "x", &Settings::default(), &self.cx()).await
    }

    /// What a script has written to a file.
    pub(crate) fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file has this in it.
    pub(crate) async fn until_written(&self, name: &str, text: &str) -> String {
        wait::until(&self.cx(), "a file", "", || async {
            let written = self.written(name);
            if written.contains(text) { Ok(written) } else { Err(Error::busy("not yet")) }
        })
        .await
        .unwrap()
    }
}

pub(crate) fn host1() -> MachineId {
    MachineId::new("lab-1", "host1")
}

/// Whether a process is there, and not only its exit status.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Waits until a process is gone.
pub(crate) async fn is_gone(pid: &str) {
    let cx = Stand::new().cx();
    wait::until(&cx, "the end of a process", "", || async {
        if lives(pid) { Err(Error::busy(format!("{pid} lives"))) } else { Ok(()) }
    })
    .await
    .unwrap();
}

/// Not a test: what [`Stand::fake`] runs. It does nothing where nobody asked for it.
#[test]
#[expect(clippy::exit, reason = "the program ends here, not the harness around it")]
fn served_by_this_test() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let out = std::fs::File::options().write(true).open("/dev/fd/3").unwrap();
    let code = serve_to(out, |settings| {
        let world = settings.driver.get("world").and_then(toml::Value::as_str);
        let world = world.ok_or_else(|| Error::config("no `world` is given").hint("give one"))?;
        Ok(std::sync::Arc::new(Fake::on(Path::new(world))))
    });
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}
