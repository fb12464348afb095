//! Keys and client configuration on a real file system, and OpenSSH's own opinion.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn entry(name: &str, port: u16) -> ClientEntry {
    ClientEntry {
        name: name.to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        user: "fleet".to_owned(),
        host_key: KeyPair::generate(&format!("{name} of lab")).unwrap().public,
    }
}

#[test]
fn a_new_pair_is_kept_private_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ssh/id_ed25519");
    let made = KeyPair::load_or_create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_to_string(public_path(&path)).unwrap(), format!("{}\n", made.public));
    assert!(made.public.starts_with("ssh-ed25519 ") && made.public.ends_with(" fleet"));

    let found = KeyPair::load_or_create(&path).unwrap();
    assert_eq!(found.public, made.public);
    assert_eq!(found.private, made.private);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
}

#[test]
fn a_key_that_others_can_read_is_protected_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ssh/id_ed25519");
    let made = KeyPair::load_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(public_path(&path)).unwrap();
    let found = KeyPair::load_or_create(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(found.public, made.public);
    assert!(public_path(&path).exists());
}

#[test]
fn a_damaged_key_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id_ed25519");
    fs::write(&path, "not a key").unwrap();
    let error = KeyPair::load_or_create(&path).unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Conflict);
    assert!(error.hint_text().unwrap().contains("fleet up"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
}

#[test]
fn a_lost_key_is_not_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id_ed25519");
    assert_eq!(KeyPair::load(&path).unwrap_err().kind(), fleet_driver::ErrorKind::NotFound);
    assert!(!path.exists());
    let made = KeyPair::load_or_create(&path).unwrap();
    assert_eq!(KeyPair::load(&path).unwrap().public, made.public);
}

#[test]
fn secrets_do_not_show() {
    let pair = KeyPair::generate("x").unwrap();
    assert!(pair.private.expose().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    assert!(!format!("{pair:?}").contains("PRIVATE"));
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id_ed25519");
    let pair = KeyPair::load_or_create(&path).unwrap();
    let ours = pair.fingerprint().unwrap();
    assert!(ours.starts_with("SHA256:"), "{ours}");
    let Ok(theirs) = std::process::Command::new("ssh-keygen").arg("-lf").arg(&path).output() else {
        return; // OpenSSH is not installed.
    };
    let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
    assert!(theirs.contains(&ours), "{theirs} does not hold {ours}");
}

#[test]
fn nothing_that_is_not_a_key_has_a_fingerprint() {
    assert!(fingerprint("ssh-ed25519 AAAA").is_err());
    assert!(fingerprint("").is_err());
}

/// What `ssh -G` makes of the configuration for one host.
fn openssh(config: &Path, host: &str) -> Option<String> {
    let out = std::process::Command::new("ssh").arg("-G").arg("-F").arg(config).arg(host).output();
    let out = out.ok()?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap())
}

#[test]
fn openssh_reads_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let ssh = dir.path().join("my \"lab\" at 100%d/ssh");
    write_client_config(&ssh, &[entry("host1", 2201), entry("worker-1", 2202)]).unwrap();
    let known = fs::read_to_string(ssh.join("known_hosts")).unwrap();
    let lines: Vec<&str> = known.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("worker-1 ssh-ed25519 AAAA"), "{}", lines[1]);
    assert_eq!(lines[1].split(' ').count(), 3, "the comment is left out");
    assert_eq!(mode(&ssh.join("config")), 0o600);

    let Some(seen) = openssh(&ssh.join("config"), "worker-1") else {
        return;
    };
    let folder = ssh.to_str().unwrap();
    for wanted in [
        "hostname 127.0.0.1",
        "port 2202",
        "user fleet",
        "hostkeyalias worker-1",
        "identitiesonly yes",
        "stricthostkeychecking true",
        &format!("userknownhostsfile {folder}/known_hosts"),
    ] {
        assert!(seen.lines().any(|line| line == wanted), "`{wanted}` is missing in:\n{seen}");
    }
    // `ssh -G` shows this one before it replaces `%%`.
    let key = format!("identityfile {}/id_ed25519", folder.replace('%', "%%"));
    assert!(seen.lines().any(|line| line == key), "`{key}` is missing in:\n{seen}");
}

#[test]
fn an_impossible_path_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error =
        write_client_config(&dir.path().join("a${HOME}b"), &[entry("host1", 1)]).unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Host);
}

#[test]
fn an_empty_fleet_has_an_empty_configuration() {
    let dir = tempfile::tempdir().unwrap();
    write_client_config(dir.path(), &[]).unwrap();
    let text = fs::read_to_string(dir.path().join("config")).unwrap();
    assert!(!text.contains("Host "), "{text}");
}
