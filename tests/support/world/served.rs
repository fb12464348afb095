//! The world's driver as a program of its own, which may die in the middle of a verb.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fleet::host::Host;
use fleet_driver::fake::Fake;
use fleet_driver::program::serve_to;
use fleet_driver::{Driver, Error, Settings};

use super::mortal::Mortal;
use super::{World, environment};

/// Says that this test binary is to be the driver program.
const SERVES: &str = "SIM_SERVES";
/// What the file calls the driver.
const NAME: &str = "sim";

/// Writes a program for the shell.
///
/// Another process does it: while a thread of this one has the file open for writing, a
/// child that another thread starts holds it too, and it cannot be run.
pub fn script(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

impl World {
    /// Lets a program make the machines, and gives a process that finds it.
    ///
    /// With `dies_at`, the program dies at that point of the verbs that change a machine,
    /// counted from 1, once.
    pub fn by_program(&self, dies_at: Option<u64>) -> Host {
        let (bin, world) = (self.root().join("bin"), self.root().join("world"));
        std::fs::create_dir_all(&bin).unwrap();
        let own = std::env::current_exe().unwrap();
        // The test harness prints to standard output, the driver elsewhere.
        let text = format!(
            "#!/bin/sh\necho $$ >> '{}'\nexec 3>&1 1>/dev/null\n{SERVES}=1 exec '{}' --exact \
             support::world::served::program_of_a_test --nocapture --test-threads 1\n",
            self.root().join("pids").display(),
            own.display(),
        );
        script(&bin.join(format!("fleet-driver-{NAME}")), &text);
        if let Some(point) = dies_at {
            std::fs::write(world.join("dies-at"), point.to_string()).unwrap();
        }
        let hosts = format!("\n[[driver.{NAME}.world]]\ndir = \"{}\"\n", world.display());
        self.edit(|file| file.replace("\"qemu\"", &format!("\"{NAME}\"")) + &hosts);
        let mut env = environment(self.dir.path());
        env.push(("PATH", bin.display().to_string()));
        let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
        Host::captured(self.dir(), &env)
    }

    /// The process ids that the program had, one for each start.
    pub fn program_pids(&self) -> Vec<String> {
        let pids = std::fs::read_to_string(self.root().join("pids")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    }
}

fn driver(settings: &Settings) -> Result<Arc<dyn Driver>, Error> {
    let worlds = settings.driver.get("world").and_then(toml::Value::as_array);
    let dir = worlds.and_then(|worlds| worlds.first()?.get("dir")?.as_str());
    let dir = Path::new(dir.ok_or_else(|| Error::config("no `world` is given"))?);
    let dies_at = std::fs::read_to_string(dir.join("dies-at")).ok();
    if dies_at.is_some() {
        std::fs::remove_file(dir.join("dies-at")).unwrap();
    }
    let dies_at = dies_at.map(|point| point.parse().unwrap());
    Ok(Arc::new(Mortal::new(Fake::on(dir), dies_at, None)))
}

/// Not a test: what [`World::by_program`] runs. It does nothing where nobody asked for it.
#[test]
#[expect(clippy::exit, reason = "the program ends here, not the harness around it")]
fn program_of_a_test() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let out = File::options().write(true).open("/dev/fd/3").unwrap();
    let code = serve_to(out, driver);
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}
