//! Taking back a machine whose record was lost, by the mark that it carries.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Error, Sighting, text};

use super::{Ground, Machine, Stopped};
use crate::state::Record;

/// Writes the record of a machine again, from its mark.
pub(super) async fn adopt(ground: &Ground, machine: &Machine) -> Result<Outcome, Stopped> {
    if ground.store().record(&machine.name).is_some() {
        return Ok(Outcome::Unchanged);
    }
    let cx = machine.cx.within(Duration::from_secs(20));
    let sighting = machine.driver.inspect(&machine.id, &cx).await?.ok_or_else(|| {
        Error::not_found(format!("`{}` has vanished", machine.name))
            .hint("make it again: `fleet up`")
    })?;
    let driver = machine.driver.about().name;
    let record = record(&machine.name, driver, &sighting)?;
    ground.store().put(&ground.fleet.name, &machine.name, record)?;
    Ok(Outcome::Done)
}

/// The record that a machine's mark stands for.
///
/// # Errors
/// `Conflict` if the mark does not say enough to trust the machine.
pub(crate) fn record(
    machine: &str,
    driver: String,
    sighting: &Sighting,
) -> fleet_driver::Result<Record> {
    let said = |key: &str| {
        sighting.mark.get(key).and_then(|value| text::from_ascii(value)).ok_or_else(|| {
            Error::conflict(format!("the record of `{machine}` is lost, and its mark is not whole"))
                .with("missing", key)
                .hint(format!("make it anew: `fleet down {machine}`, then `fleet up`"))
        })
    };
    let address = sighting.lab.ok_or_else(|| {
        Error::conflict(format!("the driver does not know the lab address of `{machine}`"))
            .hint(format!("make it anew: `fleet down {machine}`, then `fleet up`"))
    })?;
    Ok(Record {
        driver,
        address,
        image_sha256: sighting.image_sha256.clone(),
        user: said("user")?,
        host_key: said("host-key")?,
        created: said("created")?,
        settled: !sighting.seeded,
        manager: false,
        protected: false,
        cert_serial: 0,
    })
}
