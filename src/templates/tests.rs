//! Tests of all templates: each parses, quotes every value, and renders to what is
//! expected in `tests/golden/templates`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

#[test]
fn every_template_parses() {
    let names: BTreeMap<_, _> = ALL.iter().copied().collect();
    assert_eq!(names.len(), ALL.len(), "two templates share a name");
    LazyLock::force(&TERA);
}

fn ends(name: &str, extension: &str) -> bool {
    PathBuf::from(name).extension().is_some_and(|e| e == extension)
}

#[test]
fn every_value_is_quoted() {
    for (name, text) in ALL {
        if ends(name, "xml") {
            continue;
        }
        let filter = match *name {
            name if name.starts_with("cloud-init/") || ends(name, "json") => "json",
            name if name.starts_with("guest/") => "sh",
            _ => "",
        };
        for value in text.split("{{").skip(1) {
            let value = value.split("}}").next().unwrap();
            let used = value.split('|').nth(1).map(str::trim);
            assert!(used.is_some(), "`{name}` has a bare value: {{{{{value}}}}}");
            assert!(
                filter.is_empty() || used == Some(filter),
                "`{name}` quotes {{{{{value}}}}} for something else than {filter}"
            );
        }
    }
}

/// A template's view, filled with what is hardest to quote.
fn view(name: &str) -> Value {
    let env = json!({
        "set": [
            { "name": "DOCKER_HOST", "value": "tcp://127.0.0.1:40123" },
            { "name": "DOCKER_CERT_PATH", "value": "/home/it's me/a  \"b\" $HOME `id` \\ %PATH% !x" },
        ],
        "unset": ["DOCKER_CONTEXT"],
        "notes": ["One thing\nmore."],
        "command": "fleet env host1",
    });
    match name {
        "cloud-init/meta-data" => json!({ "instance": "0f-1", "hostname": "host1" }),
        "cloud-init/network-config" => json!({
            "cards": [{
                "id": "lab-1",
                "mac": "52:54:00:00:00:02",
                "dhcp": false,
                "address": "10.77.0.11/24",
                "gateway": "10.77.0.1",
                "dns": ["10.77.0.1"],
            }],
        }),
        "cloud-init/user-data" => json!({
            "hostname": "host1",
            "user": "fleet",
            "authorized_key": "ssh-ed25519 AAAA fleet",
            "host_key_private": "-----BEGIN-----\nx\n-----END-----\n",
            "host_key_public": "ssh-ed25519 BBBB host1",
            "early": ["echo 'early'\necho \"on\""],
            "files": [
                { "path": "/etc/hosts", "mode": "0644", "content": "127.0.0.1\tlocalhost\n" },
                { "path": "/etc/a b", "mode": "0600", "content": "key: {{ no }} \\ \"\u{7f}ü\"" },
            ],
            "last": "touch /x\n",
        }),
        "docker/10-fleet.conf" => json!({ "dockerd": "/opt/a b/dockerd" }),
        "docker/environment" => json!({
            "variables": [{ "name": "HTTPS_PROXY", "value": "http://u:$p\"`w`@x\\ %h" }],
        }),
        "guest/early.sh" => json!({
            "own": "{\n  \"labels\": [\"it's\"]\n}",
            "own_openrc": "{\n  \"hosts\": [\"unix:///var/run/docker.sock\"]\n}",
            "conf": "\n# it's\n. /etc/docker/fleet/environment\n",
            "drop_in": "[Service]\nExecStart=\n",
            "drop_in_dir": "/etc/systemd/system/docker.service.d",
            "drop_in_path": "/etc/systemd/system/docker.service.d/10-fleet.conf",
        }),
        "guest/apply-openrc.sh" => json!({ "conf": "\n. /etc/docker/fleet/environment\n" }),
        "guest/firewall.sh" => json!({ "engine": "2376", "lab": "10.77.0.0/24" }),
        "guest/install-begin.sh" => json!({
            "package": "docker.io", "others": "apparmor iptables", "version": "20.10; id",
        }),
        "guest/install-end.sh" => json!({ "init": "systemd", "user": "fleet" }),
        "guest/install-dnf.sh" => json!({
            "repository": "https://docker.example/linux/centos", "release": "9", "extras": "",
        }),
        "guest/install-zypper.sh" => json!({ "module": "sle-module-containers/15.6" }),
        "guest/install-apk.sh" => json!({ "community": "community" }),
        "guest/install-get-docker.sh" => {
            json!({ "url": "https://docker.example", "version": "", "user": "fleet" })
        }
        "guest/last.sh" => json!({ "user": "fleet" }),
        name if name.starts_with("env/") => env,
        // Those without variables.
        _ => json!({}),
    }
}

#[test]
fn every_template_renders_as_expected() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let bless = std::env::var_os("FLEET_BLESS").is_some();
    for (name, text) in ALL {
        // Somebody else's template without a view here brings its own test.
        if !MINE.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let rendered = render(name, &view(name)).unwrap();
        if !text.contains("{{") {
            assert_eq!(plain(name), rendered, "`{name}` is used as it stands");
        }
        let path = golden.join(name);
        if bless {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &rendered).unwrap();
        }
        let expected = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}; FLEET_BLESS=1 writes it", path.display()));
        assert_eq!(rendered, expected, "`{name}`; FLEET_BLESS=1 accepts the change");
    }
}

/// The folders of templates whose views are known here.
const MINE: [&str; 4] = ["cloud-init/", "docker/", "env/", "guest/"];

#[test]
fn an_undefined_value_is_an_error() {
    let error = render("cloud-init/meta-data", &json!({ "hostname": "x" })).unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Bug);
    assert!(render("nothing", &json!({})).is_err());
}

#[cfg(unix)]
#[test]
fn every_script_is_one() {
    for (name, _) in ALL.iter().filter(|(name, _)| ends(name, "sh")) {
        if !MINE.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let text = render(name, &view(name)).unwrap();
        let output = std::process::Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
