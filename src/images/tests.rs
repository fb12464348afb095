//! Downloads against a server on loopback that misbehaves on demand, and the store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::digest::{Hasher, Promise};
use super::download::{Downloader, Patience};
use super::store::{New, Source, Store};
use super::*;

/// What a server does to one request, whose head it is given in small letters.
type Behaviour = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// An answer, and how it ends.
struct Reply {
    head: String,
    body: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Stall,
}

/// A server on loopback; it ends with the test's runtime.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(behaviour: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heads, behaviour): (_, Arc<Behaviour>) = (asked.clone(), Arc::new(behaviour));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, heads.clone(), behaviour.clone()));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, heads: Arc<Mutex<Vec<String>>>, behaviour: Arc<Behaviour>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let number = {
        let mut heads = heads.lock().unwrap();
        heads.push(head.clone());
        heads.len() - 1
    };
    let reply = behaviour(number, &head);
    let text = format!("HTTP/1.1 {}connection: close\r\n\r\n", reply.head);
    if stream.write_all(text.as_bytes()).await.is_err()
        || stream.write_all(&reply.body).await.is_err()
        || stream.flush().await.is_err()
    {
        return;
    }
    if reply.then == Then::Stall {
        // Until the client has had enough.
        drop(stream.read(&mut byte).await);
    }
}

fn reply(head: &str, body: &[u8]) -> Reply {
    Reply { head: head.replace('\n', "\r\n"), body: body.to_vec(), then: Then::Close }
}

/// The whole file, or the part that is asked for if the server's `etag` is still the one
/// that the client has.
fn proper(head: &str, content: &[u8], etag: &str) -> Reply {
    let value = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
    };
    let from = value("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let same = value("if-range").is_none_or(|known| known == etag);
    let all = content.len();
    match from.filter(|from| same && *from < all) {
        Some(from) => reply(
            &format!(
                "206 Partial Content\netag: {etag}\ncontent-length: {}\n\
                 content-range: bytes {from}-{}/{all}\n",
                all - from,
                all - 1
            ),
            &content[from..],
        ),
        None => reply(&format!("200 OK\netag: {etag}\ncontent-length: {all}\n"), content),
    }
}

/// As much of the answer as `bytes`, and then the line is cut.
fn cut(mut reply: Reply, bytes: usize) -> Reply {
    reply.body.truncate(bytes);
    reply
}

fn downloader() -> Downloader {
    let patience = Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        tries: 3,
        pause: Duration::from_millis(5),
    };
    // The environment's proxies are not for loopback.
    Downloader::with(reqwest::Client::builder().no_proxy(), patience).unwrap()
}

fn cx() -> Cx {
    Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
        .within(Duration::from_secs(30))
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

fn promise(bytes: &[u8]) -> Promise {
    let mut hasher = Hasher::new(None);
    hasher.update(bytes);
    Promise::Sha256(hasher.finish().sha256)
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_stopped() {
    let server = Server::start(|n, head| {
        let whole = proper(head, &content(), "\"one\"");
        if n == 0 { cut(whole, 100_000) } else { whole }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("image");
    let url = format!("{}/image", server.url);
    let digests = downloader().file(&url, &to, Some(&promise(&content())), &cx()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), content());
    assert_eq!(digests.sha256, promise(&content()).hex());
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].contains("range: bytes=100000-"), "{}", asked[1]);
    assert!(asked[1].contains("if-range: \"one\""), "{}", asked[1]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no partial file is left");
}

#[tokio::test]
async fn the_next_run_goes_on_with_what_the_last_one_left() {
    let server = Server::start(|n, head| {
        let whole = proper(head, &content(), "\"one\"");
        if n < 1 {
            cut(whole, 50_000)
        } else if n < 3 {
            reply("503 Busy\n", b"")
        } else {
            whole
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (to, url) = (dir.path().join("image"), format!("{}/image", server.url));
    let error = downloader().file(&url, &to, None, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(!to.exists());
    assert_eq!(server.asked().len(), 3, "the cut one and two in vain");
    downloader().file(&url, &to, Some(&promise(&content())), &cx()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), content());
    assert!(server.asked()[3].contains("range: bytes=50000-"));
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_begun_anew() {
    let new: Vec<u8> = content().iter().rev().copied().collect();
    let served = new.clone();
    let server = Server::start(move |n, head| {
        if n == 0 {
            cut(proper(head, &content(), "\"one\""), 100_000)
        } else {
            proper(head, &served, "\"two\"")
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (to, url) = (dir.path().join("image"), format!("{}/image", server.url));
    downloader().file(&url, &to, Some(&promise(&new)), &cx()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), new);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_nothing_is_kept() {
    let server = Server::start(|_, head| proper(head, &content(), "\"one\"")).await;
    let dir = tempfile::tempdir().unwrap();
    let (to, url) = (dir.path().join("image"), format!("{}/image", server.url));
    let error = downloader().file(&url, &to, Some(&promise(b"else")), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint_text().unwrap().contains("has been removed"), "{error:?}");
    assert!(
        error
            .context()
            .iter()
            .any(|(key, value)| { *key == "expected" && value == promise(b"else").hex() })
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_the_server_does_not_have_is_not_asked_for_again() {
    let server = Server::start(|_, _| reply("404 Not Found\ncontent-length: 0\n", b"")).await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}/image", server.url);
    let error = downloader().file(&url, &dir.path().join("image"), None, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.context().contains(&("url", url)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_stalls_is_left_and_asked_again() {
    let server = Server::start(|n, head| {
        let mut whole = proper(head, &content(), "\"one\"");
        if n == 0 {
            whole = cut(whole, 10);
            whole.then = Then::Stall;
        }
        whole
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (to, url) = (dir.path().join("image"), format!("{}/image", server.url));
    downloader().file(&url, &to, Some(&promise(&content())), &cx()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), content());
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let server = Server::start(|_, head| {
        if head.starts_with("get /moved") {
            reply("302 Found\nlocation: /image\ncontent-length: 0\n", b"")
        } else {
            proper(head, &content(), "\"one\"")
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (to, url) = (dir.path().join("image"), format!("{}/moved", server.url));
    downloader().file(&url, &to, Some(&promise(&content())), &cx()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), content());
}

#[tokio::test]
async fn ctrl_c_ends_a_download() {
    let server = Server::start(|_, _| Reply {
        then: Then::Stall,
        ..reply("200 OK\ncontent-length: 10\n", b"12345")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let cx = Cx::new("/nowhere", Reporter::silent(), cancel.clone());
    let (to, url) = (dir.path().join("image"), format!("{}/image", server.url));
    let loader = downloader();
    let (result, ()) = tokio::join!(loader.file(&url, &to, None, &cx), async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
}

/// A qcow2 file made by `qemu-img`, or `None` where there is none.
async fn qcow2(dir: &Path) -> Option<Vec<u8>> {
    let file = dir.join("small.qcow2");
    let cmd = fleet_driver::run::Cmd::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&file)
        .arg("3M");
    match cx().run(&cmd).await {
        Ok(_) => Some(std::fs::read(file).unwrap()),
        Err(error) if error.kind() == ErrorKind::Host => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_official_image_is_compared_with_its_publishers_list() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = qcow2(dir.path()).await else { return };
    let distribution = catalog::known("ubuntu-24.04").unwrap();
    let list = format!(
        "{}  other.img\n{} *{}\n",
        "0".repeat(64),
        promise(&image).hex(),
        distribution.official.file
    );
    let served = image.clone();
    let server = Server::start(move |_, head| {
        assert!(head.starts_with("get /mirror/24.04/release/"), "{head}");
        let body: &[u8] = if head.contains("sha256sums") { list.as_bytes() } else { &served };
        proper(head, body, "\"one\"")
    })
    .await;
    let store = Store::new(dir.path().join("images"));
    let mirror = format!("{}/mirror/", server.url);
    let new =
        obtain::official(distribution, Some(&mirror), &store, &downloader(), &cx()).await.unwrap();
    let entry = store.admit(new).unwrap();
    assert_eq!(store.entry("ubuntu-24.04").unwrap(), Some(entry.clone()));
    assert_eq!(entry.size_mib, 3);
    assert_eq!(entry.distribution.as_deref(), Some("Ubuntu 24.04"));
    assert_eq!(std::fs::read(store.disk(&entry)).unwrap(), image);
}

mod store_and_import;
