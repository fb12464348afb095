//! What libvirt's errors mean, and what a person can do about each.

use fleet_driver::{Error, ErrorKind};

use crate::hosts::is_session;

/// An error as libvirt gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `virErrorNumber`.
    pub code: i64,
    /// `virErrorDomain`: which part of libvirt it comes from.
    pub domain: i64,
    /// Its words.
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (libvirt error {}, domain {})", self.text, self.code, self.domain)
    }
}

impl std::error::Error for Refusal {}

const UNKNOWN_HOST: i64 = 4;
const NO_CONNECT: i64 = 5;
const INVALID_CONN: i64 = 6;
const OPERATION_DENIED: i64 = 29;
const SYSTEM_ERROR: i64 = 38;
const RPC: i64 = 39;
const AUTH_FAILED: i64 = 45;
const NO_STORAGE_POOL: i64 = 49;
const OPERATION_TIMEOUT: i64 = 68;
const SSH: i64 = 85;
const AGENT_UNRESPONSIVE: i64 = 86;
const RESOURCE_BUSY: i64 = 87;
const ACCESS_DENIED: i64 = 88;
const AUTH_UNAVAILABLE: i64 = 94;
const LIBSSH: i64 = 98;
/// `VIR_FROM_RPC`.
const FROM_RPC: i64 = 7;
/// `VIR_FROM_REMOTE`.
const FROM_REMOTE: i64 = 13;

const DAEMON: &str = "start the daemon: `systemctl start libvirtd` (or `virtqemud.socket`); if it \
     is not installed, install libvirt's daemon for QEMU";
const GROUP: &str = "join the group `libvirt`: `usermod -aG libvirt $USER`, then log in again";
const CERTIFICATES: &str = "`qemu+tls` needs certificates of libvirt's own on both computers: \
     https://libvirt.org/kbase/tlscerts.html; or use qemu+ssh://USER@HOST/system";
const FULL: &str = "the storage is full: free some space on the host, or use another `pool`";

impl Refusal {
    /// Whether the connection is gone, so that a new one may help.
    pub fn lost_connection(&self) -> bool {
        self.domain == FROM_RPC
            || [RPC, INVALID_CONN].contains(&self.code)
            || (self.domain == FROM_REMOTE && self.code == SYSTEM_ERROR)
    }

    /// The error of a connection that could not be opened.
    pub fn opening(self, uri: &str) -> Error {
        let text = self.text.to_lowercase();
        let far = uri.contains("+ssh") || uri.contains("+libssh");
        let host = uri.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or("");
        let hint = if far
            && ([SSH, LIBSSH].contains(&self.code)
                || self.domain == FROM_RPC
                || text.contains("ssh"))
        {
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) => (host, format!("-p {port} ")),
                None => (host, String::new()),
            };
            format!("see what `ssh {port}{host} virsh list` says: it must work without a question")
        } else if text.contains("certificate") {
            CERTIFICATES.to_owned()
        } else if text.contains("permission denied")
            || [AUTH_FAILED, AUTH_UNAVAILABLE, ACCESS_DENIED, OPERATION_DENIED].contains(&self.code)
            || text.contains("polkit")
        {
            GROUP.to_owned()
        } else if [UNKNOWN_HOST].contains(&self.code) || text.contains("resolve") {
            format!("see that the name `{host}` is right")
        } else if self.code == NO_CONNECT {
            "use qemu:///system, qemu:///session or qemu+ssh://USER@HOST/system".to_owned()
        } else {
            DAEMON.to_owned()
        };
        Error::host("libvirt cannot be reached").with("uri", uri).hint(hint).because(self)
    }

    /// The error of something that could not be done; `what` fits after "could not".
    pub fn doing(self, what: &str, uri: &str) -> Error {
        let text = self.text.to_lowercase();
        let error = |kind| Error::new(kind, format!("libvirt could not {what}")).with("uri", uri);
        if self.lost_connection() {
            return error(ErrorKind::Busy).hint("the daemon was restarted").because(self);
        }
        if text.contains("no space left") || text.contains("not enough space") {
            return error(ErrorKind::Host).hint(FULL).because(self);
        }
        // Overlays of the older format cannot; fleet makes the newer one (QEMU,
        // `docs/interop/qcow2.txt`, version 3).
        if text.contains("image which has snapshots") {
            return error(ErrorKind::Conflict)
                .hint("remove the machine's snapshots first: `fleet snapshot ls`")
                .because(self);
        }
        if self.code == NO_STORAGE_POOL {
            return error(ErrorKind::Host).hint(pool_hint("default", uri)).because(self);
        }
        if text.contains("network is already in use")
            || text.contains("already in use by interface")
        {
            return error(ErrorKind::Conflict)
                .hint("another network has these addresses: choose another `subnet` for the fleet")
                .because(self);
        }
        if text.contains("cannot get interface mtu") || text.contains("no such device") {
            return error(ErrorKind::Host)
                .hint("see that the bridge is there: `ip link show type bridge`")
                .because(self);
        }
        if text.contains("kvm") {
            return error(ErrorKind::Host).hint(KVM).because(self);
        }
        if text.contains("could not set up host forwarding") || text.contains("address already in")
        {
            return error(ErrorKind::Conflict)
                .hint("a port of `ports` is taken on the host: choose another")
                .because(self);
        }
        if [RESOURCE_BUSY, OPERATION_TIMEOUT, AGENT_UNRESPONSIVE].contains(&self.code) {
            return error(ErrorKind::Busy).because(self);
        }
        if [OPERATION_DENIED, ACCESS_DENIED, AUTH_FAILED].contains(&self.code) {
            return error(ErrorKind::Host).hint(GROUP).because(self);
        }
        error(ErrorKind::Driver).because(self)
    }
}

/// What to do where KVM is asked for and is not there.
pub const KVM: &str = "enable virtualisation in the host's firmware and load the module `kvm_intel` \
     or `kvm_amd`, or set `libvirt.type = \"auto\"`";

/// How to make a pool.
pub fn pool_hint(pool: &str, uri: &str) -> String {
    let (make, folder) = if is_session(uri) {
        // `virsh pool-build` makes the last folder of a path only.
        ("mkdir -p ~/.local/share/libvirt/images && ", "~/.local/share/libvirt/images")
    } else {
        ("", "/var/lib/libvirt/images")
    };
    format!(
        "make it: `{make}virsh -c {uri} pool-define-as {pool} dir --target {folder} && \
         virsh -c {uri} pool-start {pool} && virsh -c {uri} pool-autostart {pool}`"
    )
}

/// The error about something of another that has the name of one of fleet's.
pub fn foreign(what: &str, name: &str, host: &str) -> Error {
    Error::conflict(format!("the {what} `{name}` on {host} was not made by this fleet"))
        .with(if what == "network" { "network" } else { "domain" }, name)
        .hint(format!("rename or remove that {what}, or rename the machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: i64, domain: i64, text: &str) -> Refusal {
        Refusal { code, domain, text: text.to_owned() }
    }

    #[test]
    fn what_helps_to_connect() {
        for (code, domain, text, uri, hint) in [
            (
                38,
                7,
                "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory",
                "qemu:///system",
                "systemctl start libvirtd",
            ),
            (
                38,
                7,
                "Failed to connect socket: Permission denied",
                "qemu:///system",
                "usermod -aG libvirt",
            ),
            (
                45,
                60,
                "authentication unavailable: no polkit agent available",
                "qemu:///system",
                "usermod -aG libvirt",
            ),
            (
                38,
                7,
                "End of file while reading data: Host key verification failed",
                "qemu+ssh://me@far/system",
                "ssh me@far virsh list",
            ),
            (
                38,
                7,
                "ssh: connect to host far port 222: Connection refused",
                "qemu+ssh://me@far:222/system",
                "ssh -p 222 me@far virsh list",
            ),
            (
                38,
                7,
                "Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory",
                "qemu+tls://far/system",
                "tlscerts",
            ),
            (5, 0, "no connection driver available for x:///", "qemux:///", "use qemu:///system"),
        ] {
            let error = refusal(code, domain, text).opening(uri);
            assert_eq!(error.kind(), ErrorKind::Host, "{text}");
            assert!(error.hint_text().unwrap().contains(hint), "{text}: {:?}", error.hint_text());
            assert!(format!("{error}").contains(text), "{error}");
        }
    }

    #[test]
    fn an_ordinary_users_pool_is_in_the_users_home() {
        let hint = pool_hint("default", "qemu:///session");
        assert!(hint.contains("--target ~/.local/share/libvirt/images"), "{hint}");
        assert!(pool_hint("fast", "qemu:///system").contains("/var/lib/libvirt/images"));
    }

    #[test]
    fn what_helps_when_something_fails() {
        for (code, domain, text, kind, hint) in [
            (38, 18, "cannot write: No space left on device", ErrorKind::Host, "storage is full"),
            (49, 18, "Storage pool not found", ErrorKind::Host, "pool-define-as"),
            (
                1,
                0,
                "qemu-img: Can't resize a v2 image which has snapshots",
                ErrorKind::Conflict,
                "snapshot ls",
            ),
            (
                1,
                19,
                "internal error: Network is already in use by interface virbr0",
                ErrorKind::Conflict,
                "subnet",
            ),
            (
                67,
                10,
                "unsupported configuration: KVM is not available",
                ErrorKind::Host,
                "libvirt.type",
            ),
            (38, 7, "Cannot recv data: Connection reset by peer", ErrorKind::Busy, "restarted"),
            (1, 10, "qemu: Could not set up host forwarding rule", ErrorKind::Conflict, "ports"),
            (38, 0, "Cannot get interface MTU on 'br9': No such device", ErrorKind::Host, "bridge"),
        ] {
            let error = refusal(code, domain, text).doing("do it", "qemu:///system");
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.hint_text().unwrap().contains(hint), "{text}");
            assert!(format!("{error}").contains(text), "{error}");
        }
        let plain = refusal(1, 10, "something else").doing("do it", "qemu:///system");
        assert_eq!((plain.kind(), plain.hint_text()), (ErrorKind::Driver, None));
    }
}
