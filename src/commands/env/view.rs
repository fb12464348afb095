//! Which variables point a Docker client at a machine; pure.

use std::net::SocketAddr;
use std::path::Path;

use super::proxy;
use super::shell::EnvView;
use crate::host::Host;

/// Every variable that `fleet env` ever sets, the list that `--unset` goes by.
const NAMES: [&str; 5] = [
    "DOCKER_TLS_VERIFY",
    "DOCKER_HOST",
    "DOCKER_CERT_PATH",
    // Prompts and scripts made for docker-machine look for this one.
    "DOCKER_MACHINE_NAME",
    "FLEET_MACHINE",
];

/// Whether clients are to reach the machine past a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxy {
    /// Leave `NO_PROXY` alone.
    Leave,
    /// Keep the machine's address in `NO_PROXY`.
    Bypass,
}

/// Mutual TLS to the engine's port.
pub(super) fn tls(
    machine: &str,
    engine: SocketAddr,
    certs: &Path,
    proxy: Proxy,
    host: &Host,
) -> EnvView {
    let mut view = EnvView::default();
    view.set("DOCKER_TLS_VERIFY", "1");
    view.set("DOCKER_HOST", format!("tcp://{engine}"));
    view.set("DOCKER_CERT_PATH", certs.display().to_string());
    view.set("DOCKER_MACHINE_NAME", machine);
    view.set("FLEET_MACHINE", machine);
    if proxy == Proxy::Bypass {
        proxy::add(&mut view, host, &engine.ip().to_string());
    }
    view
}

/// The user's own `ssh` program, by the machine's name in fleet's client configuration.
///
/// The Docker client runs `ssh` and gives it neither `-F` nor an identity
/// (docker/cli, `cli/connhelper`), so the user's configuration must include fleet's.
pub(super) fn ssh(machine: &str) -> EnvView {
    let mut view = EnvView::default();
    view.set("DOCKER_HOST", format!("ssh://{machine}"));
    view.set("DOCKER_MACHINE_NAME", machine);
    view.set("FLEET_MACHINE", machine);
    view.unset("DOCKER_TLS_VERIFY");
    view.unset("DOCKER_CERT_PATH");
    view
}

/// Takes everything back.
pub(super) fn unset(proxy: Proxy, host: &Host) -> EnvView {
    let mut view = EnvView::default();
    for name in NAMES {
        view.unset(name);
    }
    let address = host
        .var("DOCKER_HOST")
        .and_then(|url| url.strip_prefix("tcp://"))
        .and_then(|address| address.parse::<SocketAddr>().ok());
    if let (Proxy::Bypass, Some(address)) = (proxy, address) {
        proxy::remove(&mut view, host, &address.ip().to_string());
    }
    view
}

/// The line that the user's SSH configuration needs, unless it is there.
pub(super) fn missing_include(config: &Path, users: &str) -> Option<String> {
    let path = config.display().to_string();
    let included = users.lines().any(|line| {
        let line = line.trim();
        let word = line.get(..7).unwrap_or_default();
        word.eq_ignore_ascii_case("include") && line.contains(&path)
    });
    (!included).then(|| format!("Include \"{path}\""))
}
