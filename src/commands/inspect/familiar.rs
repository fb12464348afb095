//! A machine under the names that scripts know from docker-machine.

use fleet_driver::Sighting;
use serde_json::{Value, json};

use crate::commands::{Session, credentials};
use crate::config::{EngineSpec, Install, Role, Spec};
use crate::pki::{CA_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE};

/// What docker-machine's configuration of a machine would hold.
///
/// `IPAddress` and `SSHPort` belong together: they are where this host reaches the
/// machine's SSH, or its address on the lab network as long as it does not run.
pub(super) fn view(session: &Session, spec: &Spec, seen: Option<&Sighting>) -> Value {
    let reached = seen.and_then(|seen| seen.ssh);
    let ip = reached.map_or_else(|| spec.address.to_string(), |at| at.ip().to_string());
    let key = credentials::login_key(session)
        .unwrap_or_else(|| session.dir().join("ssh").join("id_ed25519"));
    let certs = session.certs();
    let cert = |file: &str| certs.join(file).display().to_string();
    let user = session.store.record(&spec.name).map_or(&spec.user, |record| &record.user);
    json!({
        "ConfigVersion": 3,
        "Name": spec.name,
        "DriverName": spec.driver,
        "Driver": {
            "IPAddress": ip,
            "MachineName": spec.name,
            "SSHUser": user,
            "SSHPort": reached.map_or(22, |at| at.port()),
            "SSHKeyPath": key.display().to_string(),
            "StorePath": session.dir().display().to_string(),
            "SwarmMaster": spec.role == Some(Role::Manager),
            "SwarmHost": "",
            "SwarmDiscovery": "",
            "EnginePort": seen.and_then(|seen| seen.engine).map_or(2376, |at| at.port()),
            "CPU": spec.cpus,
            "Memory": spec.memory_mib,
            "DiskSize": spec.disk_mib,
        },
        "HostOptions": {
            "Driver": "",
            "Memory": 0,
            "Disk": 0,
            "EngineOptions": engine_options(&spec.engine),
            "SwarmOptions": {
                "IsSwarm": spec.role.is_some(),
                "Master": spec.role == Some(Role::Manager),
                "Agent": spec.role.is_some(),
                "Address": "",
                "Discovery": "",
                "Host": "",
                "Image": "",
                "Strategy": "",
                "ArbitraryFlags": [],
            },
            "AuthOptions": {
                "CertDir": certs.display().to_string(),
                "CaCertPath": cert(CA_FILE),
                "CaPrivateKeyPath": cert(CA_KEY_FILE),
                "ClientCertPath": cert(CERT_FILE),
                "ClientKeyPath": cert(KEY_FILE),
                // The engine's own are made on demand and kept in its machine alone.
                "ServerCertPath": "",
                "ServerKeyPath": "",
                "ServerCertSANs": [],
                "StorePath": session.dir().display().to_string(),
            },
        },
    })
}

/// The options of an engine; values of its environment may be secret and are left out.
pub(in crate::commands) fn engine_options(engine: &EngineSpec) -> Value {
    let pairs = |map: &std::collections::BTreeMap<String, String>| -> Vec<String> {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect()
    };
    let mut flags: Vec<String> =
        engine.log_driver.iter().map(|driver| format!("log-driver={driver}")).collect();
    flags.extend(pairs(&engine.log_opts).iter().map(|option| format!("log-opt={option}")));
    json!({
        "ArbitraryFlags": flags,
        "Env": engine.env.keys().map(|key| format!("{key}=[redacted]")).collect::<Vec<_>>(),
        "InsecureRegistry": engine.insecure_registries,
        "InstallURL": match &engine.install {
            Install::GetDocker => "https://get.docker.com".to_owned(),
            Install::Script(path) => path.display().to_string(),
            Install::None => "none".to_owned(),
            Install::Auto | Install::Distro => String::new(),
        },
        "Labels": pairs(&engine.labels),
        "RegistryMirror": engine.registry_mirrors,
        "StorageDriver": engine.storage_driver.clone().unwrap_or_default(),
        "TlsVerify": true,
        "SelinuxEnabled": false,
        "Ipv6": false,
        "LogLevel": "",
        "GraphDir": "",
        "Dns": [],
    })
}
