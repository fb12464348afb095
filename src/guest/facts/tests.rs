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
