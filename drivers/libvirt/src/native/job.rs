//! One piece of work: when it must stop, its connections, and how it takes turns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use fleet_driver::{Cx, Error, Result, Settings, wait};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use virt::connect::Connect;
use virt::error::Error as VirtError;

use super::Links;
use super::bytes::Content;
use crate::errors::Refusal;

/// Stragglers belong to the process, whichever value of the driver began them.
static TURNS: LazyLock<Mutex<BTreeMap<String, Arc<Turns<()>>>>> = LazyLock::new(Mutex::default);

/// How long a daemon that answered before may take to come back.
const REOPENED: Duration = Duration::from_secs(30);

/// Waits for the turn of whoever uses this word.
///
/// # Errors
/// `Interrupted`; `Driver`, if it does not come before the deadline.
pub(super) async fn turn(word: &str, cx: &Cx) -> Result<OwnedMutexGuard<()>> {
    let mine = {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever holds or awaits a turn holds the value too.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(word.to_owned()).or_default().clone()
    };
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Error::interrupted()),
        got = tokio::time::timeout(cx.left(), mine.lock_owned()) => got.map_err(|_| {
            Error::driver("libvirt is still busy with an earlier request").with("about", word)
        }),
    }
}

/// Tells the work that nobody waits for it any more, when it is dropped.
pub(super) struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A piece of work.
pub(super) struct Job {
    pub(super) cx: Cx,
    pub(super) settings: Arc<Settings>,
    links: Arc<Links>,
    gone: Arc<AtomicBool>,
}

impl Job {
    pub(super) fn new(cx: &Cx, settings: Arc<Settings>, links: Arc<Links>) -> (Self, Gone) {
        let gone = Arc::new(AtomicBool::new(false));
        (Self { cx: cx.clone(), settings, links, gone: gone.clone() }, Gone(gone))
    }

    /// Fails when the work is to end; called between steps.
    pub(super) fn go_on(&self) -> Result<()> {
        self.cx.go_on()?;
        if self.gone.load(Ordering::Relaxed) || self.cx.left().is_zero() {
            return Err(Error::driver("there was no time left"));
        }
        Ok(())
    }

    /// Waits for the turn of whoever uses this word.
    pub(super) fn turn(&self, word: &str) -> Result<OwnedMutexGuard<()>> {
        Handle::current().block_on(turn(word, &self.cx))
    }

    /// Tries until it works, as [`wait::until`].
    pub(super) fn until<T>(
        &self,
        reason: &str,
        hint: &str,
        mut attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        Handle::current().block_on(wait::until(&self.cx, reason, hint, || {
            let tried = self.go_on().and_then(|()| attempt());
            std::future::ready(tried)
        }))
    }

    /// The way in which bytes of volumes are carried.
    pub(super) fn content(&self) -> &dyn Content {
        self.links.content.as_ref()
    }

    /// A living connection.
    ///
    /// # Errors
    /// `Host`, with the way out.
    pub(super) fn link(&self, uri: &str) -> Result<Link> {
        self.go_on()?;
        // One opens it, the others use it.
        let _turn = self.turn(&format!("connection {uri}"))?;
        let known = self.open().get(uri).cloned();
        if let Some(connect) = known
            && connect.is_alive().unwrap_or(false)
        {
            return Ok(Link { uri: uri.to_owned(), connect, links: self.links.clone() });
        }
        self.open().remove(uri);
        let connect = if self.links.knows(uri) {
            self.reopen(uri)?
        } else {
            Connect::open(Some(uri)).map_err(|e| refusal(&e).opening(uri))?
        };
        self.links.note(uri);
        self.open().insert(uri.to_owned(), connect.clone());
        Ok(Link { uri: uri.to_owned(), connect, links: self.links.clone() })
    }

    /// Waits for a daemon that answered before: it may be starting anew.
    fn reopen(&self, uri: &str) -> Result<Connect> {
        let cx = self.cx.within(REOPENED.min(self.cx.left()));
        let hint = "see that its daemon runs";
        let reason = format!("libvirt at {uri} to answer again");
        Handle::current().block_on(wait::until(&cx, &reason, hint, || {
            let opened = self.go_on().and_then(|()| {
                Connect::open(Some(uri))
                    .map_err(|e| Error::busy("it cannot be reached").because(refusal(&e)))
            });
            std::future::ready(opened)
        }))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Connect>> {
        self.links.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection at work.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) uri: String,
    pub(super) connect: Connect,
    links: Arc<Links>,
}

impl Link {
    /// Makes an error of libvirt's; `what` fits after "could not".
    pub(super) fn error(&self, what: &str, error: &VirtError) -> Error {
        let refusal = refusal(error);
        if refusal.lost_connection() {
            let mut open = self.links.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&self.uri);
        }
        refusal.doing(what, &self.uri)
    }

    /// Gives the value, or libvirt's error as one of ours.
    pub(super) fn ok<T>(&self, what: &str, result: Result<T, VirtError>) -> Result<T> {
        result.map_err(|e| self.error(what, &e))
    }

    /// Gives the value, none where libvirt says that there is none.
    pub(super) fn some<T>(&self, what: &str, result: Result<T, VirtError>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(self.error(what, &e)),
        }
    }

    /// Whether it is libvirt's own stand-in, which has no hardware.
    pub(super) fn pretends(&self) -> bool {
        self.uri.starts_with("test:")
    }
}

/// Whether libvirt says that there is no such thing.
pub(super) fn is_absent(error: &VirtError) -> bool {
    let code = i64::from(error.code().to_raw());
    // Domain, network, pool's volume, snapshot, metadata.
    [42, 43, 50, 72, 80].contains(&code)
}

/// What libvirt says, in a form that can be judged.
pub(super) fn refusal(error: &VirtError) -> Refusal {
    Refusal {
        code: i64::from(error.code().to_raw()),
        domain: i64::from(error.domain().to_raw()),
        text: error.message().to_owned(),
    }
}
