//! The first-boot seed of a machine: put beside its disk, and taken away for good.

use fleet_driver::{Cx, Error, Result, VmSpec, fault, seed};
use serde_json::json;

use crate::args::{SEED_DRIVE, SEED_NODE, Seed};
use crate::folder::{Folder, SEED};
use crate::process::Process;
use crate::qmp::Qmp;

/// Whether the machine still has its seed.
pub(crate) fn of(folder: &Folder) -> Seed {
    if folder.file(SEED).exists() { Seed::Attached } else { Seed::Gone }
}

/// Writes the seed of a new machine.
///
/// # Errors
/// `Host` if it cannot be written, `Bug` if its names do not fit an image.
pub(crate) fn write(folder: &Folder, spec: &VmSpec) -> Result<()> {
    if spec.seed.is_empty() {
        return folder.remove_file(SEED);
    }
    folder.write(SEED, &seed::iso(seed::LABEL, &spec.seed)?)
}

/// Takes the seed away: from the running guest first, then from this host.
///
/// # Errors
/// `Busy` or `Driver` if QEMU does not let go of it.
pub(crate) async fn remove(folder: &Folder, process: Option<Process>, cx: &Cx) -> Result<()> {
    if let Some(process) = process {
        detach(folder, cx).await?;
        if process.holds(&folder.file(SEED)) {
            return Err(Error::driver("QEMU still has the seed open")
                .with("process", process.pid)
                .hint("stop the machine; without a process there is nothing to take it from"));
        }
    }
    fault::point("qemu-unseed-file", folder.id().machine())?;
    folder.remove_file(SEED)
}

/// Each action is left out if it was done before, so that an interrupted removal can
/// be finished.
async fn detach(folder: &Folder, cx: &Cx) -> Result<()> {
    let mut qmp = Qmp::connect(folder.path(), cx).await?;
    let drives = qmp.execute("query-block", json!({})).await?;
    let drives = drives.as_array().cloned().unwrap_or_default();
    let is_seed = |path: &str| path == SEED_DRIVE || path.contains(&format!("/{SEED_DRIVE}/"));
    let drive = drives.iter().find(|drive| drive["qdev"].as_str().is_some_and(is_seed));
    if drive.is_some_and(|drive| drive["inserted"].is_object()) {
        // By force: the guest may have it mounted, and is not asked.
        let open = json!({ "id": SEED_DRIVE, "force": true });
        qmp.execute("blockdev-open-tray", open).await?;
        let medium = json!({ "id": SEED_DRIVE });
        qmp.execute("blockdev-remove-medium", medium).await?;
    }
    let nodes = qmp.execute("query-named-block-nodes", json!({ "flat": true })).await?;
    let nodes = nodes.as_array().cloned().unwrap_or_default();
    if nodes.iter().any(|node| node["node-name"] == SEED_NODE) {
        fault::point("qemu-unseed-node", folder.id().machine())?;
        qmp.execute("blockdev-del", json!({ "node-name": SEED_NODE })).await?;
    }
    if drive.is_some() {
        fault::point("qemu-unseed-drive", folder.id().machine())?;
        qmp.execute("device_del", json!({ "id": SEED_DRIVE })).await?;
    }
    Ok(())
}
