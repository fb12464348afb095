//! What a guest says of itself: one script, one answer.

use std::time::Duration;

use fleet_driver::{Error, Result, Secret};
use serde_json::Value;

use super::os::OsRelease;
use super::settings::{OnDisk, Socket};
use super::source::Init;
use super::{GuestOutput, Script, Telling};
use crate::engine::SETTINGS_LABEL;
use crate::templates;

/// What a guest says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestFacts {
    /// Its operating system.
    pub os: OsRelease,
    /// The kernel's release.
    pub kernel: String,
    /// The processor architecture, such as `x86_64`.
    pub arch: String,
    /// The version of the installed engine, such as `20.10.24+dfsg1`.
    pub engine: Option<String>,
    /// What its disk holds of the engine's settings.
    pub disk: OnDisk,
    /// What starts its services; `None` if it is neither of those that fleet knows.
    pub init: Option<Init>,
    /// The engine's service; `None` if nobody knows.
    pub unit: Option<Unit>,
    /// What keeps packets out.
    pub firewall: Firewall,
    /// How far cloud-init is with the first boot.
    pub first_boot: FirstBootState,
}

/// The engine's service, in the words of systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Whether it is known to what starts services.
    pub loaded: bool,
    /// Such as `active`, `failed`.
    pub active: String,
    /// Such as `enabled`, `disabled`; empty if unknown.
    pub enabled: String,
}

/// What keeps packets out of a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Firewall {
    /// Nothing that fleet knows.
    #[default]
    None,
    /// firewalld, which runs.
    Firewalld,
}

/// How far cloud-init is with the first boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FirstBootState {
    /// It does not run in this boot.
    #[default]
    None,
    /// It is at it.
    Running,
    /// It has ended.
    Done,
}

impl GuestFacts {
    /// The digest of the settings on the disk, which the engine may not run with yet.
    pub fn settings(&self) -> Option<String> {
        let own: Value = serde_json::from_str(self.disk.own.as_deref()?).ok()?;
        own.get("labels")?.as_array()?.iter().find_map(|label| {
            let (key, value) = label.as_str()?.split_once('=')?;
            (key == SETTINGS_LABEL).then(|| value.to_owned())
        })
    }
}

/// The script that asks for all of it.
pub fn script() -> Script {
    Script {
        purpose: "look at the machine",
        text: Secret::new(templates::plain("guest/facts.sh").to_owned()),
        as_user: false,
        telling: Telling::Nothing,
        limit: Duration::from_secs(60),
    }
}

/// Reads the script's answer.
///
/// # Errors
/// `Guest`: the answer is cut off or mixed with something else.
pub fn parse(output: &GuestOutput) -> Result<GuestFacts> {
    let mut rest = output.stdout.as_slice();
    let mut facts = GuestFacts::default();
    let mut begun = false;
    loop {
        let (name, value, after) = item(rest).ok_or_else(|| strange(rest))?;
        rest = after;
        match (name, begun) {
            ("fleet-facts", false) if value == "1" => begun = true,
            (_, false) => return Err(strange(output.stdout.as_slice())),
            ("os", _) => facts.os = OsRelease::parse(&value),
            ("kernel", _) => facts.kernel = value,
            ("arch", _) => facts.arch = value,
            ("dockerd", _) => facts.disk.dockerd = Some(value),
            ("version", _) => facts.engine = engine_version(&value),
            ("daemon", _) => facts.disk.daemon = Some(value),
            ("own", _) => facts.disk.own = Some(value),
            ("init", _) => {
                let mut known = [Init::Systemd, Init::OpenRc].into_iter();
                facts.init = known.find(|init| init.name() == value);
            }
            ("socket", _) if value == "own" => facts.disk.socket = Socket::Own,
            ("unit", _) => facts.unit = Some(unit(&value)),
            ("firewall", _) if value == "firewalld" => facts.firewall = Firewall::Firewalld,
            ("first-boot", _) => {
                facts.first_boot = match value.as_str() {
                    "none" => FirstBootState::None,
                    "running" => FirstBootState::Running,
                    "done" => FirstBootState::Done,
                    _ => return Err(strange(value.as_bytes())),
                }
            }
            ("end", _) if rest.is_empty() => return Ok(facts),
            _ => return Err(strange(name.as_bytes())),
        }
    }
}

/// Takes one item off: its name, its text, and what follows.
fn item(bytes: &[u8]) -> Option<(&str, String, &[u8])> {
    let line_end = bytes.iter().position(|b| *b == b'\n')?;
    let (name, length) = std::str::from_utf8(&bytes[..line_end]).ok()?.split_once(' ')?;
    let body = &bytes[line_end + 1..];
    let length: usize = length.parse().ok()?;
    if body.get(length) != Some(&b'\n') {
        return None;
    }
    let value = String::from_utf8_lossy(&body[..length]).into_owned();
    Some((name, value, &body[length + 1..]))
}

/// Reads `Docker version 20.10.24+dfsg1, build 297e128`.
fn engine_version(text: &str) -> Option<String> {
    let version = text.strip_prefix("Docker version ")?.split([',', ' ']).next()?;
    (!version.is_empty()).then(|| version.to_owned())
}

fn unit(text: &str) -> Unit {
    let mut unit = Unit::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "LoadState" => unit.loaded = value == "loaded",
            "ActiveState" => value.clone_into(&mut unit.active),
            "UnitFileState" => value.clone_into(&mut unit.enabled),
            _ => {}
        }
    }
    unit
}

fn strange(at: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(at).chars().take(80).collect();
    Error::guest("the machine's answer about itself is not understood")
        .with("near", format!("{shown:?}"))
        .hint(
            "look whether logging in prints something: `fleet ssh MACHINE true` must print nothing",
        )
}

#[cfg(test)]
mod tests;
