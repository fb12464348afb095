//! `env`, the whole command: nothing but shell code on standard output.

use fleet::pki::Pki;

use crate::support::scenario::Scenario;

async fn running() -> Scenario {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    let certs = lab.dir().join(".fleet/certs");
    Pki::open_or_create(&certs, "lab").unwrap();
    lab
}

#[tokio::test]
async fn a_running_machine_gets_the_variables_of_its_engine() {
    let lab = running().await;
    let ended = lab.fleet(&["env", "web-1", "--shell", "bash", "--no-proxy"]).await.exits(0);
    let engine = lab.server("web-1").address;
    let out = &ended.stdout;
    assert!(out.starts_with("export DOCKER_TLS_VERIFY='1';\n"), "{out}");
    assert!(out.contains(&format!("export DOCKER_HOST='tcp://{engine}';\n")), "{out}");
    assert!(out.contains("/.fleet/certs';\nexport DOCKER_MACHINE_NAME='web-1';\n"), "{out}");
    assert!(out.contains("export NO_PROXY='127.0.0.1';\n"), "{out}");
    let last = "# eval $(fleet env --no-proxy --shell bash web-1)\n";
    assert!(out.ends_with(last), "{out}");
    assert_eq!(ended.stderr, "");

    let json = lab.fleet(&["env", "web-1", "--json"]).await.exits(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["set"]["DOCKER_HOST"], format!("tcp://{engine}"));
}

#[tokio::test]
async fn ssh_says_what_the_users_own_ssh_needs() {
    let lab = running().await;
    let ended = lab.fleet(&["env", "web-1", "--shell", "fish", "--ssh"]).await.exits(0);
    assert!(ended.stdout.starts_with("set -gx DOCKER_HOST 'ssh://web-1';\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("set -e DOCKER_TLS_VERIFY;\n"));
    assert!(ended.stderr.contains("/.fleet/ssh/config\""), "{}", ended.stderr);
}

#[tokio::test]
async fn whatever_goes_wrong_is_not_evaluated() {
    let lab = running().await;
    lab.fleet(&["stop", "web-2"]).await.exits(0);
    for (args, code, says) in [
        (vec!["env", "web-2"], 5, "fleet start web-2"),
        (vec!["env", "web-3"], 5, "did you mean"),
        (vec!["env"], 2, "which machine?"),
        (vec!["env", "web-1", "--shell", "nu"], 2, "possible values"),
        (vec!["env", "web-1", "--unset"], 2, "cannot be used with"),
    ] {
        let ended = lab.fleet(&args).await.exits(code).says(says);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    std::fs::remove_dir_all(lab.dir().join(".fleet/certs")).unwrap();
    std::fs::remove_dir_all(lab.data().join("fleets")).unwrap();
    let ended = lab.fleet(&["env", "web-1"]).await.exits(5).says("no certificates yet");
    assert_eq!(ended.stdout, "");
}
