//! Mistakes of notation: what the TOML parser says, with a way out.
//!
//! The parser's errors have a place and a text but no kind, so this is the one file
//! that looks at the text.

use toml::de::Error;

use super::diagnose::{Problem, Span};

/// Whether the rest of the file was read as it was meant.
pub(crate) fn leaves_the_rest(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// How many mistakes of notation are shown; what follows them is often their fault.
const SHOWN: usize = 3;

/// The parser's errors as problems.
pub(crate) fn problems(text: &str, errors: &[Error]) -> Vec<Problem> {
    let (doubled, broken): (Vec<_>, Vec<_>) = errors.iter().partition(|e| leaves_the_rest(e));
    let header = |error: &&Error| {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        text.get(line).is_some_and(|line| line.trim_start().starts_with('['))
    };
    // The keys of a doubled table are doubled too; once is enough.
    let tables = doubled.iter().any(header);
    let own = |error: &&&Error| {
        let span = error.span().unwrap_or_default();
        let key = text.get(span.clone()).unwrap_or_default().trim();
        !tables || header(error) || first(text, &line_at(text, span.start), key, false).is_some()
    };
    let doubled = doubled.iter().filter(own).copied();
    doubled.chain(broken.into_iter().take(SHOWN)).map(|error| problem(text, error)).collect()
}

fn problem(text: &str, error: &Error) -> Problem {
    let end = text.trim_end().len();
    let span = error.span().unwrap_or(end..end);
    if leaves_the_rest(error) {
        return twice(text, span);
    }
    if let Some(problem) = value(text, &span) {
        return problem;
    }
    let help = if error.message().contains("basic string") {
        "a text ends on its line, with the quote that it began with"
    } else if error.message().ends_with("expected `]`") {
        "close it with `]`"
    } else {
        "a line is `[table]` or `key = value`, and texts stand in quotes"
    };
    Problem::error(format!("not TOML: {}", error.message())).at(span, "here").help(help)
}

/// A key or table that is there twice.
fn twice(text: &str, span: Span) -> Problem {
    let key = text.get(span.clone()).unwrap_or_default().trim();
    let line = line_at(text, span.start);
    let table = text.get(line.clone()).is_some_and(|line| line.trim_start().starts_with('['));
    let (what, help) = if table {
        ("table", "give one of them another name; for machines that are alike write `count = 2`")
    } else {
        ("key", "remove one of them")
    };
    let problem = Problem::error(format!("the {what} `{key}` is there twice"))
        .at(span.clone(), "the second time");
    let problem = match first(text, &line, key, table) {
        Some(first) => problem.at(first, "the first time"),
        None => problem,
    };
    problem.help(help)
}

/// The bytes of the line around a place.
fn line_at(text: &str, at: usize) -> Span {
    let at = at.min(text.len());
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |n| at + n);
    start..end
}

/// Where a doubled key or table stands for the first time, in the lines above.
fn first(text: &str, line: &Span, key: &str, table: bool) -> Option<Span> {
    let header = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let doubled = header(text.get(line.clone())?);
    let mut at = line.start;
    while at > 0 {
        let above = line_at(text, at - 1);
        let (start, content) = (above.start, text.get(above.clone())?);
        if table && header(content) == doubled {
            let from = start + content.find(key)?;
            return Some(from..from + key.len());
        }
        if !table {
            let trimmed = content.trim_start();
            if trimmed.starts_with('[') {
                return None;
            }
            let rest = trimmed.strip_prefix(key).map(str::trim_start);
            if rest.is_some_and(|rest| rest.starts_with(['=', '.'])) {
                let from = start + content.len() - trimmed.len();
                return Some(from..from + key.len());
            }
        }
        at = start;
    }
    None
}

/// A key without a value, or a text without quotes.
fn value(text: &str, span: &Span) -> Option<Problem> {
    let line = line_at(text, span.start);
    let content = text.get(line.clone())?;
    let (key, value) = content.split_once('=')?;
    let from = line.start + key.len() + 1;
    let (key, value) = (key.trim(), value.split('#').next()?);
    if key.contains(['"', '\'', '[', '{']) || span.start < from {
        return None;
    }
    let from = from + value.len() - value.trim_start().len();
    let value = value.trim();
    if value.is_empty() {
        let problem = Problem::error(format!("`{key}` has no value")).at(span.clone(), "here");
        return Some(problem.help(format!("write it behind `{key} =`, or remove the line")));
    }
    let bare = |c: char| c.is_ascii_alphanumeric() || " .-_/:".contains(c);
    let word = value.chars().all(bare) && value.starts_with(|c: char| c.is_ascii_alphanumeric());
    (word || value.starts_with(['.', '/'])).then(|| {
        Problem::error(format!("the text of `{key}` is not in quotes"))
            .at(from..from + value.len(), "this is a text")
            .help(format!("write `{key} = \"{value}\"`"))
    })
}
