//! Errors on the wire.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// An [`Error`] in words.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) message: String,
    /// The innermost first.
    #[serde(default)]
    pub(super) context: Vec<(String, String)>,
    #[serde(default)]
    pub(super) hint: Option<String>,
    /// The outermost first.
    #[serde(default)]
    pub(super) causes: Vec<String>,
}

/// The kinds by their names on the wire.
pub(super) const KINDS: [(&str, ErrorKind); 10] = [
    ("usage", ErrorKind::Usage),
    ("config", ErrorKind::Config),
    ("host", ErrorKind::Host),
    ("not-found", ErrorKind::NotFound),
    ("conflict", ErrorKind::Conflict),
    ("driver", ErrorKind::Driver),
    ("busy", ErrorKind::Busy),
    ("guest", ErrorKind::Guest),
    ("interrupted", ErrorKind::Interrupted),
    ("bug", ErrorKind::Bug),
];

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind()).map(|(name, _)| *name);
        let pair = |(key, value): &(&'static str, String)| ((*key).to_owned(), value.clone());
        Self {
            kind: kind.unwrap_or("driver").to_owned(),
            message: error.message().to_owned(),
            context: error.context().iter().map(pair).collect(),
            hint: error.hint_text().map(str::to_owned),
            causes: error.causes(),
        }
    }
}

impl Failure {
    /// The error that it was.
    ///
    /// No `From`: with a second conversion into errors, `?` needs more words elsewhere.
    pub(super) fn error(self) -> Error {
        let failure = self;
        let kind = KINDS.iter().find(|(name, _)| *name == failure.kind).map(|(_, kind)| *kind);
        // A kind of a later version is still something that the driver could not do.
        let mut error = Error::new(kind.unwrap_or(ErrorKind::Driver), failure.message);
        for (key, value) in failure.context {
            error = error.with(kept(&key), value);
        }
        if let Some(hint) = failure.hint {
            error = error.hint(hint);
        }
        let inner_first = failure.causes.into_iter().rev();
        let chain = inner_first.fold(None, |source, text| {
            Some(Box::new(Cause { text, source })) as Option<Box<Cause>>
        });
        match chain {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

/// One link of a chain of causes.
#[derive(Debug)]
struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &dyn std::error::Error)
    }
}

/// How many different keys of context are kept, and how long one may be in bytes.
const KEYS: usize = 64;
const LONGEST_KEY: usize = 40;

/// A key of context for as long as the process lives: errors hold no others.
///
/// Their number is bounded, whatever a program sends.
fn kept(key: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(key) {
        return known;
    }
    if known.len() >= KEYS || key.len() > LONGEST_KEY {
        return "detail";
    }
    let key: &'static str = Box::leak(key.to_owned().into_boxed_str());
    known.insert(key);
    key
}
