//! Tests of the guest's answer.

use super::*;

fn answer(text: &str) -> Result<GuestFacts> {
    parse(&GuestOutput { stdout: text.as_bytes().to_vec(), ..GuestOutput::default() })
}

const FULL: &str = "fleet-facts 1\n1\nos 34\nID=debian\nVERSION_ID=\"12\"\nNAME=\"x\"\nkernel 5\n6.1.0\n\
    arch 6\nx86_64\ndockerd 17\n/usr/sbin/dockerd\nversion 44\nDocker version 20.10.24+dfsg1, build 297e128\n\
    daemon 3\n{\n}\nown 38\n{\"labels\":[\"a=b\",\"fleet.settings=ab\"]}\n\
    unit 57\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nfirst-boot 4\ndone\nend 0\n\n";

#[test]
fn the_whole_answer_is_read() {
    let facts = answer(FULL).unwrap();
    assert_eq!(facts.os.id, "debian");
    assert_eq!((facts.kernel.as_str(), facts.arch.as_str()), ("6.1.0", "x86_64"));
    assert_eq!(facts.engine.as_deref(), Some("20.10.24+dfsg1"));
    assert_eq!(facts.disk.dockerd.as_deref(), Some("/usr/sbin/dockerd"));
    assert_eq!(facts.disk.daemon.as_deref(), Some("{\n}"));
    assert_eq!(facts.settings().as_deref(), Some("ab"));
    let unit = facts.unit.unwrap();
    assert!(unit.loaded);
    assert_eq!((unit.active.as_str(), unit.enabled.as_str()), ("active", "enabled"));
    assert_eq!(facts.first_boot, FirstBootState::Done);
    assert_eq!((facts.init, facts.disk.socket), (None, Socket::Handed));
    assert_eq!(facts.firewall, Firewall::None);
}

#[test]
fn anything_else_is_refused() {
    for wrong in [
        "",
        "Welcome!\n",
        "kernel 1\nx\nend 0\n\n",
        &FULL[..FULL.len() - 8],
        &FULL.replace("kernel 5", "kernel 4"),
        &FULL.replace("kernel", "colonel"),
        &FULL.replace("fleet-facts 1\n1", "fleet-facts 1\n2"),
        &format!("motd\n{FULL}"),
        &format!("{FULL}more"),
    ] {
        let error = answer(wrong).unwrap_err();
        assert_eq!(error.kind(), fleet_driver::ErrorKind::Guest, "{wrong:?}");
    }
}

/// This host is a guest, too: whatever it is, its answer must be readable.
#[cfg(unix)]
#[test]
fn the_script_and_the_reader_agree() {
    for shell in ["sh", "bash"] {
        let Ok(shell) = which::which(shell) else {
            continue;
        };
        let output = std::process::Command::new(shell)
            .arg("-c")
            .arg(script().text.expose())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let facts =
            parse(&GuestOutput { stdout: output.stdout, ..GuestOutput::default() }).unwrap();
        assert!(!facts.kernel.is_empty() && !facts.arch.is_empty());
    }
}

#[test]
fn versions_are_read() {
    assert_eq!(engine_version("Docker version 28.5.2, build abc").as_deref(), Some("28.5.2"));
    assert_eq!(engine_version(""), None);
}

/// Services as OpenRC and systemd tell of them, and firewalld.
#[cfg(unix)]
#[test]
fn each_init_is_asked_in_its_way() {
    use crate::guest::install::tests::machine::{Machine, SHELLS};
    const PROGRAMS: &[(&str, &str)] = &[
        ("rc-service", r#"cat "$ROOT/status""#),
        (
            "systemctl",
            r#"case "$*" in *Requires*) cat "$ROOT/requires" ;; *) cat "$ROOT/unit" ;; esac"#,
        ),
        ("firewall-cmd", r#"[ "$*" = --state ] && [ -e "$ROOT/firewalld" ]"#),
    ];
    let unit = |active: &str, enabled: &str| {
        Some(Unit { loaded: true, active: active.to_owned(), enabled: enabled.to_owned() })
    };
    for shell in SHELLS {
        let machine = Machine::new(PROGRAMS);
        let ask = |machine: &Machine| {
            let ended = machine.run(shell, script().text.expose())?;
            let stdout = ended.well().stdout.clone();
            Some(parse(&GuestOutput { stdout, ..GuestOutput::default() }).unwrap())
        };
        let Some(facts) = ask(&machine) else { continue };
        assert_eq!((facts.init, facts.unit), (None, None));

        machine.write("run/openrc/softlevel", "default");
        machine.write("status", " * status: started\n");
        let facts = ask(&machine).unwrap();
        assert_eq!((facts.init, facts.disk.socket), (Some(Init::OpenRc), Socket::Own));
        assert!(!facts.unit.unwrap().loaded);
        machine.write("etc/init.d/docker", "");
        for (status, active) in [
            ("started", "active"),
            ("starting", "activating"),
            ("stopped", "inactive"),
            ("crashed", "failed"),
        ] {
            machine.write("status", &format!(" * status: {status}\n"));
            assert_eq!(ask(&machine).unwrap().unit, unit(active, "disabled"));
        }
        machine.write("etc/runlevels/default/docker", "");
        assert_eq!(ask(&machine).unwrap().unit, unit("failed", "enabled"));
        assert_eq!(ask(&machine).unwrap().firewall, Firewall::None);

        machine.write("run/systemd/system/x", "");
        machine.write("unit", "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n");
        machine.write("firewalld", "");
        for (requires, socket) in [
            ("Requires=sysinit.target docker.socket\nWants=\n", Socket::Handed),
            ("Requires=sysinit.target\nWants=network-online.target\n", Socket::Own),
        ] {
            machine.write("requires", requires);
            let facts = ask(&machine).unwrap();
            assert_eq!((facts.init, facts.disk.socket), (Some(Init::Systemd), socket));
            assert_eq!(facts.unit, unit("active", "enabled"));
            assert_eq!(facts.firewall, Firewall::Firewalld);
        }
    }
}
