//! The cloud-init seed: an ISO 9660 image that several drivers attach.
//!
//! Hides the format: ECMA-119 (4th edition, which ISO 9660 equals) with the names
//! that people wrote kept twice, in Rock Ridge (SUSP 1.12 and RRIP 1.12) for Linux
//! and in Joliet for everything else. Section numbers below are ECMA-119's unless
//! another document is named.
//!
//! Why not a FAT image, which cloud-init takes too: attached as a CD, FAT is refused
//! by Linux ("logical sector size too small for device"). Why not a system tool: it
//! would put secrets into files of its own, and one tool more to install.

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The volume label by which cloud-init's NoCloud source finds its seed.
///
/// <https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html>
pub const LABEL: &str = "cidata";

/// Bytes in a logical sector (6.1.2).
const SECTOR: usize = 2048;
/// The first sector after the system area (6.2.1).
const FIRST_DESCRIPTOR: usize = 16;
/// Two volume descriptors and the terminator of their set, then two path tables for
/// each of the two trees.
const PATH_TABLES: usize = FIRST_DESCRIPTOR + 3;
const FIRST_DIRECTORY: usize = PATH_TABLES + 4;
/// 1 January 1980, 00:00 UTC, everywhere: the same files give the same image.
const RECORD_TIME: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];
const VOLUME_TIME: &[u8; 17] = b"1980010100000000\0";
const NO_TIME: &[u8; 17] = b"0000000000000000\0";
/// Joliet allows 64 characters, an identifier of level 2 (10.2) 30.
const LONGEST_NAME: usize = 30;

/// Makes an image labelled `label` with `files` in its only folder.
///
/// Files belong to root and are readable by root alone where the Rock Ridge
/// attributes are honoured. The same input gives the same bytes.
///
/// # Errors
/// `Bug` for a label or file name that the formats cannot hold, for two files that
/// differ in nothing but case or punctuation, and for files of 4 GiB or more.
pub fn iso(label: &str, files: &[(String, Secret<Vec<u8>>)]) -> Result<Vec<u8>> {
    let entries = entries(label, files)?;
    // The trees differ in the length of their names only, so their sizes are known
    // before the places of the files are.
    let size = |tree| sectors(folder(tree, 0, SECTOR, &entries).len());
    let sizes = [size(Tree::RockRidge), size(Tree::Joliet)];
    let places = [FIRST_DIRECTORY, FIRST_DIRECTORY + sizes[0]];
    let mut entries = entries;
    let mut next = places[1] + sizes[1];
    for entry in &mut entries {
        entry.sector = next;
        next += sectors(entry.data.len());
    }

    let mut image = vec![0; FIRST_DESCRIPTOR * SECTOR];
    for (tree, at) in Tree::BOTH.into_iter().zip(0..) {
        image.extend(descriptor(
            tree,
            label,
            next,
            places[at],
            sizes[at] * SECTOR,
            PATH_TABLES + 2 * at,
        ));
    }
    image.extend(terminator());
    for place in places {
        image.extend(path_table(u32::to_le_bytes(place as u32), u16::to_le_bytes(1)));
        image.extend(path_table(u32::to_be_bytes(place as u32), u16::to_be_bytes(1)));
    }
    for (tree, at) in Tree::BOTH.into_iter().zip(0..) {
        image.extend(folder(tree, places[at], sizes[at] * SECTOR, &entries));
    }
    for entry in &entries {
        image.extend_from_slice(entry.data);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    debug_assert_eq!(image.len(), next * SECTOR);
    Ok(image)
}

/// The two directory trees of the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    RockRidge,
    Joliet,
}

impl Tree {
    const BOTH: [Self; 2] = [Self::RockRidge, Self::Joliet];

    /// A text in the tree's own characters: ASCII, or UCS-2 in big-endian order.
    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::RockRidge => text.as_bytes().to_vec(),
            Self::Joliet => text.bytes().flat_map(|b| [0, b]).collect(),
        }
    }

    /// A text padded with the tree's own blanks.
    fn padded(self, text: &str, length: usize) -> Vec<u8> {
        let mut bytes = self.text(text);
        while bytes.len() < length {
            bytes.extend(self.text(" "));
        }
        bytes.truncate(length);
        bytes
    }
}

/// A file and where it goes.
struct Entry<'a> {
    name: &'a str,
    /// The identifier in the tree that old systems read: A to Z, 0 to 9 and `_` (7.4.1).
    plain: String,
    data: &'a [u8],
    sector: usize,
}

fn entries<'a>(label: &str, files: &'a [(String, Secret<Vec<u8>>)]) -> Result<Vec<Entry<'a>>> {
    let legal = |b: u8| b.is_ascii_graphic() && !b"*/:;?\\\"".contains(&b);
    if label.is_empty() || label.len() > 16 || !label.bytes().all(legal) {
        return Err(Error::bug("the seed's label does not fit its format").with("label", label));
    }
    let mut entries = Vec::new();
    for (name, data) in files {
        let wrong = |why: &str| Error::bug(format!("a file of the seed {why}")).with("file", name);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(legal) {
            return Err(wrong("has a name that does not fit its format"));
        }
        let data = data.expose().as_slice();
        if u32::try_from(data.len()).is_err() {
            return Err(wrong("is 4 GiB or more"));
        }
        entries.push(Entry { name, plain: plain(name), data, sector: 0 });
    }
    // Both trees want their records sorted by identifier (9.3).
    entries.sort_by(|a, b| a.plain.cmp(&b.plain));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].plain == pair[1].plain) {
        return Err(Error::bug("two files of the seed have the same name in old systems")
            .with("file", pair[0].name)
            .with("file", pair[1].name));
    }
    Ok(entries)
}

/// `user-data` → `USER_DATA.;1`: name, full stop, extension, version (7.5.1).
fn plain(name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let map = |part: &str| -> String {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }
        };
        part.chars().map(allowed).collect()
    };
    format!("{}.{};1", map(stem), map(extension))
}

fn sectors(bytes: usize) -> usize {
    bytes.div_ceil(SECTOR)
}

/// A number in both byte orders (7.2.3, 7.3.3).
fn both16(n: u16) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

fn both32(n: usize) -> Vec<u8> {
    let n = n as u32;
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// What a directory record describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

/// A directory record (9.1): `identifier` says what for, `extra` is its system use
/// field.
fn record(kind: Kind, sector: usize, bytes: usize, identifier: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut r = vec![0, 0];
    r.extend(both32(sector));
    r.extend(both32(bytes));
    r.extend(RECORD_TIME);
    r.push(if kind == Kind::Folder { 2 } else { 0 });
    r.extend([0, 0]);
    r.extend(both16(1));
    r.push(identifier.len() as u8);
    r.extend(identifier);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r.extend(extra);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r[0] = r.len() as u8;
    r
}

/// The records of the only folder: itself, its parent (itself again) and its files.
fn folder(tree: Tree, sector: usize, bytes: usize, entries: &[Entry]) -> Vec<u8> {
    let itself = |extra: &[u8], mark| record(Kind::Folder, sector, bytes, &[mark], extra);
    let mut records = match tree {
        Tree::RockRidge => vec![itself(&rock_ridge_root(), 0), itself(&posix(Kind::Folder), 1)],
        Tree::Joliet => vec![itself(&[], 0), itself(&[], 1)],
    };
    let mut order: Vec<&Entry> = entries.iter().collect();
    if tree == Tree::Joliet {
        order.sort_by(|a, b| a.name.cmp(b.name));
    }
    for entry in order {
        let (identifier, extra) = match tree {
            Tree::RockRidge => {
                let mut extra = posix(Kind::File);
                // RRIP 4.1.4: NM, the name as people wrote it, all in one entry.
                extra.extend([b'N', b'M', 5 + entry.name.len() as u8, 1, 0]);
                extra.extend(entry.name.as_bytes());
                (entry.plain.clone().into_bytes(), extra)
            }
            Tree::Joliet => (tree.text(&format!("{};1", entry.name)), Vec::new()),
        };
        records.push(record(Kind::File, entry.sector, entry.data.len(), &identifier, &extra));
    }
    // A record does not cross the end of a sector (6.8.1.1).
    let mut bytes = Vec::new();
    for record in records {
        if bytes.len() % SECTOR + record.len() > SECTOR {
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        }
        bytes.extend(record);
    }
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

/// SUSP 5.3 (SP: sharing is in use) and 5.5 (ER: the extension is Rock Ridge), for
/// the first record of the root folder.
fn rock_ridge_root() -> Vec<u8> {
    let mut extra = vec![b'S', b'P', 7, 1, 0xbe, 0xef, 0];
    extra.extend(posix(Kind::Folder));
    let id = b"RRIP_1991A";
    extra.extend([b'E', b'R', 8 + id.len() as u8, 1, id.len() as u8, 0, 0, 1]);
    extra.extend(id);
    extra
}

/// RRIP 4.1.1: PX, with mode, links, owner and group; the form of 1.09 without a
/// serial number, which every reader takes.
fn posix(kind: Kind) -> Vec<u8> {
    let (mode, links) = match kind {
        Kind::Folder => (0o040_500, 2),
        Kind::File => (0o100_400, 1),
    };
    let mut entry = vec![b'P', b'X', 36, 1];
    for n in [mode, links, 0, 0] {
        entry.extend(both32(n));
    }
    entry
}

/// The primary (8.4) or supplementary (8.5) volume descriptor of a tree.
fn descriptor(
    tree: Tree,
    label: &str,
    volume: usize,
    root: usize,
    root_bytes: usize,
    path_tables: usize,
) -> Vec<u8> {
    let mut d = vec![if tree == Tree::Joliet { 2 } else { 1 }];
    d.extend(b"CD001\x01\0");
    d.extend(tree.padded("", 32)); // system
    d.extend(tree.padded(label, 32));
    d.extend([0; 8]);
    d.extend(both32(volume));
    match tree {
        Tree::RockRidge => d.extend([0; 32]),
        // The escape sequence of UCS-2 level 3 (Joliet, "SVD Escape Sequences Field").
        Tree::Joliet => {
            d.extend(b"%/E");
            d.extend([0; 29]);
        }
    }
    d.extend(both16(1)); // volumes in the set
    d.extend(both16(1)); // this one's number
    d.extend(both16(SECTOR as u16));
    d.extend(both32(PATH_TABLE_BYTES));
    d.extend((path_tables as u32).to_le_bytes());
    d.extend([0; 4]);
    d.extend((path_tables as u32 + 1).to_be_bytes());
    d.extend([0; 4]);
    d.extend(record(Kind::Folder, root, root_bytes, &[0], &[]));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        d.extend(tree.padded("", length)); // set, publisher, preparer, application, files
    }
    d.extend(VOLUME_TIME); // made
    d.extend(VOLUME_TIME); // changed
    d.extend(NO_TIME); // expires
    d.extend(NO_TIME); // effective
    d.push(1);
    d.resize(SECTOR, 0);
    d
}

/// The end of the set of descriptors (8.3).
fn terminator() -> Vec<u8> {
    let mut d = b"\xffCD001\x01".to_vec();
    d.resize(SECTOR, 0);
    d
}

const PATH_TABLE_BYTES: usize = 10;

/// A path table with the root as its only folder (9.4), in the byte order of its
/// numbers.
fn path_table(root: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut table = vec![1, 0];
    table.extend(root);
    table.extend(parent);
    table.extend([0, 0]);
    debug_assert_eq!(table.len(), PATH_TABLE_BYTES);
    table.resize(SECTOR, 0);
    table
}

#[cfg(test)]
mod tests;
