//! Reads the image back, with an own reader and with xorriso where it is installed.

use std::process::Command;

use super::*;

fn files() -> Vec<(String, Secret<Vec<u8>>)> {
    [
        ("user-data", b"#cloud-config\n".repeat(300)),
        ("meta-data", b"instance-id: lab/host1\n".to_vec()),
        ("network-config", b"version: 2\n".to_vec()),
        ("empty", Vec::new()),
    ]
    .map(|(name, data)| (name.to_owned(), Secret::new(data)))
    .into()
}

/// Both halves of a number in both byte orders, which must agree.
fn number(bytes: &[u8]) -> usize {
    let little = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(little, u32::from_be_bytes(bytes[4..8].try_into().unwrap()));
    little as usize
}

/// Names and contents, read through the descriptor in `sector`.
fn read(image: &[u8], sector: usize) -> Vec<(String, Vec<u8>)> {
    let descriptor = &image[sector * SECTOR..][..SECTOR];
    assert_eq!(&descriptor[1..6], b"CD001");
    let joliet = descriptor[0] == 2;
    assert_eq!(number(&descriptor[80..]) * SECTOR, image.len());
    let root = &descriptor[156..];
    let (start, length) = (number(&root[2..]) * SECTOR, number(&root[10..]));
    // Both path tables point at the same folder.
    let table = |at: usize| u32::from_le_bytes(descriptor[at..at + 4].try_into().unwrap());
    let little = &image[table(140) as usize * SECTOR..];
    assert_eq!(u32::from_le_bytes(little[2..6].try_into().unwrap()) as usize * SECTOR, start);
    let big = &image[table(148).swap_bytes() as usize * SECTOR..];
    assert_eq!(u32::from_be_bytes(big[2..6].try_into().unwrap()) as usize * SECTOR, start);

    let mut found = Vec::new();
    let mut at = start;
    while at < start + length {
        let size = image[at] as usize;
        if size == 0 {
            at = (at + 1).next_multiple_of(SECTOR);
            continue;
        }
        assert!(at % SECTOR + size <= SECTOR, "a record crosses a sector");
        let r = &image[at..at + size];
        let identifier = &r[33..33 + r[32] as usize];
        let system_use = &r[(33 + r[32] as usize).next_multiple_of(2)..];
        let data = &image[number(&r[2..]) * SECTOR..][..number(&r[10..])];
        if r[25] & 2 == 0 {
            let name = if joliet {
                let wide = identifier.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                String::from_utf16(&wide.collect::<Vec<_>>()).unwrap().replace(";1", "")
            } else {
                let at = system_use.windows(2).position(|w| w == b"NM").unwrap();
                let entry = &system_use[at..at + system_use[at + 2] as usize];
                String::from_utf8(entry[5..].to_vec()).unwrap()
            };
            found.push((name, data.to_vec()));
        }
        at += size;
    }
    found
}

fn expected() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        files().into_iter().map(|(name, data)| (name, data.expose().clone())).collect();
    files.sort();
    files
}

#[test]
fn both_trees_hold_every_file() {
    let image = iso(LABEL, &files()).unwrap();
    for sector in [16, 17] {
        let mut found = read(&image, sector);
        found.sort();
        assert_eq!(found, expected());
    }
    assert_eq!(&image[16 * SECTOR + 40..][..8], b"cidata  ");
    assert_eq!(image[18 * SECTOR], 0xff);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let mut reversed = files();
    reversed.reverse();
    assert_eq!(iso(LABEL, &files()).unwrap(), iso(LABEL, &files()).unwrap());
    assert_eq!(iso(LABEL, &files()).unwrap(), iso(LABEL, &reversed).unwrap());
}

#[test]
fn many_files_take_several_sectors_of_folder() {
    let many: Vec<_> =
        (0..60).map(|n| (format!("file-{n:02}"), Secret::new(vec![n; 10]))).collect();
    let image = iso(LABEL, &many).unwrap();
    for sector in [16, 17] {
        let found = read(&image, sector);
        assert_eq!(found.len(), 60);
        assert_eq!(found[59], ("file-59".to_owned(), vec![59; 10]));
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let one = |name: &str| vec![(name.to_owned(), Secret::new(Vec::new()))];
    for name in ["", "a/b", "a b", "ä", &"x".repeat(31)] {
        assert!(iso(LABEL, &one(name)).is_err(), "{name}");
    }
    let twice = [one("user-data"), one("User_Data")].concat();
    assert!(iso(LABEL, &twice).is_err());
    assert!(iso("", &[]).is_err());
    assert!(iso("longer-than-sixteen", &[]).is_err());
}

#[test]
fn xorriso_reads_it_too() {
    if Command::new("xorriso").arg("-version").output().is_err() {
        let mut stderr = std::io::stderr().lock();
        std::io::Write::write_all(&mut stderr, b"skipped: xorriso is not installed\n").unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.iso");
    std::fs::write(&path, iso(LABEL, &files()).unwrap()).unwrap();
    for (mode, tree) in [("nojoliet", "rock-ridge"), ("norock", "joliet")] {
        let out = dir.path().join(tree);
        let output = Command::new("xorriso")
            .args(["-no_rc", "-abort_on", "WARNING", "-read_fs", mode, "-indev"])
            .arg(&path)
            .args(["-pvd_info", "-osirrox", "on", "-extract", "/"])
            .arg(&out)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("cidata"), "{said}");
        for (name, data) in files() {
            assert_eq!(std::fs::read(out.join(name)).unwrap(), *data.expose(), "{tree}");
        }
    }
}
