//! `NO_PROXY` as the list that it is.

use super::shell::EnvView;
use crate::host::Host;

/// Both spellings are in use: Go programs read the upper-case one first, curl the
/// lower-case one.
const NAMES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Lets clients reach `address` without a proxy: adds it to each spelling that is set,
/// or sets the upper-case one.
pub(super) fn add(view: &mut EnvView, host: &Host, address: &str) {
    let mut any = false;
    for name in NAMES {
        if let Some(list) = host.var(name) {
            any = true;
            if let Some(longer) = with(list, address) {
                view.set(name, longer);
            }
        }
    }
    if !any {
        view.set(NAMES[0], address);
    }
}

/// Takes `address` out of each spelling again.
pub(super) fn remove(view: &mut EnvView, host: &Host, address: &str) {
    for name in NAMES {
        match host.var(name).and_then(|list| without(list, address)) {
            Some(shorter) if shorter.is_empty() => view.unset(name),
            Some(shorter) => view.set(name, shorter),
            None => {}
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// The list with the address, unless it covers it already.
fn with(list: &str, address: &str) -> Option<String> {
    let there = entries(list).any(|entry| entry == "*" || entry.eq_ignore_ascii_case(address));
    (!there).then(|| entries(list).chain([address]).collect::<Vec<_>>().join(","))
}

/// The list without the address, if it is in it.
fn without(list: &str, address: &str) -> Option<String> {
    let there = entries(list).any(|entry| entry.eq_ignore_ascii_case(address));
    there.then(|| {
        let others = entries(list).filter(|entry| !entry.eq_ignore_ascii_case(address));
        others.collect::<Vec<_>>().join(",")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_added_once() {
        assert_eq!(with("10.0.0.10", "10.0.0.1").as_deref(), Some("10.0.0.10,10.0.0.1"));
        assert_eq!(with("a, 10.0.0.1 ,b", "10.0.0.1"), None);
        assert_eq!(with("*", "10.0.0.1"), None);
        assert_eq!(with("", "10.0.0.1").as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn only_the_address_is_removed() {
        assert_eq!(without("a,10.0.0.1,10.0.0.10", "10.0.0.1").as_deref(), Some("a,10.0.0.10"));
        assert_eq!(without("a", "10.0.0.1"), None);
        assert_eq!(without("10.0.0.1", "10.0.0.1").as_deref(), Some(""));
    }

    #[test]
    fn both_spellings_are_kept_alike() {
        let host = Host::captured("/", &[("NO_PROXY", "x"), ("no_proxy", "y,127.0.0.1")]);
        let mut view = EnvView::default();
        add(&mut view, &host, "127.0.0.1");
        assert_eq!(view.set.len(), 1);
        assert_eq!(view.set[0].value, "x,127.0.0.1");
        let mut view = EnvView::default();
        remove(&mut view, &host, "127.0.0.1");
        assert_eq!((view.set[0].name.as_str(), view.set[0].value.as_str()), ("no_proxy", "y"));
    }
}
