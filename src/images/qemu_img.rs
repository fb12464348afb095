//! What `qemu-img` says of a disk image, and how it makes a qcow2 of it.

use std::path::Path;

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, ErrorKind, Result};
use serde::Deserialize;

/// What is known of a disk image's inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// Its format, such as `qcow2` or `raw`.
    pub(super) format: String,
    /// The size of the disk that it is, in bytes.
    pub(super) virtual_bytes: u64,
}

// The part of `qemu-img info --output=json` that matters; see the type `ImageInfo` in
// QEMU's `qapi/block-core.json`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    format_specific: Option<FormatSpecific>,
}

#[derive(Deserialize)]
struct FormatSpecific {
    data: Option<SpecificData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    data_file: Option<String>,
    encrypt: Option<serde_json::Value>,
}

/// Looks into an image.
///
/// One that names other files is refused: whoever boots it would read any file of this
/// host that its author has chosen.
///
/// # Errors
/// `Host`: `qemu-img` is missing or cannot read it; `Conflict`: it is refused.
pub(super) async fn look(path: &Path, cx: &Cx) -> Result<Inside> {
    // `force-share`: a machine may run on it.
    let cmd = Cmd::new("qemu-img").args(["info", "--output=json", "--force-share"]).arg(path);
    let output = cx.run(&cmd).await.map_err(|e| explained(e, path))?;
    parse(&output.stdout).map_err(|e| e.with("file", path.display()))
}

fn parse(json: &[u8]) -> Result<Inside> {
    let info: Info = serde_json::from_slice(json)
        .map_err(|e| Error::driver("`qemu-img info` gave an unknown answer").because(e))?;
    let refuse = |what: &str| {
        Err(Error::conflict(format!("the image {what}"))
            .hint("flatten it where it was made: `qemu-img convert -O qcow2 IMAGE flat.qcow2`"))
    };
    if info.backing_filename.is_some() {
        return refuse("is an overlay on another file");
    }
    if let Some(data) = info.format_specific.and_then(|specific| specific.data) {
        if data.data_file.is_some() {
            return refuse("keeps its data in another file");
        }
        if data.encrypt.is_some() {
            return refuse("is encrypted");
        }
    }
    if info.virtual_size == 0 {
        return Err(Error::conflict("the image is empty"));
    }
    Ok(Inside { format: info.format, virtual_bytes: info.virtual_size })
}

/// Makes a qcow2 file of an image.
///
/// # Errors
/// `Host`: `qemu-img` is missing; `Driver`: it fails, such as on a full disk.
pub(super) async fn convert(from: &Path, format: &str, to: &Path, cx: &Cx) -> Result<()> {
    let cmd = Cmd::new("qemu-img").args(["convert", "-f", format, "-O", "qcow2"]).arg(from).arg(to);
    cx.run(&cmd).await.map_err(|e| explained(e, from))?;
    Ok(())
}

/// A size in MiB, rounded up.
pub(super) fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn explained(error: Error, path: &Path) -> Error {
    let error = error.with("image", path.display());
    if error.kind() == ErrorKind::Host {
        error.hint("install it: `apt-get install qemu-utils`")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use fleet_driver::ErrorKind;

    use super::*;

    #[test]
    fn a_plain_qcow2_is_taken() {
        let json = br#"{"virtual-size": 2281701376, "filename": "/a", "format": "qcow2",
            "actual-size": 1, "dirty-flag": false, "format-specific":
            {"type": "qcow2", "data": {"compat": "1.1", "corrupt": false}}}"#;
        let inside = parse(json).unwrap();
        assert_eq!(inside, Inside { format: "qcow2".into(), virtual_bytes: 2_281_701_376 });
        assert_eq!(mib(inside.virtual_bytes), 2176);
        assert_eq!(mib(1), 1);
    }

    #[test]
    fn images_that_name_other_files_are_refused() {
        for (json, word) in [
            (
                r#"{"virtual-size": 1, "format": "qcow2", "backing-filename": "/etc/shadow"}"#,
                "overlay",
            ),
            (
                r#"{"virtual-size": 1, "format": "qcow2",
                    "format-specific": {"data": {"data-file": "/etc/shadow"}}}"#,
                "another file",
            ),
            (
                r#"{"virtual-size": 1, "format": "qcow2",
                    "format-specific": {"data": {"encrypt": {"format": "luks"}}}}"#,
                "encrypted",
            ),
            (r#"{"virtual-size": 0, "format": "raw"}"#, "empty"),
        ] {
            let error = parse(json.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.message().contains(word), "{error}");
        }
    }
}
