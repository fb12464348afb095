//! Tests of the seed.

use super::*;

fn made(user: &str, content: &str) -> Vec<(String, String)> {
    let private =
        Secret::new("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END-----\n".to_owned());
    let cards = [
        Card { mac: "52:54:00:AB:CD:01".to_owned(), address: CardAddress::Dhcp },
        Card {
            mac: "52:54:00:AB:CD:02".to_owned(),
            address: CardAddress::Static {
                address: Ipv4Addr::new(10, 77, 0, 11),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 77, 0, 1)),
                dns: vec![Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)],
            },
        },
    ];
    let hosts = [
        (Ipv4Addr::new(10, 77, 0, 11), "host1".to_owned()),
        (Ipv4Addr::new(10, 77, 0, 12), "worker-1".to_owned()),
    ];
    let files = seed(&SeedInput {
        instance: "0f9a-1".to_owned(),
        hostname: "host1",
        user,
        authorized_key: "ssh-ed25519 AAAA me\n",
        host_key: HostKey { public: "ssh-ed25519 BBBB host1\n", private: &private },
        cards: &cards,
        hosts: &hosts,
        files: vec![GuestFile {
            path: "/etc/docker/fleet/server-key.pem".to_owned(),
            mode: 0o600,
            content: Secret::new(content.as_bytes().to_vec()),
        }],
        early: vec![Secret::new("echo \"early: #1\"\n".to_owned())],
    })
    .unwrap();
    files
        .into_iter()
        .map(|(name, text)| (name, String::from_utf8(text.expose().clone()).unwrap()))
        .collect()
}

#[test]
fn the_data_source_finds_its_three_files() {
    let files = made("fleet", "key");
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["user-data", "meta-data", "network-config"]);
    assert!(files[0].1.starts_with("#cloud-config\n"));
    assert!(files[2].1.contains("52:54:00:ab:cd:02"));
}

/// What cloud-init's own YAML reader makes of it, where Python has one.
#[test]
fn yaml_reads_what_was_meant() {
    let content = "a: [b] # \"c\" 'd' {{ e }}\t\\n\u{7f}\u{85}\u{2028}ü🐳\n";
    let files = made("fl:eet # ", content);
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in &files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let read = "import json, sys, yaml\n\
        print(json.dumps([yaml.safe_load(open(f, encoding='utf-8')) for f in sys.argv[1:]]))";
    let output = std::process::Command::new("python3")
        .args(["-c", read, "user-data", "meta-data", "network-config"])
        .current_dir(dir.path())
        .output();
    let Ok(output) = output else { return };
    if String::from_utf8_lossy(&output.stderr).contains("No module named 'yaml'") {
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (user, meta, network) = (&all[0], &all[1], &all[2]);
    assert_eq!(user["users"][0]["name"], "fl:eet # ");
    assert_eq!(user["users"][0]["ssh_authorized_keys"][0], "ssh-ed25519 AAAA me");
    assert_eq!(user["ssh_keys"]["ed25519_public"], "ssh-ed25519 BBBB host1");
    assert!(user["ssh_keys"]["ed25519_private"].as_str().unwrap().ends_with("-----END-----\n"));
    assert_eq!(user["bootcmd"][0], "echo \"early: #1\"\n");
    let hosts = user["write_files"][0]["content"].as_str().unwrap();
    assert!(hosts.ends_with("10.77.0.11\thost1\n10.77.0.12\tworker-1\n"));
    assert_eq!(user["write_files"][1]["content"], content);
    assert_eq!(user["write_files"][1]["permissions"], "0600");
    assert!(user["runcmd"][0].as_str().unwrap().contains("cloud-init.disabled"));
    assert_eq!(meta["instance-id"], "0f9a-1");
    assert_eq!(network["version"], 2);
    let (outside, lab) = (&network["ethernets"]["dhcp-1"], &network["ethernets"]["lab-2"]);
    assert_eq!(lab["addresses"][0], "10.77.0.11/24");
    assert_eq!(lab["match"]["macaddress"], "52:54:00:ab:cd:02");
    assert_eq!(lab["routes"][0]["via"], "10.77.0.1");
    assert_eq!(lab["nameservers"]["addresses"][1], "10.77.0.2");
    assert_eq!((&lab["dhcp4"], &outside["dhcp4"]), (&false.into(), &true.into()));
    assert!(outside.get("addresses").is_none() && outside.get("routes").is_none());
}

#[test]
fn secrets_do_not_show() {
    let files = made("fleet", "-----BEGIN PRIVATE KEY-----");
    assert!(files[0].1.contains("BEGIN PRIVATE KEY"));
    let scrub = scrub();
    assert!(!format!("{scrub:?}").contains("cloud-init"), "scripts may hold secrets");
}

/// The scrub, in a folder that stands for the guest's root.
#[cfg(unix)]
#[test]
fn scrubbing_leaves_no_secret() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    let instance = "var/lib/cloud/instances/i-1";
    for dir in [instance, "run/cloud-init", "etc/cloud", "var/lib/cloud/seed/nocloud"] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    let copies = [
        format!("{instance}/user-data.txt"),
        format!("{instance}/user-data.txt.i"),
        format!("{instance}/cloud-config.txt"),
        format!("{instance}/obj.pkl"),
        "run/cloud-init/instance-data-sensitive.json".to_owned(),
        "run/cloud-init/combined-cloud-config.json".to_owned(),
        "var/lib/cloud/seed/nocloud/user-data".to_owned(),
    ];
    for copy in &copies {
        std::fs::write(at(copy), "PRIVATE KEY").unwrap();
    }
    std::fs::write(at("run/cloud-init/result.json"), "{}").unwrap();
    let mut script = scrub().text.expose().replace("\nsync\n", "\n");
    for top in ["/var/lib/", "/run/", "/etc/"] {
        let there = format!(" {}{top}", root.path().display());
        script = script.replace(&format!(" {top}"), &there);
    }
    let output = std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for copy in &copies {
        let left = std::fs::read_to_string(at(copy)).unwrap_or_default();
        assert!(!left.contains("PRIVATE KEY"), "{copy}");
    }
    assert!(at("etc/cloud/cloud-init.disabled").exists());
    assert!(at("run/cloud-init/result.json").exists(), "`cloud-init status` reads it");
    assert!(!at(&format!("{instance}/obj.pkl")).exists());
}

/// The last stage of a first boot needs its pickled data source until it has ended.
#[cfg(unix)]
#[test]
fn scrubbing_waits_for_the_first_boot_without_systemd_too() {
    use crate::guest::install::tests::machine::{Machine, SHELLS};
    const SETSID: (&str, &str) = ("setsid", r#"echo "$1 $2" >"$ROOT/log""#);
    const SYNC: (&str, &str) = (
        "sync",
        r#"turns=0
until [ -s "$ROOT/log" ] || [ "$turns" -ge 100000 ]; do turns=$((turns + 1)); done"#,
    );
    for shell in SHELLS {
        let machine = Machine::new(&[SETSID, SYNC]);
        let pickled = "var/lib/cloud/instances/i-1/obj.pkl";
        machine.write(pickled, "x");
        machine.write("run/cloud-init/status.json", "{}");
        let Some(ended) = machine.run(shell, scrub().text.expose()) else { continue };
        assert_eq!(ended.well().log, "sh -c\n");
        assert_eq!(machine.read(pickled), "x");
        machine.write("run/cloud-init/result.json", "{}");
        machine.run(shell, scrub().text.expose()).unwrap();
        assert!(!machine.at(pickled).exists());
    }
}
