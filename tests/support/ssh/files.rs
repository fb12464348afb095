//! A file server over SFTP, on a folder of this computer that is the account's home.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode,
};
use russh_sftp::server::Handler;

/// The files of one connection.
pub(crate) struct Files {
    home: PathBuf,
    open: HashMap<String, Open>,
    next: u32,
}

enum Open {
    File(File),
    /// A folder, and the names that were not told yet.
    Folder(Vec<Entry>),
}

impl Files {
    pub(crate) fn new(home: PathBuf) -> Self {
        Self { home, open: HashMap::new(), next: 0 }
    }

    fn keep(&mut self, id: u32, open: Open) -> Handle {
        self.next += 1;
        let handle = self.next.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    fn file(&self, handle: &str) -> Result<&File, StatusCode> {
        match self.open.get(handle) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(StatusCode::Failure),
        }
    }
}

fn code(error: io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    }
}

fn well(id: u32) -> Status {
    let (error_message, language_tag) = ("Ok".to_owned(), "en-US".to_owned());
    Status { id, status_code: StatusCode::Ok, error_message, language_tag }
}

/// The strings of an extension's data.
fn strings(mut data: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (text, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        data = rest;
    }
    found
}

impl Handler for Files {
    type Error = StatusCode;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        flags: OpenFlags,
        attrs: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        let mut options: OpenOptions = flags.into();
        options.mode(attrs.permissions.unwrap_or(0o644) & 0o777);
        let file = options.open(self.home.join(filename)).map_err(code)?;
        Ok(self.keep(id, Open::File(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusCode> {
        self.open.remove(&handle).map(|_| well(id)).ok_or(StatusCode::Failure)
    }

    async fn read(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        len: u32,
    ) -> Result<Data, StatusCode> {
        let mut data = vec![0; len as usize];
        let read = self.file(&handle)?.read_at(&mut data, offset).map_err(code)?;
        data.truncate(read);
        if data.is_empty() { Err(StatusCode::Eof) } else { Ok(Data { id, data }) }
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, StatusCode> {
        self.file(&handle)?.write_all_at(&data, offset).map(|()| well(id)).map_err(code)
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        let found = fs::metadata(self.home.join(path)).map_err(code)?;
        Ok(Attrs { id, attrs: FileAttributes::from(&found) })
    }

    async fn setstat(
        &mut self,
        id: u32,
        path: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let mode = fs::Permissions::from_mode(attrs.permissions.unwrap_or_default());
        fs::set_permissions(self.home.join(path), mode).map(|()| well(id)).map_err(code)
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let mode = fs::Permissions::from_mode(attrs.permissions.unwrap_or_default());
        self.file(&handle)?.set_permissions(mode).map(|()| well(id)).map_err(code)
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        let mut names = vec![Entry::dummy("."), Entry::dummy("..")];
        for entry in fs::read_dir(self.home.join(path)).map_err(code)? {
            names.push(Entry::dummy(entry.map_err(code)?.file_name().to_string_lossy()));
        }
        Ok(self.keep(id, Open::Folder(names)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusCode> {
        let Some(Open::Folder(names)) = self.open.get_mut(&handle) else {
            return Err(StatusCode::Failure);
        };
        // A few at a time, as large folders come.
        let files: Vec<Entry> = names.drain(..names.len().min(3)).collect();
        if files.is_empty() { Err(StatusCode::Eof) } else { Ok(Name { id, files }) }
    }

    async fn mkdir(
        &mut self,
        id: u32,
        path: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let path = self.home.join(path);
        fs::create_dir(&path).map_err(code)?;
        let mode = fs::Permissions::from_mode(attrs.permissions.unwrap_or(0o755));
        fs::set_permissions(path, mode).map(|()| well(id)).map_err(code)
    }

    async fn remove(&mut self, id: u32, filename: String) -> Result<Status, StatusCode> {
        fs::remove_file(self.home.join(filename)).map(|()| well(id)).map_err(code)
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        let real = self.home.join(path).canonicalize().map_err(code)?;
        Ok(Name { id, files: vec![Entry::dummy(real.to_string_lossy())] })
    }

    async fn rename(
        &mut self,
        id: u32,
        oldpath: String,
        newpath: String,
    ) -> Result<Status, StatusCode> {
        let to = self.home.join(newpath);
        // As in OpenSSH: this verb replaces nothing.
        if to.exists() {
            return Err(StatusCode::Failure);
        }
        fs::rename(self.home.join(oldpath), to).map(|()| well(id)).map_err(code)
    }

    async fn extended(
        &mut self,
        id: u32,
        request: String,
        data: Vec<u8>,
    ) -> Result<Packet, StatusCode> {
        let words = strings(&data);
        match (request.as_str(), words.as_slice()) {
            ("posix-rename@openssh.com", [from, to]) => {
                fs::rename(self.home.join(from), self.home.join(to)).map_err(code)?;
            }
            ("fsync@openssh.com", [handle]) => self.file(handle)?.sync_all().map_err(code)?,
            _ => return Err(StatusCode::OpUnsupported),
        }
        Ok(Packet::Status(well(id)))
    }
}
