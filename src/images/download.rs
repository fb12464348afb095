//! Downloads: resumed where they stopped, retried when the network fails, and never
//! taken for whole before their digest is right.
//!
//! A partial file `X.part` has `X.part.json` beside it, which says what it is part of.
//! It is continued with `Range` and `If-Range` (RFC 9110, sections 14.2 and 13.1.5), so
//! that a server whose file has changed meanwhile sends the new one from its beginning.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_driver::event::EventKind;
use fleet_driver::wait::pause_for;
use fleet_driver::{Cx, Error, ErrorKind, Level, Result};
use reqwest::header::{
    ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::digest::{Digests, Promise, advanced, of_file};
use super::space;
use super::store::trouble;

/// How patient a download is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a connection, its TLS included.
    pub(super) connect: Duration,
    /// For the next bytes.
    pub(super) stall: Duration,
    /// How often in a row it is tried without a byte gained.
    pub(super) tries: u32,
    /// The first pause between two tries; each is twice as long as the last.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            tries: 5,
            pause: Duration::from_secs(1),
        }
    }
}

/// A way to download.
pub(super) struct Downloader {
    client: Client,
    patience: Patience,
}

/// What a partial file is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Partial {
    url: String,
    /// A strong validator of the file: its `ETag`, else its `Last-Modified`.
    validator: Option<String>,
}

/// How one try ended short of the whole file.
enum Short {
    /// The network's fault: worth another try.
    Network(Error),
    /// Another try would end the same.
    Final(Error),
}

impl Downloader {
    /// A downloader that trusts the host's certificates and uses its proxies
    /// (`https_proxy`, `no_proxy`).
    ///
    /// # Errors
    /// `Host`: the host's certificates cannot be read.
    pub(super) fn new(patience: Patience) -> Result<Self> {
        Self::with(Client::builder(), patience)
    }

    /// As [`Downloader::new`], over a client of another make.
    ///
    /// # Errors
    /// As [`Downloader::new`].
    pub(super) fn with(client: ClientBuilder, patience: Patience) -> Result<Self> {
        // Somebody else in this process may have been first: then this changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = client
            .connect_timeout(patience.connect)
            .read_timeout(patience.stall)
            .user_agent(concat!("fleet/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| {
                Error::host("could not prepare for downloads")
                    .because(e)
                    .hint("install the root certificates: `apt-get install ca-certificates`")
            })?;
        Ok(Self { client, patience })
    }

    /// Gets a small text, such as a list of digests.
    ///
    /// # Errors
    /// `Driver`: the server cannot be reached; `NotFound`: it has no such file.
    pub(super) async fn text(&self, url: &str, cx: &Cx) -> Result<String> {
        const MOST: usize = 4 << 20;
        self.persist(url, cx, async |_| {
            let mut response = self.get(url, HeaderMap::new(), cx).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = self.chunk(&mut response, cx).await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > MOST {
                    return Err(Short::Final(Error::driver("the list is far too long")));
                }
            }
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
        .await
    }

    /// Gets a file into `to`, continuing what an earlier run has left, and gives its
    /// digests. The file is there whole, flushed and right, or not at all.
    ///
    /// # Errors
    /// `Conflict`: the digest differs (what was downloaded is removed); `NotFound`: the
    /// server has no such file; `Driver`: it cannot be reached or does not go on; `Host`:
    /// the file cannot be written.
    pub(super) async fn file(
        &self,
        url: &str,
        to: &Path,
        promise: Option<&Promise>,
        cx: &Cx,
    ) -> Result<Digests> {
        let part = beside(to, ".part");
        self.persist(url, cx, async |told| self.some(url, &part, told, cx).await).await?;
        let digests = of_file(&part, promise, cx).await?;
        if let Some(promise) = promise
            && let Err(error) = digests.keep(promise)
        {
            discard(&part);
            return Err(error.with("url", url).hint(
                "what was downloaded has been removed; try again, and if it stays so, \
                 trust neither the server nor the way to it",
            ));
        }
        std::fs::rename(&part, to).map_err(|e| trouble("could not store a download", to, e))?;
        discard(&part);
        Ok(digests)
    }

    /// Tries until it works, as long as tries bring bytes or their number is small.
    async fn persist<T, F>(&self, url: &str, cx: &Cx, mut attempt: F) -> Result<T>
    where
        F: AsyncFnMut(&mut u64) -> Result<T, Short>,
    {
        let (mut fruitless, mut pause) = (0, self.patience.pause);
        loop {
            cx.go_on()?;
            let mut gained = 0;
            let error = match attempt(&mut gained).await {
                Ok(value) => return Ok(value),
                Err(Short::Final(error)) => return Err(error.with("url", url)),
                Err(Short::Network(error)) => error,
            };
            if gained > 0 {
                (fruitless, pause) = (0, self.patience.pause);
            }
            fruitless += 1;
            if fruitless >= self.patience.tries || cx.left() <= pause {
                return Err(error.with("url", url).hint("is this host online?"));
            }
            let text = format!("The download stopped ({error}); going on in a moment.");
            cx.report(EventKind::Note { level: Level::Warning, text });
            pause_for(cx, pause).await?;
            pause *= 2;
        }
    }

    /// Gets more of a file; `Ok` when it is whole.
    async fn some(&self, url: &str, part: &Path, gained: &mut u64, cx: &Cx) -> Result<(), Short> {
        let about = beside(part, ".json");
        let (have, known) = held(part, &about, url);
        let mut headers = HeaderMap::new();
        if let Some(validator) = &known.validator
            && have > 0
        {
            let value = |text: &str| {
                text.parse()
                    .map_err(|e| Short::Final(Error::bug("a header cannot be written").because(e)))
            };
            headers.insert(RANGE, value(&format!("bytes={have}-"))?);
            headers.insert(IF_RANGE, value(validator)?);
        }
        let mut response = self.get(url, headers, cx).await?;
        let from = match response.status() {
            StatusCode::PARTIAL_CONTENT => match span(response.headers()) {
                Some((from, total)) if from == have => (from, total),
                _ => {
                    discard(part);
                    return Err(Short::Network(Error::driver("the server sent another part")));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                // Whole already, or grown past the server's file: the digest will tell,
                // and without one the length does.
                if span(response.headers()).is_some_and(|(_, total)| total == Some(have)) {
                    return Ok(());
                }
                discard(part);
                return Err(Short::Network(Error::driver("the server's file has changed")));
            }
            _ => (0, response.content_length()),
        };
        let (start, total) = from;
        let about_it = Partial { url: url.to_owned(), validator: validator(response.headers()) };
        let json = serde_json::to_vec(&about_it)
            .map_err(|e| Short::Final(Error::bug("a note cannot be written").because(e)))?;
        std::fs::write(&about, json).map_err(|e| Short::Final(full(&about, e)))?;
        if let Some(total) = total {
            space::need(part, total - start.min(total), cx).await.map_err(Short::Final)?;
        }

        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(start == 0)
            .append(false)
            .open(part)
            .await
            .map_err(|e| Short::Final(full(part, e)))?;
        let seek = tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(start));
        seek.await.map_err(|e| Short::Final(full(part, e)))?;
        let (mut done, mut told) = (start, start);
        advanced(cx, done, total);
        let ended = loop {
            match self.chunk(&mut response, cx).await {
                Ok(Some(chunk)) => {
                    file.write_all(&chunk).await.map_err(|e| Short::Final(full(part, e)))?;
                    done += chunk.len() as u64;
                    *gained += chunk.len() as u64;
                    if done - told >= 1 << 20 {
                        told = done;
                        advanced(cx, done, total);
                    }
                }
                Ok(None) => break Ok(()),
                Err(short) => break Err(short),
            }
        };
        file.flush().await.map_err(|e| Short::Final(full(part, e)))?;
        file.sync_all().await.map_err(|e| Short::Final(full(part, e)))?;
        advanced(cx, done, total);
        ended?;
        match total {
            Some(total) if done < total => {
                Err(Short::Network(Error::driver("the server ended before the file did")))
            }
            _ => Ok(()),
        }
    }

    async fn get(&self, url: &str, headers: HeaderMap, cx: &Cx) -> Result<Response, Short> {
        let sent = self.client.get(url).headers(headers).send();
        let response = within(cx, sent).await?.map_err(|e| network(&e))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let said = format!("the server said `{status}`");
        Err(match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Short::Final(Error::not_found(said)),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Short::Network(Error::driver(said))
            }
            _ if status.is_server_error() => Short::Network(Error::driver(said)),
            _ => Short::Final(Error::driver(said)),
        })
    }

    async fn chunk(&self, response: &mut Response, cx: &Cx) -> Result<Option<Vec<u8>>, Short> {
        let chunk = within(cx, response.chunk()).await?.map_err(|e| network(&e))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

/// Waits for the network, by the deadline, and not past Ctrl-C.
async fn within<T>(cx: &Cx, work: impl Future<Output = T>) -> Result<T, Short> {
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Short::Final(Error::interrupted())),
        done = tokio::time::timeout(cx.left(), work) => done.map_err(|_| {
            Short::Final(Error::driver("the download took too long"))
        }),
    }
}

/// What is there of a file already: its length, and what it is part of.
fn held(part: &Path, about: &Path, url: &str) -> (u64, Partial) {
    let none = Partial { url: url.to_owned(), validator: None };
    let known: Option<Partial> =
        std::fs::read(about).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match (std::fs::metadata(part), known) {
        (Ok(found), Some(known)) if known.url == url => (found.len(), known),
        _ => (0, none),
    }
}

/// A validator that is good for `If-Range`: weak ones are not.
fn validator(headers: &HeaderMap) -> Option<String> {
    if headers.get(ACCEPT_RANGES).is_some_and(|value| value == "none") {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(ETAG).filter(|etag| !etag.starts_with("W/")).or_else(|| text(LAST_MODIFIED))
}

/// First byte and whole length in `Content-Range: bytes 5-9/10` or `bytes */10`.
fn span(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes")?.trim();
    let (range, total) = text.split_once('/')?;
    let from = if range == "*" { 0 } else { range.split_once('-')?.0.parse().ok()? };
    Some((from, total.parse().ok()))
}

/// Removes a partial file and what is known of it; nothing is lost if that fails.
fn discard(part: &Path) {
    drop(std::fs::remove_file(part));
    drop(std::fs::remove_file(beside(part, ".json")));
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn full(path: &Path, cause: std::io::Error) -> Error {
    let error = trouble("could not write a download", path, cause);
    debug_assert_eq!(error.kind(), ErrorKind::Host);
    error.hint("is the disk full? `FLEET_CACHE` names another folder for images")
}

fn network(error: &reqwest::Error) -> Short {
    let causes: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(std::error::Error::source(error), |cause| cause.source()).collect();
    if causes.iter().any(|cause| distrusted(*cause)) {
        let fault = Error::driver("the server's certificate is not trusted");
        return Short::Final(because(fault, &causes).hint(
            "is the clock right, and is `ca-certificates` installed? `SSL_CERT_FILE` names the \
             certificates of a mirror of your own",
        ));
    }
    let fault = because(
        Error::driver(if error.is_timeout() {
            "the server does not answer"
        } else if error.is_connect() {
            "the server cannot be reached"
        } else {
            "the connection broke"
        }),
        &causes,
    );
    // A bad URL does not get better by trying again.
    if error.is_builder() || error.is_redirect() {
        Short::Final(fault)
    } else {
        Short::Network(fault)
    }
}

/// Keeps the innermost cause: those around it only say that there is one.
fn because(error: Error, causes: &[&(dyn std::error::Error + 'static)]) -> Error {
    match causes.last() {
        Some(cause) => error.because(cause.to_string()),
        None => error,
    }
}

/// Whether a cause is a certificate that was refused. It comes in errors of input and
/// output, one in the other, which do not show it as their source.
fn distrusted(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return io.get_ref().is_some_and(|inner| distrusted(inner));
    }
    let tls = cause.downcast_ref::<rustls::Error>();
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
