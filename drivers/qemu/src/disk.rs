//! A machine's disk: a thin layer over the base image, made by `qemu-img`.

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, Result, VmSpec};

use crate::emulator::{IMG, INSTALL};
use crate::folder::{DISK, Folder};
use crate::machine::disk_mib;

/// Makes the disk; one that an interrupted attempt left is made anew.
///
/// # Errors
/// `Host` if the image or `qemu-img` is missing, `Driver` if it fails.
pub(crate) async fn make(folder: &Folder, spec: &VmSpec, cx: &Cx) -> Result<()> {
    let image = std::path::absolute(&spec.image.path)
        .ok()
        .filter(|path| path.is_file())
        .ok_or_else(|| {
            Error::host("the machine's image is not there")
                .with("image", spec.image.path.display())
                .hint("`fleet image ls` shows the images that are there")
        })?;
    folder.remove_file(DISK)?;
    let cmd = Cmd::new(IMG)
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(image)
        .arg(DISK)
        .arg(format!("{}M", disk_mib(spec)))
        .cwd(folder.path());
    cx.run(&cmd).await.map_err(|e| e.hint(INSTALL)).map(drop)
}

/// Makes the disk of a machine that is off larger; its guest's file system follows
/// at the next boot.
///
/// # Errors
/// `Driver` if it fails.
pub(crate) async fn grow(folder: &Folder, size_mib: u64, cx: &Cx) -> Result<()> {
    let cmd = Cmd::new(IMG)
        .args(["resize", "-q", "-f", "qcow2", DISK])
        .arg(format!("{size_mib}M"))
        .cwd(folder.path());
    cx.run(&cmd).await.map(drop)
}
