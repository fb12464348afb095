//! What fleet writes on a machine itself, to read it again after every record was lost.

use std::collections::BTreeMap;
use std::path::Path;

use fleet_driver::text;

use crate::state::Record;

/// Drivers keep no longer values.
const LONGEST: usize = 256;

/// The mark of a machine of the fleet whose file is in the folder `home`, made on the
/// computer `host` for its account `owner`.
///
/// A value that is not printable ASCII is written as [`text::ascii`] writes it; one that
/// is too long is left out.
pub(super) fn mark(
    record: &Record,
    home: &Path,
    host: &str,
    owner: &str,
) -> BTreeMap<String, String> {
    let home = home.to_string_lossy();
    let all = [
        ("driver", record.driver.as_str()),
        ("user", &record.user),
        ("host-key", &record.host_key),
        ("created", &record.created),
        ("home", &home),
        ("host", host),
        ("owner", owner),
    ];
    let written = all.map(|(key, value)| (key.to_owned(), text::ascii(value.trim())));
    written.into_iter().filter(|(_, value)| value.len() <= LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn record() -> Record {
        Record {
            driver: "qemu".to_owned(),
            address: Ipv4Addr::new(10, 77, 0, 11),
            image_sha256: "ab".to_owned(),
            user: "fleet".to_owned(),
            host_key: "ssh-ed25519 AAAA host1\n".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            settled: false,
            manager: false,
            protected: false,
            cert_serial: 0,
        }
    }

    #[test]
    fn a_mark_tells_whose_the_machine_is_and_how_to_reach_it() {
        let mark = mark(&record(), Path::new("/home/me/labs/one"), "desk", "1000");
        let expected = [
            ("created", "2026-01-01T00:00:00Z"),
            ("driver", "qemu"),
            ("home", "/home/me/labs/one"),
            ("host", "desk"),
            ("host-key", "ssh-ed25519 AAAA host1"),
            ("owner", "1000"),
            ("user", "fleet"),
        ];
        assert_eq!(mark, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn values_are_printable_ascii_and_short() {
        let odd = mark(&record(), Path::new("/home/jürgen/100%\n"), "desk", "1000");
        assert_eq!(odd["home"], "/home/j%C3%BCrgen/100%25");
        let long = mark(&record(), Path::new(&"/long".repeat(60)), "desk", "1000");
        assert!(!long.contains_key("home"));
        assert_eq!(long.len(), 6);
    }
}
