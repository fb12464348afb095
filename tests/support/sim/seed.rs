//! The first boot: what cloud-init would make of a seed, read strictly.

use serde_json::Value;

use super::disk::{Disk, File};
use super::text;

const EARLY: &str = include_str!("../../../templates/guest/early.sh");
const LAST: &str = include_str!("../../../templates/guest/last.sh");

/// What a seed asks for.
pub struct Seed {
    pub instance: String,
    pub hostname: String,
    pub user: String,
    pub login: String,
    pub host_key: String,
    /// The address on the lab network, with its prefix.
    pub lab: String,
    files: Vec<(String, File)>,
    early: Vec<String>,
}

/// Keys of `user-data` that say nothing to a simulated guest.
const SILENT: &[&str] = &[
    "preserve_hostname",
    "manage_etc_hosts",
    "locale",
    "package_update",
    "package_upgrade",
    "ssh_pwauth",
    "disable_root",
    "ssh_deletekeys",
    "ssh_genkeytypes",
    "growpart",
    "resize_rootfs",
];

impl Seed {
    /// Reads the files of a seed.
    pub fn read(files: &[(String, String)]) -> Result<Self, String> {
        let file = |name: &str| {
            let found = files.iter().find(|(found, _)| found == name);
            let (_, text) = found.ok_or_else(|| format!("the seed has no `{name}`"))?;
            Ok::<_, String>((text.as_str(), text::yaml(text)?))
        };
        let (meta, network) = (file("meta-data")?.1, file("network-config")?.1);
        let (text, user) = file("user-data")?;
        if text.lines().next() != Some("#cloud-config") {
            return Err("user-data does not begin with `#cloud-config`".to_owned());
        }
        let known = ["hostname", "users", "ssh_keys", "bootcmd", "write_files", "runcmd"];
        let keys = user.as_object().ok_or("user-data is no mapping")?;
        if let Some(key) = keys.keys().find(|k| !known.contains(&&***k) && !SILENT.contains(&&***k))
        {
            return Err(format!("user-data has the key `{key}`, which no simulated guest knows"));
        }
        for command in list(&user["runcmd"]) {
            let command = string(command)?;
            text::filled(LAST, &command).ok_or(format!("runcmd is not understood: {command}"))?;
        }
        let hostname = string(&user["hostname"])?;
        if string(&meta["local-hostname"])? != hostname {
            return Err("meta-data and user-data disagree about the host's name".to_owned());
        }
        let account = &user["users"][0];
        Ok(Self {
            instance: string(&meta["instance-id"])?,
            hostname,
            user: string(&account["name"])?,
            login: string(&account["ssh_authorized_keys"][0])?,
            host_key: string(&user["ssh_keys"]["ed25519_private"])?,
            lab: lab_address(&network["ethernets"])?,
            files: list(&user["write_files"]).map(file_of).collect::<Result<_, _>>()?,
            early: list(&user["bootcmd"]).map(string).collect::<Result<_, _>>()?,
        })
    }

    /// Does what the first boot does, in its order.
    pub fn apply(&self, disk: &mut Disk) -> Result<(), String> {
        disk.instance.clone_from(&self.instance);
        disk.hostname.clone_from(&self.hostname);
        disk.user.clone_from(&self.user);
        disk.login.clone_from(&self.login);
        disk.host_key.clone_from(&self.host_key);
        self.lab.split('/').next().unwrap_or_default().clone_into(&mut disk.lab);
        for command in &self.early {
            early(command, disk)?;
        }
        for (path, file) in &self.files {
            disk.files.insert(path.clone(), file.clone());
        }
        disk.write("/etc/cloud/cloud-init.disabled", 0o644, "");
        disk.secrets = true;
        Ok(())
    }
}

/// What `early.sh` does to a disk.
fn early(command: &str, disk: &mut Disk) -> Result<(), String> {
    let values = text::filled(EARLY, command)
        .ok_or_else(|| format!("a bootcmd is not understood: {command}"))?;
    let systemd = disk.system.has_systemd();
    let own = format!("{}\n", values[if systemd { "own" } else { "own_openrc" }]);
    disk.write("/etc/docker/fleet/daemon.json", 0o600, &own);
    let there = disk.text("/etc/docker/daemon.json").filter(|text| !text.is_empty());
    let merged = match there {
        None => own,
        Some(there) => {
            if disk.text("/etc/docker/daemon.json.before-fleet").is_none() {
                disk.write("/etc/docker/daemon.json.before-fleet", 0o600, &there);
            }
            let parse = |text: &str| serde_json::from_str::<serde_json::Map<String, Value>>(text);
            let mut merged = parse(&there).map_err(|e| format!("the image's daemon.json: {e}"))?;
            merged.extend(parse(&own).map_err(|e| format!("fleet's daemon.json: {e}"))?);
            format!("{:#}", Value::Object(merged))
        }
    };
    disk.write("/etc/docker/daemon.json", 0o600, &merged);
    if systemd {
        disk.write(&values["drop_in_path"], 0o644, &values["drop_in"]);
    } else {
        disk.add_conf(&values["conf"]);
    }
    Ok(())
}

/// The address of the only card that has one of its own.
fn lab_address(cards: &Value) -> Result<String, String> {
    let cards = cards.as_object().ok_or("network-config has no cards")?;
    let mut fixed = cards.values().filter(|card| card["dhcp4"] == false);
    let card = fixed.next().ok_or("no card has an address of its own")?;
    if fixed.next().is_some() {
        return Err("two cards have addresses of their own".to_owned());
    }
    string(&card["addresses"][0])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("the seed has {value} for a text"))
}

fn file_of(value: &Value) -> Result<(String, File), String> {
    let mode = string(&value["permissions"])?;
    let mode = u32::from_str_radix(&mode, 8).map_err(|_| format!("{mode} are no permissions"))?;
    if value["owner"] != "root:root" {
        return Err(format!("a file belongs to {}", value["owner"]));
    }
    let content = string(&value["content"])?.into_bytes();
    Ok((string(&value["path"])?, File { mode, content }))
}
