//! A machine's disk: a thin layer over the base image, made by `qemu-img`.

use std::fs::File;
use std::io::{self, Read};

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
    cx.run(&cmd).await.map_err(|e| e.hint(INSTALL))?;
    // The description that follows must not outlive it in a power cut.
    File::open(folder.file(DISK)).and_then(|disk| disk.sync_all()).map_err(|e| {
        Error::host("could not write the machine's disk")
            .with("file", folder.file(DISK).display())
            .because(e)
    })
}

/// Whether the disk is gone: somebody has removed it, or emptied its file.
pub(crate) fn is_gone(folder: &Folder) -> bool {
    match std::fs::metadata(folder.file(DISK)) {
        Ok(file) => file.len() == 0,
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

/// How large the disk really is, in MiB; none if that cannot be read.
///
/// Its description says what was asked for, which an interrupted change may not have
/// reached, or may have passed.
pub(crate) fn size_mib(folder: &Folder) -> Option<u64> {
    // The header of qcow2 (docs/interop/qcow2.txt in QEMU): the size is at byte 24.
    let mut header = [0; 32];
    File::open(folder.file(DISK)).and_then(|mut disk| disk.read_exact(&mut header)).ok()?;
    let size = header[24..].try_into().map(u64::from_be_bytes).ok()?;
    header.starts_with(b"QFI\xfb").then_some(size >> 20)
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
