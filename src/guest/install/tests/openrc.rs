//! What runs in guests with OpenRC, on stand-ins, and the firewall's script.

use super::machine::{Ended, Machine, SHELLS};
use super::*;
use crate::guest::seed::last;

/// Restarting appends what the engine says to its log.
const ENGINE: &[(&str, &str)] = &[
    ("dockerd", ""),
    (
        "rc-service",
        r#"note "$@"; [ "$2" != restart ] || cat "$ROOT/says" >>"$ROOT/var/log/docker.log""#,
    ),
];

fn applied(
    shell: &[&str],
    says: &str,
    before: impl FnOnce(&mut Machine),
) -> Option<(Machine, Ended)> {
    let mut machine = Machine::new(ENGINE);
    machine.write("var/log/docker.log", "level=info msg=\"API listen on /var/run/docker.sock\"\n");
    machine.write("etc/conf.d/docker", "DOCKER_OPTS=\"--debug\"\n");
    machine.write("says", says);
    before(&mut machine);
    let ended = machine.run(shell, apply(Init::OpenRc).unwrap().text.expose())?;
    Some((machine, ended))
}

#[test]
fn an_engine_starts_with_its_settings() {
    for shell in SHELLS {
        let late = |machine: &mut Machine| {
            machine.meanwhile(r#"echo 'API listen on [::]:2376' >>"$ROOT/var/log/docker.log""#);
        };
        let Some((machine, ended)) = applied(shell, "msg=\"Starting up\"\n", late) else {
            continue;
        };
        ended.well().call("rc-service docker restart");
        ended.call("rc-update add docker default");
        assert_eq!(ended.times("sleep"), 1);
        let conf = machine.read("etc/conf.d/docker");
        assert!(conf.starts_with("DOCKER_OPTS=\"--debug\"\n\n# Added by fleet"), "{conf}");
        // A second time nothing is added.
        let again = machine.run(shell, apply(Init::OpenRc).unwrap().text.expose()).unwrap();
        again.well();
        assert_eq!(machine.read("etc/conf.d/docker"), conf);
    }
}

#[test]
fn an_engine_that_fails_says_why() {
    for shell in SHELLS {
        let says = "failed to load listeners: bad certificate\n";
        let Some((_, ended)) = applied(shell, says, |_| {}) else { continue };
        assert_eq!(ended.status, Some(1));
        assert_eq!(ended.stderr, format!("the engine does not start; it says:\n{says}"));
        let (_, ended) = applied(shell, says, |machine| machine.lacks("dockerd")).unwrap();
        assert_eq!((ended.status, ended.log.as_str()), (Some(1), ""));
        // One that says nothing is left to those who ask it.
        let (_, ended) = applied(shell, "", |_| {}).unwrap();
        assert_eq!(ended.well().times("sleep"), 59);
    }
}

#[test]
fn the_engines_environment_is_read_by_a_shell_too() {
    for shell in SHELLS {
        let machine = Machine::new(&[]);
        let values = serde_json::json!({
            "variables": [{ "name": "HTTPS_PROXY", "value": "http://u:$p\"`w`@x\\ %h it's #1" }],
        });
        let text = templates::render("docker/environment", &values).unwrap();
        machine.write("etc/docker/fleet/environment", &text);
        let script =
            format!("{}\nsh -c 'printf %s \"$HTTPS_PROXY\"'\n", templates::plain("docker/conf.d"));
        let Some(ended) = machine.run(shell, &script) else { continue };
        let said = String::from_utf8_lossy(&ended.well().stdout);
        assert_eq!(said, "http://u:$p\"`w`@x\\ %h it's #1");
    }
}

#[test]
fn the_first_boot_ends_with_an_account_that_gets_in() {
    const BASH: &str = "root:x:0:0::/root:/bin/ash\nfleet:x:1000:1000::/home/fleet:/bin/bash\n";
    let sh = BASH.replace("/bin/bash", "/bin/sh");
    for shell in SHELLS {
        for (bash, usermod, groups) in
            [(true, true, "docker:x:1:\n"), (false, false, "docker:x:1:\n"), (true, true, "")]
        {
            let mut machine = Machine::new(&[]);
            machine.write("etc/cloud/cloud.cfg", "");
            machine.write("etc/passwd", BASH);
            machine.write("etc/group", groups);
            if bash {
                machine.program("bash", "");
            }
            if !usermod {
                machine.lacks("usermod");
            }
            let there = format!("-x {} ]", machine.at("bin/bash").display());
            let script = last("fleet").unwrap().replace("-x /bin/bash ]", &there);
            let Some(ended) = machine.run(shell, &script) else { continue };
            assert_eq!(machine.read("etc/passwd"), if bash { BASH } else { sh.as_str() });
            assert!(machine.at("etc/cloud/cloud-init.disabled").exists());
            let joins = match (groups, usermod) {
                ("", _) => "",
                (_, true) => "usermod -aG docker fleet\n",
                (_, false) => "addgroup fleet docker\n",
            };
            assert_eq!(ended.well().log, joins);
        }
    }
}

#[test]
fn the_firewall_lets_the_lab_through_and_the_engine_to_everybody() {
    // Two states, as firewalld has them: what counts now, and what counts after a boot.
    let firewalld = [(
        "firewall-cmd",
        r#"[ "$1" = --quiet ] || exit 2
shift
state=now
if [ "$1" = --permanent ]; then state=later; shift; fi
[ $# = 1 ] || exit 2
echo "$1" >>"$ROOT/$state""#,
    )];
    let script = firewall("10.77.0.0/24").unwrap();
    for shell in SHELLS {
        let machine = Machine::new(&firewalld);
        let Some(ended) = machine.run(shell, script.text.expose()) else { continue };
        ended.well();
        let now = machine.read("now");
        assert_eq!(now, machine.read("later"));
        let open: Vec<&str> = now.lines().filter(|line| !line.contains("rule")).collect();
        assert_eq!(open, ["--add-port=2376/tcp"]);
        let lab: Vec<&str> = now
            .lines()
            .filter_map(|line| {
                let begin = "--add-rich-rule=rule family=ipv4 source address=10.77.0.0/24 ";
                line.strip_prefix(begin)?.strip_suffix(" accept")
            })
            .collect();
        assert_eq!(
            lab,
            [
                "port port=2377 protocol=tcp",
                "port port=7946 protocol=tcp",
                "port port=7946 protocol=udp",
                "port port=4789 protocol=udp",
                "protocol value=esp",
            ]
        );
    }
}
