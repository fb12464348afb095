//! The formats that users of docker know: a small part of Go's `text/template`.
//!
//! There are fields (`.A.B`), variables, pipelines, parentheses, literals, comments,
//! `{{-` and `-}}`, `if`, `else`, `range`, `with`, and the functions in `functions.rs`.
//! There is no `define`, `template`, `block`, `break` or `continue`: a format is a line.
//!
//! # Why
//! The package for it on the registry has had no release for years, knows no place of a
//! mistake, and brings its own values beside those of JSON.

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;
#[cfg(test)]
mod tests;

use fleet_driver::{Error, Result};
use serde_json::Value;

use self::parse::Node;

/// A format that was read, to be filled with data as often as needed.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

/// What is wrong, and at which byte of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    at: usize,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    fn at(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Template {
    /// Reads a format.
    ///
    /// # Errors
    /// `Usage`, with the place of the mistake.
    pub fn parse(text: &str) -> Result<Self> {
        let nodes = lex::tokens(text)
            .and_then(|tokens| parse::nodes(&tokens, text.len()))
            .map_err(|wrong| shown(text, wrong))?;
        Ok(Self { text: text.to_owned(), nodes })
    }

    /// Fills the format with data.
    ///
    /// # Errors
    /// `Usage`, with the place: a field that the data does not have, or a function that
    /// cannot work on what it is given.
    pub fn render(&self, data: &Value) -> Result<String> {
        eval::render(&self.nodes, data).map_err(|wrong| shown(&self.text, wrong))
    }
}

/// The error with the line of the format, and a mark below the place.
fn shown(text: &str, wrong: Wrong) -> Error {
    /// What stands before the text where the error is shown, less its indentation.
    const BEFORE: usize = "format: ".len() - 2;
    let at = wrong.at.min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    // Anything but letters would be shown in another width than it is counted in.
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = text[start..at].chars().count();
    let mark = format!("{line}\n{}^", " ".repeat(BEFORE + column));
    let error = Error::usage(wrong.message).with("format", mark);
    match wrong.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Turns `\t`, `\n`, `\\` and `\"` into what they stand for: on a command line, a format
/// has them as they are typed.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let next = letters.peek().copied();
        match (c, next) {
            ('{', Some('{')) => inside = true,
            ('}', Some('}')) => inside = false,
            _ => {}
        }
        // A literal of the language has escapes of its own.
        let meant = match next {
            _ if c != '\\' || inside => None,
            Some('t') => Some('\t'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('\\') => Some('\\'),
            Some('"') => Some('"'),
            _ => None,
        };
        match meant {
            Some(meant) => {
                letters.next();
                out.push(meant);
            }
            None => out.push(c),
        }
    }
    out
}
