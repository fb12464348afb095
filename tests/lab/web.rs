//! A container image made on the spot: a busybox that serves one page.

use std::io::Write;
use std::process::{Command, Stdio};

/// The image's name in the engines.
pub const NAME: &str = "fleet-test-web";
/// What the page says.
pub const BODY: &str = "fleet answers";
/// How the image starts.
pub const COMMAND: &str = r#"CMD ["/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]"#;

/// Makes the root file system as a tar archive, from the host's static busybox.
pub fn image() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let www = dir.path().join("www");
    std::fs::create_dir(&www).expect("a folder");
    let mut page = std::fs::File::create(www.join("index.html")).expect("a file");
    writeln!(page, "{BODY}").expect("room on the disk");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"];
    let busybox = busybox.iter().find(|path| std::path::Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is installed: `make test` sees to it");
    std::fs::copy(busybox, dir.path().join("busybox")).expect("room on the disk");
    let tar = Command::new("tar")
        .args(["-C", &dir.path().display().to_string(), "-c", "busybox", "www"])
        .stderr(Stdio::inherit())
        .output()
        .expect("tar is installed");
    assert!(tar.status.success());
    tar.stdout
}
