//! Points at which a test makes the program die, so that every one of them is a place
//! from which the same command goes on.
//!
//! Each step of a run has one before and one after it, and so has every write of what
//! fleet remembers; drivers have theirs between the parts of a verb. They exist in debug
//! builds only. `FLEET_FAULT_LOG` names a file to which the name of each point that is
//! passed is added, such as `before-create:host1#1`, where the number says how often it
//! was passed in this process; `FLEET_FAULT=kill@NAME` makes the process die there at once, as by
//! `kill -9`, and `FLEET_FAULT=fail@NAME` makes it fail there.

use crate::error::Result;

/// Passes a point; `at` is what is done, `about` the machine or file.
///
/// # Errors
/// `Driver`, where a test ordered it.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_at: &str, _about: &str) -> Result<()> {
    Ok(())
}

/// Passes a point; `at` is what is done, `about` the machine or file.
///
/// # Errors
/// `Driver`, where a test ordered it.
#[cfg(debug_assertions)]
pub fn point(at: &str, about: &str) -> Result<()> {
    ordered::point(at, about)
}

#[cfg(debug_assertions)]
mod ordered {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::{Mutex, OnceLock};

    use crate::error::{Error, Result};

    struct Orders {
        log: Option<std::path::PathBuf>,
        what: Option<(String, String)>,
    }

    fn orders() -> &'static Orders {
        static ORDERS: OnceLock<Orders> = OnceLock::new();
        ORDERS.get_or_init(|| Orders {
            log: std::env::var_os("FLEET_FAULT_LOG").map(Into::into),
            what: std::env::var("FLEET_FAULT").ok().and_then(|order| {
                let (what, at) = order.split_once('@')?;
                Some((what.to_owned(), at.to_owned()))
            }),
        })
    }

    /// How often each point was passed.
    static PASSED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

    pub(super) fn point(at: &str, about: &str) -> Result<()> {
        let orders = orders();
        if orders.log.is_none() && orders.what.is_none() {
            return Ok(());
        }
        let name = format!("{at}:{about}");
        let nth = {
            let mut passed = PASSED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let count = passed.entry(name.clone()).or_default();
            *count += 1;
            *count
        };
        let name = format!("{name}#{nth}");
        if let Some(log) = &orders.log {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
            // One write a line, so that lines of several threads do not mix.
            drop(file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes())));
        }
        match &orders.what {
            Some((what, place)) if *place == name => match what.as_str() {
                "kill" => std::process::abort(),
                _ => Err(Error::driver(format!("it was made to fail at {name}"))),
            },
            _ => Ok(()),
        }
    }
}
