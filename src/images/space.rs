//! Room on the disk, looked at before it runs out.

use std::path::Path;

use fleet_driver::run::Cmd;
use fleet_driver::{Cx, Error, Result};

/// What must stay free: a full disk hurts more than fleet.
const SPARE: u64 = 128 << 20;

/// Makes sure that `bytes` more fit beside `path`, as far as `df` can tell.
///
/// # Errors
/// `Host`: they do not.
pub(super) async fn need(path: &Path, bytes: u64, cx: &Cx) -> Result<()> {
    let folder = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    // POSIX: `-k` counts in KiB, `-P` keeps each file system on one line.
    let cmd = Cmd::new("df").arg("-kP").arg(folder).any_status();
    let Some(free) = cx.run(&cmd).await.ok().and_then(|output| free(&output.text())) else {
        // No `df`: then the write itself tells.
        return Ok(());
    };
    if free >= bytes.saturating_add(SPARE) {
        return Ok(());
    }
    Err(Error::host(format!(
        "there is too little room: {} are needed, {} are free",
        amount(bytes.saturating_add(SPARE)),
        amount(free)
    ))
    .with("folder", folder.display())
    .hint("`fleet image rm NAME` frees some; `FLEET_CACHE` names another folder for images"))
}

/// The bytes free in the answer of `df -kP`.
fn free(answer: &str) -> Option<u64> {
    let line = answer.lines().nth(1)?;
    // The mount point comes last and may hold spaces; the name before may not.
    let kib: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// A size for people.
pub(crate) fn amount(bytes: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    let mib = bytes as f64 / MIB;
    match mib {
        _ if mib >= 1024.0 => format!("{:.1} GiB", mib / 1024.0),
        _ if mib >= 1.0 => format!("{mib:.0} MiB"),
        _ => format!("{:.0} KiB", mib * 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_df_is_read() {
        let answer = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                      /dev/vda 263959420 24000000 68000000 27% /mnt/a b";
        assert_eq!(free(answer), Some(68_000_000 * 1024));
        assert_eq!(free("df: /x: No such file"), None);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(amount(128 << 20), "128 MiB");
        assert_eq!(amount(3 << 30), "3.0 GiB");
        assert_eq!(amount(196_608), "192 KiB");
    }
}
