//! From the text of a format to its words, each with its place.

use serde_json::{Number, Value};

use super::Wrong;

/// A word of a format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// What stands outside of actions.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.` alone.
    Dot,
    /// `.A.B`.
    Path(Vec<String>),
    /// `$`, `$a` or `$a.B`: the name without `$`, and the fields.
    Variable(String, Vec<String>),
    /// A word without a quote: a function or a keyword.
    Word(String),
    /// A text, a number, `true`, `false` or `nil`.
    Literal(Value),
    /// `|`, `(`, `)`, `,`, `:=` or `=`.
    Sign(&'static str),
}

/// A word and the bytes that it takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Splits a format into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Wrong> {
    let mut lexer = Lexer { text, at: 0, out: Vec::new() };
    let mut trim = false;
    while lexer.at < text.len() {
        let start = lexer.at;
        let open = lexer.rest().find("{{").map(|n| start + n);
        let mut plain = &text[start..open.unwrap_or(text.len())];
        if trim {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            lexer.push_text(plain, start);
            break;
        };
        lexer.at = open + 2;
        let trims = lexer.rest().strip_prefix('-').is_some_and(|r| r.starts_with(BLANK));
        if trims {
            plain = plain.trim_end();
            lexer.at += 1;
        }
        lexer.push_text(plain, start);
        trim = lexer.action(open)?;
    }
    Ok(lexer.out)
}

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];
const SIGNS: [&str; 6] = [":=", "|", "(", ")", ",", "="];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Placed>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push_text(&mut self, text: &str, start: usize) {
        if !text.is_empty() {
            let token = Token::Text(text.to_owned());
            self.out.push(Placed { token, start, end: self.at });
        }
    }

    fn push(&mut self, token: Token, start: usize) {
        self.out.push(Placed { token, start, end: self.at });
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(BLANK).len();
    }

    /// Reads from behind `{{` to behind `}}`; tells whether `-}}` trims what follows.
    fn action(&mut self, open: usize) -> Result<bool, Wrong> {
        let unclosed = || Wrong::at(open, "this `{{` is never closed").hint("close it with `}}`");
        self.skip_blanks();
        if self.rest().starts_with("/*") {
            let end = self.rest().find("*/").ok_or_else(unclosed)?;
            self.at += end + 2;
            return self.close().ok_or_else(|| {
                Wrong::at(self.at, "a comment is alone in its braces: `{{/* like this */}}`")
            });
        }
        self.push(Token::Open, open);
        loop {
            let start = self.at;
            self.skip_blanks();
            let closing = self.at;
            if let Some(trims) = self.close() {
                self.push(Token::Close, closing);
                return Ok(trims);
            }
            if self.rest().is_empty() {
                return Err(unclosed());
            }
            let glued = start == self.at;
            let begins = self.at;
            let token = self.word()?;
            let last = self.out.last().map(|placed| &placed.token);
            let separate =
                |token: Option<&Token>| matches!(token, None | Some(Token::Open | Token::Sign(_)));
            if glued
                && !separate(last)
                && !separate(Some(&token))
                && !matches!(token, Token::Path(_))
            {
                return Err(Wrong::at(begins, "a blank is missing here"));
            }
            self.push(token, begins);
        }
    }

    /// Takes `}}` or `-}}`, which trims.
    fn close(&mut self) -> Option<bool> {
        self.skip_blanks();
        for (end, trims) in [("}}", false), ("-}}", true)] {
            if self.rest().starts_with(end) {
                self.at += end.len();
                return Some(trims);
            }
        }
        None
    }

    fn word(&mut self) -> Result<Token, Wrong> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.at += sign.len();
            return Ok(Token::Sign(sign));
        }
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            '.' => {
                let fields = self.fields();
                if fields.is_empty() {
                    self.at += 1;
                    return Ok(Token::Dot);
                }
                Ok(Token::Path(fields))
            }
            '$' => {
                self.at += 1;
                let name = self.name();
                Ok(Token::Variable(name, self.fields()))
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => self.number(),
            c if c.is_alphabetic() || c == '_' => Ok(match self.name() {
                word if word == "true" => Token::Literal(Value::Bool(true)),
                word if word == "false" => Token::Literal(Value::Bool(false)),
                word if word == "nil" => Token::Literal(Value::Null),
                word => Token::Word(word),
            }),
            c => Err(Wrong::at(self.at, format!("`{c}` means nothing here"))),
        }
    }

    fn name(&mut self) -> String {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let rest = self.rest();
        let name = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        self.at += name.len();
        name.to_owned()
    }

    /// Takes `.A.B`, as far as names follow the dots.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        let begins = |c: char| c.is_alphabetic() || c == '_';
        while self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(begins)) {
            self.at += 1;
            fields.push(self.name());
        }
        fields
    }

    fn number(&mut self) -> Result<Token, Wrong> {
        let start = self.at;
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        let text = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        self.at += text.len();
        let plain = text.strip_prefix('+').unwrap_or(text).replace('_', "");
        let number = plain.parse::<i64>().map(Number::from).ok();
        let number = number.or_else(|| plain.parse().ok().and_then(Number::from_f64));
        let number = number.ok_or_else(|| Wrong::at(start, format!("`{text}` is not a number")))?;
        Ok(Token::Literal(Value::Number(number)))
    }

    fn raw(&mut self) -> Result<Token, Wrong> {
        let start = self.at;
        let inside = &self.rest()[1..];
        let end = inside.find('`').ok_or_else(|| Wrong::at(start, "this text has no end"))?;
        self.at += end + 2;
        Ok(Token::Literal(Value::String(inside[..end].to_owned())))
    }

    fn quoted(&mut self) -> Result<Token, Wrong> {
        let start = self.at;
        let mut text = String::new();
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((n, c)) = letters.next() {
            match c {
                '"' => {
                    self.at += n + 1;
                    return Ok(Token::Literal(Value::String(text)));
                }
                '\n' => break,
                '\\' => {
                    let escape = letters.next().map(|(_, c)| c);
                    let mut digits = |count: usize, base: u32| {
                        let digits: String =
                            letters.by_ref().take(count).map(|(_, digit)| digit).collect();
                        u32::from_str_radix(&digits, base).ok().and_then(char::from_u32)
                    };
                    let meant = match escape {
                        Some('n') => Some('\n'),
                        Some('t') => Some('\t'),
                        Some('r') => Some('\r'),
                        Some(c @ ('"' | '\\' | '\'')) => Some(c),
                        Some('x') => digits(2, 16),
                        Some('u') => digits(4, 16),
                        Some('U') => digits(8, 16),
                        _ => None,
                    };
                    let wrong = || Wrong::at(start + n, "there is no such escape in a text");
                    text.push(meant.ok_or_else(wrong)?);
                }
                c => text.push(c),
            }
        }
        Err(Wrong::at(start, "this text has no end").hint("end it with `\"`"))
    }
}
