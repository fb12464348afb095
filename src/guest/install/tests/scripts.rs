//! Each installing script runs for real, in each shell, on stand-ins.

use super::machine::{Machine, SHELLS};
use super::managers::{
    ALPINE, ARCH, DEBIAN, FEDORA, LEAP, REPOSITORIES, ROCKY, SYSTEMS, System, YUM, each,
};

#[test]
fn a_fresh_installation() {
    for system in &SYSTEMS {
        each(
            system,
            None,
            |_| {},
            |ended, _| {
                let call = ended.well().call(system.install.0);
                assert!(call.ends_with(system.install.1), "{call}");
                let end = format!("{}\nusermod -aG docker fleet\n", system.enables);
                assert!(ended.log.ends_with(&end), "{}", ended.log);
            },
        );
    }
}

#[test]
fn a_wanted_version_is_looked_up() {
    for system in &SYSTEMS {
        let (wanted, end) = system.pinned;
        each(
            system,
            Some(wanted),
            |_| {},
            |ended, _| {
                let call = ended.well().call(system.install.0);
                assert!(call.ends_with(end), "{call}");
            },
        );
    }
    for (wanted, found) in [("26.1.5", "=5:26.1.5-1 "), ("20.1", "=20.1.0-1 ")] {
        each(
            &DEBIAN,
            Some(wanted),
            |_| {},
            |ended, _| {
                let call = ended.well().call(DEBIAN.install.0);
                assert!(call.contains(&format!(" docker.io{found}apparmor ")), "{call}");
            },
        );
    }
}

#[test]
fn a_version_that_does_not_exist_lists_those_that_do() {
    for system in &SYSTEMS {
        each(
            system,
            Some("19.03"),
            |_| {},
            |ended, _| {
                assert_eq!(ended.status, Some(100), "{ended:?}");
                assert!(ended.stderr.starts_with("there is no "), "{}", ended.stderr);
                assert!(ended.stderr.contains(" 19.03 for this system; it has:\n"), "{ended:?}");
                assert!(ended.stderr.contains(&format!("\n  {}\n", system.listed)), "{ended:?}");
                assert_eq!((ended.times(system.install.0), ended.times("usermod")), (0, 0));
            },
        );
        each(
            system,
            Some("28"),
            |machine| machine.write("versions", ""),
            |ended, _| assert!(ended.stderr.ends_with("it has:\n  none at all\n"), "{ended:?}"),
        );
    }
}

#[test]
fn what_fails_at_first_is_tried_again_and_not_for_ever() {
    for system in &SYSTEMS {
        let lay = |many| move |machine: &mut Machine| machine.lay(system.trouble, many);
        each(system, None, lay(2), |ended, _| {
            assert_eq!((ended.status, ended.times("sleep")), (Some(0), 2), "{ended:?}");
            ended.call(system.install.0);
        });
        each(system, None, lay(20), |ended, _| {
            assert_eq!((ended.status, ended.times("sleep")), (Some(100), 2), "{ended:?}");
            assert!(ended.stderr.contains("failed 3 times: "), "{}", ended.stderr);
            assert_eq!(ended.times(system.install.0), 0);
        });
    }
}

#[test]
fn what_an_installation_says_when_it_fails_is_kept() {
    for system in &SYSTEMS {
        each(
            system,
            None,
            |machine| machine.write("wrong", "no space left on device\n"),
            |ended, _| {
                assert_eq!(ended.status, Some(100), "{}: {ended:?}", system.os);
                assert!(ended.stderr.contains("no space left on device\n"), "{}", ended.stderr);
                assert_eq!(ended.times(system.enables), 0);
            },
        );
    }
}

#[test]
fn an_account_gets_in_without_usermod_too() {
    each(
        &ALPINE,
        None,
        |machine| machine.lacks("usermod"),
        |ended, _| {
            ended.well().call("addgroup fleet docker");
        },
    );
}

#[test]
fn dockers_script_runs_with_whatever_fetches_and_lets_the_account_in() {
    const FETCH: &str = r#"note "$@"
for file; do case $file in */get-docker.sh) break ;; esac; done
echo 'echo "ran $VERSION" >>"$ROOT/log"' >"$file""#;
    let script = super::text(super::ask(super::Install::GetDocker, Some("28"), "plan9", None));
    for shell in SHELLS {
        for (fetcher, joiner) in
            [("curl", "usermod -aG docker fleet"), ("wget", "addgroup fleet docker")]
        {
            let mut machine = Machine::new(&[(fetcher, FETCH)]);
            if joiner.starts_with("addgroup") {
                machine.lacks("usermod");
            }
            let Some(ended) = machine.run(shell, &script) else { continue };
            assert!(ended.well().call(fetcher).ends_with(" https://get.docker.com"));
            assert!(ended.log.ends_with(&format!("\nran 28\n{joiner}\n")), "{}", ended.log);
        }
    }
}

#[test]
fn dockers_own_repository_is_written_where_it_is_needed() {
    const PATH: &str = "etc/yum.repos.d/docker-ce.repo";
    each(
        &ROCKY,
        None,
        |_| {},
        |ended, machine| {
            ended.well();
            let text = machine.read(PATH);
            for line in [
                "[docker-ce-stable]",
                "baseurl=https://download.docker.com/linux/centos/9/$basearch/stable",
                "gpgcheck=1",
                "gpgkey=https://download.docker.com/linux/centos/gpg",
            ] {
                assert!(text.lines().any(|found| found == line), "{text}");
            }
            assert!(!machine.at(&format!("{PATH}.new")).exists());
        },
    );
    each(
        &ROCKY,
        None,
        |machine| machine.write(PATH, "theirs"),
        |ended, machine| {
            ended.well();
            assert_eq!(machine.read(PATH), "theirs");
        },
    );
    each(&FEDORA, None, |_| {}, |_, machine| assert!(!machine.at(PATH).exists()));
}

#[test]
fn the_lock_of_dnf_is_waited_for() {
    each(
        &ROCKY,
        None,
        |machine| machine.lay("locked", 2),
        |ended, _| {
            assert_eq!((ended.status, ended.times("sleep")), (Some(0), 2), "{ended:?}");
            assert_eq!(ended.times(ROCKY.install.0), 3);
        },
    );
}

#[test]
fn yum_is_told_to_go_back() {
    let amazon = System { os: "amazon-2", ..ROCKY };
    each(
        &amazon,
        Some("20.10"),
        |machine| {
            machine.lacks("dnf");
            machine.program("yum", YUM);
            machine.program("amazon-linux-extras", r#"note "$@""#);
            machine.write("installed", "docker-25.0.8-1.amzn2\n");
            let versions = "docker.x86_64 25.0.8-1.amzn2 x\ndocker.x86_64 20.10.25-1.amzn2 x\n";
            machine.write("versions", versions);
        },
        |ended, machine| {
            ended.well().call("amazon-linux-extras enable docker");
            ended.call("yum -y --setopt=timeout=30 --setopt=retries=3 install");
            ended.call("yum -y --setopt=timeout=30 --setopt=retries=3 downgrade");
            assert!(machine.read("installed").contains("\ndocker-20.10.25-1.amzn2\n"));
        },
    );
}

#[test]
fn sles_opens_its_module_where_it_must() {
    let sles = System { os: "sles-15.6", ..LEAP };
    each(
        &sles,
        None,
        |machine| machine.write("closed", ""),
        |ended, _| {
            ended.well().call("SUSEConnect -p sle-module-containers/15.6/x86_64");
            ended.call(sles.install.0);
        },
    );
    each(&sles, None, |_| {}, |ended, _| assert_eq!(ended.well().times("SUSEConnect"), 0));
}

#[test]
fn the_lock_of_pacman_is_waited_for() {
    let lock = |machine: &mut Machine| machine.write("var/lib/pacman/db.lck", "");
    each(
        &ARCH,
        None,
        |machine| {
            lock(machine);
            machine.meanwhile(
                r#"echo >>"$ROOT/slept"
[ "$(wc -l <"$ROOT/slept")" -lt 3 ] || rm -f "$ROOT/var/lib/pacman/db.lck""#,
            );
        },
        |ended, _| {
            assert_eq!(ended.well().times("sleep 5"), 3);
            ended.call(ARCH.install.0);
        },
    );
    each(&ARCH, None, lock, |ended, _| {
        assert_eq!((ended.status, ended.times("sleep 5")), (Some(100), 60));
        assert!(ended.stderr.contains("db.lck is there since 300 s"), "{}", ended.stderr);
        assert_eq!(ended.times("pacman"), 0);
    });
}

#[test]
fn a_new_arch_makes_its_keys_first_and_upgrades_nothing() {
    each(
        &ARCH,
        None,
        |machine| machine.write("units/pacman-init.service", ""),
        |ended, _| {
            ended.well().call("systemctl start pacman-init.service");
            ended.call("pacman --noconfirm -S --needed archlinux-keyring");
            assert_eq!(ended.call("pacman --noconfirm -Sy"), "pacman --noconfirm -Sy");
        },
    );
}

#[test]
fn the_engines_repository_of_alpine_is_added_beside_the_main_one() {
    let added = format!("{REPOSITORIES}http://dl-cdn.alpinelinux.org/alpine/v3.22/community\n");
    for before in [REPOSITORIES, &added] {
        each(
            &ALPINE,
            None,
            |machine| machine.write("etc/apk/repositories", before),
            |ended, machine| {
                ended.well();
                assert_eq!(machine.read("etc/apk/repositories"), added);
            },
        );
    }
}
