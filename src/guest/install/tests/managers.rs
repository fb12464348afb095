//! The package managers of guests, as stand-ins that keep a state: what is installed,
//! which versions there are, who holds the lock.

use super::machine::{Ended, Machine, SHELLS};
use super::script_for;
use crate::guest::source::tests::recorded;

/// A system: its programs, the versions they offer, and what its script calls.
pub(super) struct System {
    pub(super) os: &'static str,
    pub(super) programs: &'static [(&'static str, &'static str)],
    pub(super) versions: &'static str,
    /// How the call that installs begins, and how it ends without a version.
    pub(super) install: (&'static str, &'static str),
    /// A version that is there, and how its call ends.
    pub(super) pinned: (&'static str, &'static str),
    /// What stands in the list of those that are there.
    pub(super) listed: &'static str,
    pub(super) enables: &'static str,
    /// What fails a few times in the beginning, and then no longer.
    pub(super) trouble: &'static str,
}

/// Runs the script of a system in each shell, each time on a fresh machine.
#[track_caller]
pub(super) fn each(
    system: &System,
    version: Option<&str>,
    before: impl Fn(&mut Machine),
    check: impl Fn(&Ended, &Machine),
) {
    let script = script_for(recorded(system.os), version).unwrap();
    let mut ran = 0;
    for shell in SHELLS {
        let mut machine = Machine::new(system.programs);
        machine.write("versions", system.versions);
        machine.write("etc/apk/repositories", REPOSITORIES);
        before(&mut machine);
        let Some(ended) = machine.run(shell, &script) else { continue };
        check(&ended, &machine);
        ran += 1;
    }
    assert!(ran > 0, "there is no shell");
}

/// The package lists must be fetched before anything is found.
const APT: &[(&str, &str)] = &[
    (
        "apt-get",
        r#"note "$@"
case " $* " in
*" update "*)
    if take locked; then echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100; fi
    touch "$ROOT/lists" ;;
*" install "*)
    [ -e "$ROOT/lists" ] || { echo 'E: Unable to locate package' >&2; exit 100; }
    if [ -e "$ROOT/wrong" ]; then cat "$ROOT/wrong" >&2; exit 100; fi ;;
esac"#,
    ),
    ("apt-cache", r#"[ ! -e "$ROOT/lists" ] || cat "$ROOT/versions""#),
];
const MADISON: &str =
    " docker.io | 20.10.24+dfsg1-1+deb12u1+b6 | mirror bookworm/main amd64 Packages
 docker.io | 5:26.1.5-1 | mirror backports/main amd64 Packages
 docker.io | 20.1.0-1 | mirror old/main amd64 Packages
";

const DNF: &[(&str, &str)] = &[
    (
        "dnf",
        r#"note "$@"
case " $* " in
*" makecache "*)
    if take broken; then echo 'Error: Failed to download metadata' >&2; exit 1; fi ;;
*" list "*) cat "$ROOT/versions" ;;
*" install "*)
    if take locked; then echo 'Failed to obtain rpm transaction lock.' >&2; exit 1; fi
    if [ -e "$ROOT/wrong" ]; then cat "$ROOT/wrong" >&2; exit 1; fi
    for word; do case $word in docker* | moby*) echo "$word" >>"$ROOT/installed" ;; esac; done ;;
esac"#,
    ),
    ("rpm", r#"note "$@"; grep -qx "$2" "$ROOT/installed""#),
];
/// Old ones install nothing over what is newer.
pub(super) const YUM: &str = r#"note "$@"
case " $* " in
*" list "*) cat "$ROOT/versions" ;;
*" install "*) [ -s "$ROOT/installed" ] ;;
*" downgrade "*) for word; do echo "$word"; done >"$ROOT/installed" ;;
esac"#;
/// As yum and dnf print it: long names break lines.
const LISTED: &str = "Installed Packages
Available Packages
docker-ce.x86_64            3:26.1.3-1.el9                   docker-ce-stable
docker-ce.x86_64            3:26.1.4-1.el9                   docker-ce-stable
docker-ce.x86_64
                            3:28.3.2-1.el9                   docker-ce-stable
";
const MOBY: &str =
    "moby-engine.x86_64 28.3.3-1.fc42 updates\nmoby-engine.x86_64 28.0.4-1.fc42 fedora\n";

/// Its module is `closed` until the registration opens it.
const ZYPPER: &[(&str, &str)] = &[
    (
        "zypper",
        r#"note "$@"
case " $* " in
*" refresh "*)
    if take locked; then echo 'System management is locked' >&2; exit 7; fi ;;
*" search "*)
    [ ! -e "$ROOT/closed" ] || exit 104
    cat "$ROOT/versions" ;;
*" install "*)
    if [ -e "$ROOT/wrong" ]; then cat "$ROOT/wrong" >&2; exit 4; fi
    [ ! -e "$ROOT/closed" ] || exit 104
    # A restart of the system is due.
    exit 102 ;;
esac"#,
    ),
    ("SUSEConnect", r#"note "$@"; rm "$ROOT/closed""#),
    ("uname", "echo x86_64"),
];
const SEARCHED: &str = "
S  | Name   | Type    | Version                  | Arch   | Repository
---+--------+---------+--------------------------+--------+-----------
   | docker | package | 24.0.7_ce-150000.190.4   | x86_64 | Main
   | docker | package | 27.5.1_ce-150000.218.1   | x86_64 | Update
";

const PACMAN: &[(&str, &str)] = &[(
    "pacman",
    r#"note "$@"
[ ! -e "$ROOT/var/lib/pacman/db.lck" ] || { echo 'unable to lock database' >&2; exit 1; }
case " $* " in
*" -Sy "*)
    if take broken; then echo 'failed to synchronize all databases' >&2; exit 1; fi
    touch "$ROOT/lists" ;;
*" -Si archlinux-keyring "*) [ -e "$ROOT/lists" ] ;;
*" -Si "*) cat "$ROOT/versions" ;;
*" -S "*"docker "*)
    if [ -e "$ROOT/wrong" ]; then cat "$ROOT/wrong" >&2; exit 1; fi ;;
esac"#,
)];
const INFO: &str = "Repository      : extra
Name            : docker
Version         : 1:28.3.3-1
Description     : Pack, ship and run any application as a lightweight container
";

/// It finds the engine in the repository beside the main one only.
const APK: &[(&str, &str)] = &[(
    "apk",
    r#"note "$@"
case " $* " in
*" update "*)
    if take broken; then echo 'ERROR: temporary error (try again later)' >&2; exit 1; fi ;;
*" policy "*) cat "$ROOT/versions" ;;
*" add "*)
    if [ -e "$ROOT/wrong" ]; then cat "$ROOT/wrong" >&2; exit 1; fi
    grep -q '^http.*community$' "$ROOT/etc/apk/repositories" ;;
esac"#,
)];
const POLICY: &str = "docker policy:
  28.3.3-r1:
    http://dl-cdn.alpinelinux.org/alpine/v3.22/community
";
pub(super) const REPOSITORIES: &str = "#/media/cdrom/apks
http://dl-cdn.alpinelinux.org/alpine/v3.22/main
#http://dl-cdn.alpinelinux.org/alpine/v3.22/community
";

const SYSTEMD: &str = "systemctl enable docker.service";

pub(super) const DEBIAN: System = System {
    os: "debian-12",
    programs: APT,
    versions: MADISON,
    install: (
        "apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 -o Acquire::http::Timeout=30 install",
        " --no-remove --allow-downgrades docker.io apparmor ca-certificates iptables",
    ),
    pinned: ("20.10", " docker.io=20.10.24+dfsg1-1+deb12u1+b6 apparmor ca-certificates iptables"),
    listed: "20.10.24+dfsg1-1+deb12u1+b6",
    enables: SYSTEMD,
    trouble: "locked",
};
pub(super) const ROCKY: System = System {
    os: "rocky-9.5",
    programs: DNF,
    versions: LISTED,
    install: (
        "dnf -y --setopt=timeout=30 --setopt=retries=3 install",
        " install docker-ce docker-ce-cli containerd.io",
    ),
    pinned: ("26.1", " install docker-ce-26.1.4-1.el9 docker-ce-cli containerd.io"),
    listed: "3:28.3.2-1.el9",
    enables: SYSTEMD,
    trouble: "broken",
};
pub(super) const FEDORA: System = System {
    os: "fedora-42",
    programs: DNF,
    versions: MOBY,
    install: ("dnf -y --setopt=timeout=30 --setopt=retries=3 install", " install moby-engine"),
    pinned: ("28", " install moby-engine-28.3.3-1.fc42"),
    listed: "28.0.4-1.fc42",
    enables: SYSTEMD,
    trouble: "broken",
};
pub(super) const LEAP: System = System {
    os: "leap-15.6",
    programs: ZYPPER,
    versions: SEARCHED,
    install: ("zypper --non-interactive install", " install --oldpackage docker"),
    pinned: ("24.0.7", " install --oldpackage docker=24.0.7_ce-150000.190.4"),
    listed: "27.5.1_ce-150000.218.1",
    enables: SYSTEMD,
    trouble: "locked",
};
pub(super) const ARCH: System = System {
    os: "arch",
    programs: PACMAN,
    versions: INFO,
    install: ("pacman --noconfirm -S --needed docker", " -S --needed docker"),
    // It cannot be asked for, only found to fit.
    pinned: ("28.3", " -S --needed docker"),
    listed: "1:28.3.3-1",
    enables: SYSTEMD,
    trouble: "broken",
};
pub(super) const ALPINE: System = System {
    os: "alpine-3.22",
    programs: APK,
    versions: POLICY,
    install: ("apk --no-progress --wait 300 add", " add docker"),
    pinned: ("28", " add docker=28.3.3-r1"),
    listed: "28.3.3-r1",
    enables: "rc-update add docker default",
    trouble: "broken",
};
pub(super) const SYSTEMS: [System; 6] = [DEBIAN, ROCKY, FEDORA, LEAP, ARCH, ALPINE];
