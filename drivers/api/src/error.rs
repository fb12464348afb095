//! The one error type, used by drivers and by `fleet` itself.

use std::fmt;

/// The result of everything that can fail in `fleet`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure this is; decides on the exit code and on retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line, beyond what the parser itself refuses.
    Usage,
    /// `machines.toml` or an option in it.
    Config,
    /// This host lacks something: a program, a library, a permission, space.
    Host,
    /// What was asked for does not exist.
    NotFound,
    /// The world differs from what was asked, and fleet will not force it.
    Conflict,
    /// The hypervisor or cloud said no.
    Driver,
    /// It may work in a moment; the only kind that is retried.
    Busy,
    /// A command in a machine, or its engine, failed.
    Guest,
    /// Ctrl-C.
    Interrupted,
    /// A mistake of ours.
    Bug,
}

impl ErrorKind {
    /// The exit code of the process when this ends it before any lane ran.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Config => 3,
            Self::Host => 4,
            Self::NotFound | Self::Conflict => 5,
            Self::Driver | Self::Busy => 6,
            Self::Guest => 7,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A failure: its kind, what could not be done, in which context, and what to
/// try next.
///
/// `message` is a lower-case fragment. Context is added as pairs on the way up.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A wrong `machines.toml`.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Something this host lacks.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Host, message)
    }

    /// A refusal by the hypervisor.
    pub fn driver(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Driver, message)
    }

    /// A failure inside a guest or its engine.
    pub fn guest(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Guest, message)
    }

    /// Something that may work in a moment.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Busy, message)
    }

    /// Something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A world that differs from what was asked.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted").hint("run the same command again to go on")
    }

    /// A mistake of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message).hint("this is a bug in fleet; please report it")
    }

    /// Adds a pair of context, such as `("machine", "host1")`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Says what the person can do; the innermost hint wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, not to be tried again.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        if self.0.kind == ErrorKind::Busy {
            self.0.kind = ErrorKind::Driver;
        }
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What could not be done.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The pairs of context, innermost first.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// What to try next.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The texts of the chain of causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut next: Option<&dyn std::error::Error> =
            self.0.source.as_deref().map(|e| e as &dyn std::error::Error);
        while let Some(error) = next {
            let text = error.to_string();
            if texts.last() != Some(&text) {
                texts.push(text);
            }
            next = error.source();
        }
        texts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self} {:?}", self.0.kind, self.0.context)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_hint_wins() {
        let error = Error::host("no qemu").hint("install it").hint("give up");
        assert_eq!(error.hint_text(), Some("install it"));
    }

    #[test]
    fn what_is_busy_for_good_is_not_tried_again() {
        let error = Error::busy("not now").hint("wait").for_good();
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Driver, Some("wait")));
        assert_eq!(Error::host("no").for_good().kind(), ErrorKind::Host);
    }

    #[test]
    fn causes_are_shown_once() {
        let io = std::io::Error::other("disk full");
        let error = Error::host("could not write").because(io);
        assert_eq!(error.to_string(), "could not write: disk full");
    }
}
