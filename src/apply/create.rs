//! Defining a machine, with its identity, and removing it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ImageFile, Result, VmSpec, fault};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::mark::mark;
use super::{Ground, Machine, Stopped, engine};
use crate::config::{Role, Spec};
use crate::guest::keys::KeyPair;
use crate::guest::seed::{self, HostKey, SeedInput};
use crate::host::{account, computer_name};
use crate::state::{Record, private_dir};

/// Where the guest's private host key waits until the guest has it.
fn host_key_file(ground: &Ground, machine: &str) -> PathBuf {
    ground.store().dir().join("ssh").join(format!("{machine}.hostkey"))
}

/// Writes down the intent, makes the seed and defines the machine.
pub(super) async fn create(
    ground: &Ground,
    machine: &mut Machine,
    limit: Duration,
) -> Result<Outcome, Stopped> {
    let spec = ground
        .spec(&machine.name)
        .ok_or_else(|| Error::bug(format!("`{}` is not in the file", machine.name)))?;
    let image = ground
        .images
        .get(&spec.image)
        .ok_or_else(|| Error::bug("the plan does not name the image"))?;
    let path = host_key_file(ground, &machine.name);
    private_dir(path.parent().unwrap_or(&path))?;
    // Kept on disk until the guest has it: an interrupted `create` goes on with the
    // key that may be in the seed already.
    let host_key = KeyPair::load_or_create(&path)?;
    let record = Record {
        driver: spec.driver.clone(),
        address: spec.address,
        image_sha256: image.sha256.clone(),
        user: spec.user.clone(),
        host_key: host_key.public.clone(),
        created: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        settled: false,
        manager: false,
        protected: spec.protected,
        cert_serial: 0,
    };
    let mut vm = vm_spec(&ground.fleet, spec, image);
    {
        let mut store = ground.store();
        vm.mark = mark(&record, store.home(), &computer_name(), &account());
        store.put(&ground.fleet.name, &machine.name, record)?;
    }
    let cards = {
        let (driver, id, vm) = (&machine.driver, &machine.id, &vm);
        let cards = |cx: Cx| async move { driver.cards(id, vm, &cx).await };
        machine.verb(ground, limit, "describe", cards).await?
    };
    let hosts: Vec<_> = ground.fleet.machines.iter().map(|m| (m.address, m.name.clone())).collect();
    let secured = engine::first_boot(ground, spec)?;
    let (files, early) =
        secured.map_or_else(Default::default, |first| (first.files, vec![first.early]));
    vm.seed = seed::seed(&SeedInput {
        // A machine made again must not be taken for the one before.
        instance: format!("{}-{}", machine.id.uuid(), OffsetDateTime::now_utc().unix_timestamp()),
        hostname: &machine.name,
        user: &spec.user,
        authorized_key: &ground.key()?.public,
        host_key: HostKey { public: &host_key.public, private: &host_key.private },
        cards: &cards,
        hosts: &hosts,
        files,
        early,
    })?;
    let (driver, id, vm) = (&machine.driver, &machine.id, &vm);
    machine
        .verb(ground, limit, "create", |cx| async move { driver.create(id, vm, &cx).await })
        .await?;
    Ok(Outcome::Done)
}

/// Gives a machine that is off the size, ports and options of the file.
pub(super) async fn resize(
    ground: &Ground,
    machine: &mut Machine,
    limit: Duration,
) -> Result<Outcome, Stopped> {
    let spec = ground.named(&machine.name)?;
    let seen = machine.driver.inspect(&machine.id, &machine.cx.within(limit)).await?;
    let seen = seen.ok_or_else(|| {
        Error::not_found(format!("`{}` has vanished", machine.name))
            .hint("make it again: `fleet up`")
    })?;
    // It keeps the disk that it has, whatever became of the image since.
    let image = ImageFile { path: PathBuf::new(), sha256: seen.image_sha256, size_mib: 0 };
    let address = seen.lab.unwrap_or(spec.address);
    let mut vm = vm_spec(&ground.fleet, &Spec { address, ..spec.clone() }, &image);
    vm.mark = seen.mark;
    let (driver, id, vm) = (&machine.driver, &machine.id, &vm);
    machine
        .verb(ground, limit, "resize", |cx| async move { driver.create(id, vm, &cx).await })
        .await?;
    Ok(Outcome::Done)
}

/// What the driver is asked for, without the seed and the mark.
pub(crate) fn vm_spec(
    fleet: &crate::config::Fleet,
    spec: &Spec,
    image: &fleet_driver::ImageFile,
) -> VmSpec {
    VmSpec {
        cpus: spec.cpus,
        memory_mib: spec.memory_mib,
        disk_mib: spec.disk_mib,
        image: image.clone(),
        lab: fleet_driver::LabNic { address: spec.address, prefix: fleet.network.prefix },
        internet: fleet.network.internet,
        forwards: spec.ports.clone(),
        seed: Vec::new(),
        mark: BTreeMap::new(),
        // Managers that share a host are lost together.
        apart: (spec.role == Some(Role::Manager)).then(|| "manager".to_owned()),
        options: spec.options.clone(),
    }
}

/// Removes the machine, then what fleet wrote down about it.
pub(super) async fn destroy(
    ground: &Ground,
    machine: &mut Machine,
    limit: Duration,
) -> Result<Outcome, Stopped> {
    (machine.ssh, machine.facts, machine.secured) = (None, None, false);
    let (driver, id) = (&machine.driver, &machine.id);
    machine
        .verb(ground, limit, "destroy", |cx| async move { driver.destroy(id, &cx).await })
        .await?;
    fault::point("destroyed", &machine.name)?;
    drop_host_key(ground, &machine.name)?;
    fault::point("before-record-goes", &machine.name)?;
    ground.store().forget(&machine.name)?;
    Ok(Outcome::Done)
}

/// Removes the guest's private host key from this host.
pub(super) fn drop_host_key(ground: &Ground, machine: &str) -> Result<()> {
    let path = host_key_file(ground, machine);
    for path in [path.with_extension("hostkey.pub"), path] {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::host("could not remove a host key")
                    .with("file", path.display())
                    .because(e));
            }
            _ => {}
        }
    }
    Ok(())
}
