//! The person's own XML: where in a domain each element belongs.

use fleet_driver::{Error, Result};

use crate::options::wrong;

/// Elements that stand beside `<devices>`, as libvirt's documentation of domains lists them.
const TOP: &[&str] = &[
    "blkiotune",
    "cputune",
    "iothreads",
    "keywrap",
    "launchSecurity",
    "memoryBacking",
    "memtune",
    "numatune",
    "perf",
    "pm",
    "resource",
    "seclabel",
    "sysinfo",
];
/// Elements that the driver writes itself.
const OURS: &[&str] = &[
    "commandline",
    "cpu",
    "devices",
    "domain",
    "features",
    "maxMemory",
    "memory",
    "metadata",
    "name",
    "os",
    "uuid",
    "vcpu",
];

/// The person's elements, each where it belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragments {
    /// Beside `<devices>`.
    pub top: Vec<String>,
    /// In it.
    pub devices: Vec<String>,
}

/// Sorts elements to where they belong.
///
/// # Errors
/// `Config`, naming the key, for what is not one well-formed element or belongs to fleet.
pub fn sort(elements: &[String]) -> Result<Fragments> {
    let mut sorted = Fragments::default();
    for text in elements {
        let element = text.trim();
        let document = roxmltree::Document::parse(element)
            .map_err(|e| bad("is not one well-formed XML element", element).because(e))?;
        let name = document.root_element().tag_name().name();
        if OURS.contains(&name) {
            return Err(bad(&format!("contains <{name}>, which belongs to fleet"), element));
        }
        let place = if TOP.contains(&name) { &mut sorted.top } else { &mut sorted.devices };
        place.push(element.to_owned());
    }
    Ok(sorted)
}

fn bad(what: &str, element: &str) -> Error {
    wrong("xml", what).with("xml", element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_goes_where_it_belongs() {
        let list = ["<watchdog model='i6300esb'/>".to_owned(), " <memtune/>\n".to_owned()];
        let sorted = sort(&list).unwrap();
        assert_eq!(sorted.devices, ["<watchdog model='i6300esb'/>"]);
        assert_eq!(sorted.top, ["<memtune/>"]);
    }

    #[test]
    fn what_is_not_one_element_of_the_persons_is_refused() {
        for text in ["", "watchdog", "<a>", "<a/><b/>", "<name>x</name>", "<devices/>"] {
            let error = sort(&[text.to_owned()]).unwrap_err();
            assert_eq!(error.context()[0], ("key", "xml".to_owned()), "{text}");
        }
    }
}
