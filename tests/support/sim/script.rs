//! The scripts that fleet sends, and what each of them does to a simulated guest. A new
//! script is a new arm of [`State::script`].

use std::time::Instant;

use russh::keys::ssh_encoding::base64::{Base64, Encoding};

use super::State;
use super::disk::{File, Firewalld};
use super::guest::{Engine, Guest};
use super::journal::What;
use super::system::System;
use super::text::{filled, word};

const FACTS: &str = include_str!("../../../templates/guest/facts.sh");
const PREPARE: &str = include_str!("../../../templates/guest/prepare.sh");
const APPLY: &str = include_str!("../../../templates/guest/apply.sh");
const SCRUB: &str = include_str!("../../../templates/guest/scrub.sh");
const APPLY_OPENRC: &str = include_str!("../../../templates/guest/apply-openrc.sh");
const FIREWALL: &str = include_str!("../../../templates/guest/firewall.sh");
const GET_DOCKER: &str = include_str!("../../../templates/guest/install-get-docker.sh");

const DAEMON: &str = "/etc/docker/daemon.json";
const BEFORE: &str = "/etc/docker/daemon.json.before-fleet";

/// How a command or script ended.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub status: u32,
    pub stdout: String,
    pub stderr: String,
}

/// How a script goes on.
#[derive(Debug, Clone)]
pub enum Then {
    Ends(Said),
    /// It waits for the engine, as `systemctl restart` does.
    WaitsForEngine,
}

fn well() -> Then {
    Then::Ends(Said::default())
}

fn badly(status: u32, stderr: impl Into<String>) -> Then {
    Then::Ends(Said { status, stdout: String::new(), stderr: stderr.into() })
}

impl State {
    /// Runs what came over SSH: a command, and what it read.
    pub fn command(&mut self, name: &str, command: &str, input: &str, now: Instant) -> Then {
        match command {
            "sudo -n sh -s" | "sh -s" => {
                let inside = input.strip_prefix("{\n");
                match inside.and_then(|text| text.strip_suffix("\nexit\n} </dev/null\n")) {
                    Some(text) => self.script(name, text, now),
                    None => self.unknown(name, input),
                }
            }
            "true" => well(),
            "false" => badly(1, ""),
            "hostname" => Then::Ends(Said {
                stdout: format!("{}\n", self.guests[name].disk.hostname),
                ..Said::default()
            }),
            _ => self.unknown(name, command),
        }
    }

    fn unknown(&mut self, name: &str, text: &str) -> Then {
        self.journal.unknown.push(text.to_owned());
        let begin: String = text.chars().take(200).collect();
        badly(127, format!("sh: the simulated guest `{name}` does not understand: {begin}\n"))
    }

    fn script(&mut self, name: &str, text: &str, now: Instant) -> Then {
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        match text {
            FACTS => Then::Ends(Said { stdout: facts(guest), ..Said::default() }),
            PREPARE => {
                let there = guest.disk.text(DAEMON).filter(|text| !text.is_empty());
                if let (Some(text), None) = (there, guest.disk.text(BEFORE)) {
                    guest.disk.write(BEFORE, 0o600, &text);
                }
                well()
            }
            APPLY if guest.disk.engine.is_none() => badly(1, "there is no engine in the machine\n"),
            APPLY if !guest.disk.system.has_systemd() => badly(127, "systemctl: not found\n"),
            APPLY => {
                self.restart_engine(name, now);
                Then::WaitsForEngine
            }
            SCRUB => {
                guest.disk.secrets = false;
                well()
            }
            _ => {
                if let Some(asked) = System::asked(text) {
                    let system = guest.disk.system;
                    if asked.system != system {
                        return badly(127, format!("not a script for {system:?}\n"));
                    }
                    if asked.package != system.package() {
                        return badly(100, "Unable to locate package\n");
                    }
                    return self.install(name, &asked.version, now);
                }
                if let Some(values) = filled(FIREWALL, text) {
                    if guest.disk.firewalld == Firewalld::Absent || values["engine"] != "2376" {
                        return badly(127, "firewall-cmd: not found\n");
                    }
                    guest.disk.firewalld = Firewalld::Open(values["lab"].clone());
                    return well();
                }
                if let Some(values) = filled(APPLY_OPENRC, text) {
                    if guest.disk.system.has_systemd() || guest.disk.engine.is_none() {
                        return badly(1, "there is no engine that OpenRC starts\n");
                    }
                    guest.disk.add_conf(&values["conf"]);
                    self.restart_engine(name, now);
                    return Then::WaitsForEngine;
                }
                if let Some(values) = filled(GET_DOCKER, text) {
                    return self.install(name, &values["version"], now);
                }
                match put(text) {
                    Some(files) => {
                        guest.disk.files.extend(files);
                        well()
                    }
                    None => self.unknown(name, text),
                }
            }
        }
    }

    /// Puts in the newest engine that is wanted, which starts it where packages do so.
    fn install(&mut self, name: &str, wanted: &str, now: Instant) -> Then {
        let fits = |version: &&String| {
            let rest = version.strip_prefix(wanted);
            rest.is_some_and(|r| wanted.is_empty() || !r.starts_with(char::is_alphanumeric))
        };
        let Some(version) = self.available.iter().find(fits).cloned() else {
            let all = self.available.join("\n  ");
            let package = self.guests[name].disk.system.package();
            return badly(
                100,
                format!("there is no {package} {wanted} for this system; it has:\n  {all}\n"),
            );
        };
        let guest = self.guests.get_mut(name).expect("callers know the guest");
        if guest.disk.engine.as_ref() != Some(&version) {
            guest.disk.engine = Some(version.clone());
            self.journal.note(name, What::EngineInstalled(version));
            match self.guests[name].disk.system {
                System::Debian => self.restart_engine(name, now),
                System::Fedora if self.guests[name].engine_up() => self.restart_engine(name, now),
                System::Fedora | System::Alpine => {}
            }
        }
        well()
    }

    /// How `systemctl restart docker` ends; `None` as long as it goes on.
    pub fn engine_end(&self, name: &str) -> Option<Said> {
        match &self.guests[name].engine {
            Engine::Starting(_) => None,
            Engine::Up { .. } | Engine::Off => Some(Said::default()),
            Engine::Failed(why) => Some(Said {
                status: 1,
                stderr: format!("the engine does not start; it says:\n{why}\n"),
                ..Said::default()
            }),
        }
    }
}

fn facts(guest: &Guest) -> String {
    let disk = &guest.disk;
    let mut out = String::new();
    let mut say = |name: &str, value: &str| {
        // A shell's `$(…)` takes the line ends off.
        let value = value.trim_end_matches('\n');
        out.extend([name, " ", &value.len().to_string(), "\n", value, "\n"]);
    };
    say("fleet-facts", "1");
    say("os", disk.system.os_release());
    say("kernel", "6.1.0-37-amd64");
    say("arch", "x86_64");
    if let Some(version) = &disk.engine {
        say("dockerd", "/usr/sbin/dockerd");
        say("version", &format!("Docker version {version}, build 297e128"));
    }
    if let Some(text) = disk.text(DAEMON) {
        say("daemon", &text);
    }
    if let Some(text) = disk.text("/etc/docker/fleet/daemon.json") {
        say("own", &text);
    }
    if disk.system.has_systemd() {
        say("init", "systemd");
    } else {
        say("init", "openrc");
        say("socket", "own");
    }
    let active = match guest.engine {
        Engine::Off => "inactive",
        Engine::Starting(_) => "activating",
        Engine::Up { .. } => "active",
        Engine::Failed(_) => "failed",
    };
    say(
        "unit",
        &match disk.engine {
            Some(_) => format!("LoadState=loaded\nActiveState={active}\nUnitFileState=enabled"),
            None => "LoadState=not-found\nActiveState=inactive\nUnitFileState=".to_owned(),
        },
    );
    if disk.firewalld != Firewalld::Absent {
        say("firewall", "firewalld");
    }
    say("first-boot", "done");
    say("end", "");
    out
}

/// The files of a script that writes files; `None` if it is not such a one, to the letter.
fn put(text: &str) -> Option<Vec<(String, File)>> {
    let mut rest =
        text.strip_prefix("set -eu\numask 077\ntrap 'rm -f -- \"$@\"' EXIT\nset --\n")?;
    let mut files = Vec::new();
    while let Some(after) = rest.strip_prefix("(umask 022; mkdir -p -- ") {
        let n = files.len() + 1;
        let (folder, after) = word(after)?;
        let after = after.strip_prefix(&format!(")\nt{n}=$(mktemp "))?;
        let (temporary, after) = after
            .strip_prefix(&format!("{}/.fleet.XXXXXX)", fleet_driver::text::sh(&folder)))
            .map(|after| (folder.clone(), after))?;
        let after = after.strip_prefix(&format!("\nset -- \"$@\" \"$t{n}\"\nchmod "))?;
        let (mode, after) = after.split_once(' ')?;
        let after =
            after.strip_prefix(&format!("\"$t{n}\"\nbase64 -d >\"$t{n}\" <<'END-OF-FILE'\n"))?;
        let (content, after) = after.split_once("END-OF-FILE\n")?;
        let content = Base64::decode_vec(&content.replace('\n', "")).ok()?;
        files.push((temporary, File { mode: u32::from_str_radix(mode, 8).ok()?, content }));
        rest = after;
    }
    rest = rest.strip_prefix("sync \"$@\" 2>/dev/null || sync\n")?;
    for (n, (folder, _)) in files.iter_mut().enumerate() {
        let after = rest.strip_prefix(&format!("mv -f -- \"$t{}\" ", n + 1))?;
        let (path, after) = word(after)?;
        // A rename is atomic within one folder only.
        if path.rsplit_once('/')?.0 != folder.trim_end_matches('/') {
            return None;
        }
        *folder = path;
        rest = after.strip_prefix('\n')?;
    }
    rest.is_empty().then_some(files)
}
