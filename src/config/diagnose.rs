//! Problems of `machines.toml`: where they are, how they look, how they read as JSON.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use fleet_driver::{ErrorKind, Level};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity,
    SourceCode,
};
use serde_json::{Value, json};

/// A part of the file's text, in bytes.
pub(crate) type Span = Range<usize>;

/// Whether colour and box drawing may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// A terminal: colour and Unicode lines.
    On,
    /// Anything else: plain ASCII.
    Off,
}

impl Colour {
    /// `On` if the stream says that it takes colour.
    pub fn when(allowed: bool) -> Self {
        if allowed { Self::On } else { Self::Off }
    }
}

/// The text that problems point into.
#[derive(Debug)]
pub(crate) struct Source {
    /// How the file is called in messages.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// One thing that is wrong, or doubtful, in `machines.toml`.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    level: Level,
    message: String,
    help: Option<String>,
    marks: Vec<(Span, String)>,
    source: Option<Arc<NamedSource<String>>>,
    name: String,
    place: Option<(usize, usize)>,
}

impl Problem {
    fn new(level: Level, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            level,
            message: message.into(),
            help: None,
            marks: Vec::new(),
            source: None,
            name: String::new(),
            place: None,
        }))
    }

    /// Something that must be changed; a lower-case fragment.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Level::Error, message)
    }

    /// Something that works, but not as one would like.
    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self::new(Level::Warning, message)
    }

    /// Marks a part of the text; the first mark is the place of the problem.
    pub(crate) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.0.marks.push((span, label.into()));
        self
    }

    /// Says what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says what to do about it, if that is known.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.0.help = help.or(self.0.help);
        self
    }

    fn is_around(&self, inner: &Span) -> bool {
        let within =
            |outer: &Span| outer != inner && outer.start <= inner.start && inner.end <= outer.end;
        !inner.is_empty() && self.0.marks.first().is_some_and(|(outer, _)| within(outer))
    }

    fn start(&self) -> usize {
        self.0.marks.first().map_or(0, |(span, _)| span.start)
    }

    /// How bad it is.
    pub fn level(&self) -> Level {
        self.0.level
    }

    /// What is wrong, a lower-case fragment.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The file, as it was named when it was loaded.
    pub fn file(&self) -> &str {
        &self.0.name
    }

    /// Line and column, both counted from 1, the column in characters; `None` for a
    /// file that could not be read.
    pub fn place(&self) -> Option<(usize, usize)> {
        self.0.place
    }

    /// Renders it with the text it is about and a marker below.
    pub fn render(&self, colour: Colour) -> String {
        let mut theme = match colour {
            Colour::On => GraphicalTheme::unicode(),
            Colour::Off => GraphicalTheme::none(),
        };
        "error:".clone_into(&mut theme.characters.error);
        "warning:".clone_into(&mut theme.characters.warning);
        "note:".clone_into(&mut theme.characters.advice);
        let mut text = String::new();
        let rendered = GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_links(false)
            .with_break_words(false)
            .render_report(&mut text, self);
        if rendered.is_err() {
            // A marker outside the text; the words are still worth having.
            text = format!("  error: {}\n", self.0.message);
        }
        text
    }

    /// The problem as JSON: level, file, line, column, message and help.
    pub fn to_json(&self) -> Value {
        json!({
            "level": self.0.level,
            "file": self.0.name,
            "line": self.0.place.map(|(line, _)| line),
            "column": self.0.place.map(|(_, column)| column),
            "message": self.0.message,
            "help": self.0.help,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(match self.0.level {
            Level::Info => Severity::Advice,
            Level::Warning => Severity::Warning,
            Level::Error => Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let source: &NamedSource<String> = self.0.source.as_deref()?;
        Some(source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.0.marks.is_empty() {
            return None;
        }
        Some(Box::new(self.0.marks.iter().enumerate().map(|(n, (span, label))| {
            let label = (!label.is_empty()).then(|| label.clone());
            let at = (span.start, span.end - span.start);
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, at)
            } else {
                LabeledSpan::new_with_span(label, at)
            }
        })))
    }
}

/// A `machines.toml` that cannot be used, and all that is wrong with it.
#[derive(Debug, Clone)]
pub struct Invalid {
    kind: ErrorKind,
    name: String,
    problems: Vec<Problem>,
}

impl Invalid {
    /// A file that could not be read at all.
    pub(crate) fn unreadable(kind: ErrorKind, name: &str, problem: Problem) -> Self {
        let mut problem = problem;
        name.clone_into(&mut problem.0.name);
        Self { kind, name: name.to_owned(), problems: vec![problem] }
    }

    /// `Config`; `NotFound` if there is no such file, `Host` if it cannot be read.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file, as it was named when it was loaded.
    pub fn file(&self) -> &str {
        &self.name
    }

    /// Everything that was found, warnings too, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Renders all problems, each with the text it is about, then how many there are.
    pub fn render(&self, colour: Colour) -> String {
        let text = render_all(&self.problems, colour);
        match self.problems.as_slice() {
            [_, _, ..] => format!("{text}\n{self}\n"),
            _ => text,
        }
    }

    /// All problems as JSON, below `errors` and `warnings`.
    pub fn to_json(&self) -> Value {
        let of = |level| -> Vec<Value> {
            self.problems.iter().filter(|p| p.0.level == level).map(Problem::to_json).collect()
        };
        json!({
            "v": 1,
            "valid": false,
            "file": self.name,
            "errors": of(Level::Error),
            "warnings": of(Level::Warning),
        })
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |level| self.problems.iter().filter(|p| p.0.level == level).count();
        write!(f, "{} has {}", self.name, some(count(Level::Error), "error"))?;
        match count(Level::Warning) {
            0 => Ok(()),
            n => write!(f, " and {}", some(n, "warning")),
        }
    }
}

impl std::error::Error for Invalid {}

/// Renders problems one below the other.
pub fn render_all(problems: &[Problem], colour: Colour) -> String {
    problems.iter().map(|problem| problem.render(colour)).collect::<Vec<_>>().join("\n")
}

/// A number with its noun: `1 error`, `3 errors`.
pub(crate) fn some(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Collects what is wrong while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// How many there are that make the file unusable.
    pub(crate) fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.0.level == Level::Error).count()
    }

    /// Sorts what was found by place and ties it to its text: the warnings if that
    /// is all, else the file is invalid.
    pub(crate) fn finish(self, source: Source) -> Result<Vec<Problem>, Invalid> {
        let failed = self.errors() > 0;
        let mut problems = self.0;
        let errors: Vec<Span> = problems
            .iter()
            .filter(|problem| problem.0.level == Level::Error)
            .filter_map(|problem| problem.0.marks.first().map(|(span, _)| span.clone()))
            .collect();
        // A mistake inside of a value is the reason for what is said of the value.
        problems.retain(|problem| !errors.iter().any(|inner| problem.is_around(inner)));
        problems.sort_by_key(Problem::start);
        let Source { name, text } = source;
        let named = Arc::new(NamedSource::new(&name, text));
        for problem in &mut problems {
            problem.attach(&name, &named);
        }
        if failed { Err(Invalid { kind: ErrorKind::Config, name, problems }) } else { Ok(problems) }
    }
}

impl Problem {
    fn attach(&mut self, name: &str, source: &Arc<NamedSource<String>>) {
        name.clone_into(&mut self.0.name);
        let text = source.inner().as_str();
        for (span, _) in &mut self.0.marks {
            *span = fit(text, span);
        }
        if let Some((span, _)) = self.0.marks.first() {
            let before = &text[..span.start];
            let line = before.matches('\n').count() + 1;
            let from = before.rfind('\n').map_or(0, |at| at + 1);
            self.0.place = Some((line, before[from..].chars().count() + 1));
        }
        self.0.source = Some(Arc::clone(source));
    }
}

/// Cuts a span to its first line and to the bounds of the text, so that a marker
/// never covers half a file.
fn fit(text: &str, span: &Span) -> Span {
    let floor = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end.max(start));
    let line = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line
}
