//! From words to a tree of what a format does.

use serde_json::Value;

use super::lex::{Placed, Token};
use super::{Wrong, functions};

/// A part of a format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A text as it is.
    Text(String),
    /// `{{pipeline}}`.
    Print(Pipeline),
    /// `{{if}}`, with each `{{else if}}`.
    If { arms: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    /// `{{with}}`.
    With { of: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    /// `{{range}}`.
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

/// Commands, each of which gets the result of the one before as its last word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Variables that get the result; a new one with `:=`.
    pub(super) sets: Vec<String>,
    pub(super) new: New,
    pub(super) commands: Vec<Command>,
}

/// Whether a variable is made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    Yes,
    No,
}

/// An operand, or a function and its operands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) words: Vec<Operand>,
}

/// One operand and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

/// What an operand is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `.`, or fields of it.
    Dot(Vec<String>),
    /// A variable, or fields of it.
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String),
    /// `(pipeline).A`.
    Group(Box<Pipeline>, Vec<String>),
}

/// Reads the words of a whole format, which ends at byte `end`.
pub(super) fn nodes(tokens: &[Placed], end: usize) -> Result<Vec<Node>, Wrong> {
    let mut parser = Parser { tokens, at: 0, end, variables: vec![String::new()] };
    let (nodes, stop) = parser.list()?;
    match stop {
        None => Ok(nodes),
        Some(stop) => Err(Wrong::at(stop.at, format!("there is nothing to `{}` here", stop.word))),
    }
}

/// `end` or `else`, which closes a list of nodes; the parser stands behind the word.
struct Stop {
    at: usize,
    word: String,
}

struct Parser<'a> {
    tokens: &'a [Placed],
    at: usize,
    end: usize,
    /// The variables that there are, the innermost last.
    variables: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    /// Where the next word begins.
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |placed| placed.start)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        self.at += usize::from(is);
        is
    }

    fn close(&mut self) -> Result<(), Wrong> {
        if self.takes(&Token::Close) {
            return Ok(());
        }
        Err(Wrong::at(self.place(), "`}}` is missing here"))
    }

    fn list(&mut self) -> Result<(Vec<Node>, Option<Stop>), Wrong> {
        let mut nodes = Vec::new();
        while let Some(token) = self.peek() {
            if let Token::Text(text) = token {
                nodes.push(Node::Text(text.clone()));
                self.at += 1;
                continue;
            }
            let open = self.place();
            self.at += 1;
            let at = self.place();
            let word = match self.peek() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match word.as_str() {
                "end" | "else" => {
                    self.at += 1;
                    return Ok((nodes, Some(Stop { at, word })));
                }
                "if" => {
                    self.at += 1;
                    nodes.push(self.conditional(open)?);
                }
                "with" | "range" => {
                    self.at += 1;
                    nodes.push(self.block(&word, open)?);
                }
                "define" | "template" | "block" | "break" | "continue" => {
                    let message = format!("`{word}` is more than a format can do here");
                    return Err(Wrong::at(at, message));
                }
                _ => {
                    let pipeline = self.pipeline(1)?;
                    self.close()?;
                    nodes.push(Node::Print(pipeline));
                }
            }
        }
        Ok((nodes, None))
    }

    /// The nodes up to `end` or `else`, whose variables end with them.
    fn body(&mut self, open: usize) -> Result<(Vec<Node>, Stop), Wrong> {
        let known = self.variables.len();
        let (nodes, stop) = self.list()?;
        self.variables.truncate(known);
        let unended = || Wrong::at(open, "this has no `{{end}}`");
        Ok((nodes, stop.ok_or_else(unended)?))
    }

    fn conditional(&mut self, open: usize) -> Result<Node, Wrong> {
        let known = self.variables.len();
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.pipeline(1)?;
            self.close()?;
            let (body, stop) = self.body(open)?;
            arms.push((condition, body));
            if stop.word == "end" {
                break;
            }
            if self.takes(&Token::Word("if".to_owned())) {
                continue;
            }
            otherwise = self.last(open)?;
            break;
        }
        self.variables.truncate(known);
        self.close()?;
        Ok(Node::If { arms, otherwise })
    }

    /// What stands between `{{else}}` and `end`.
    fn last(&mut self, open: usize) -> Result<Vec<Node>, Wrong> {
        self.close()?;
        let (body, stop) = self.body(open)?;
        if stop.word == "else" {
            return Err(Wrong::at(stop.at, "a second `else`"));
        }
        Ok(body)
    }

    fn block(&mut self, word: &str, open: usize) -> Result<Node, Wrong> {
        let known = self.variables.len();
        let of = self.pipeline(if word == "range" { 2 } else { 1 })?;
        self.close()?;
        let (body, stop) = self.body(open)?;
        let otherwise = if stop.word == "else" { self.last(open)? } else { Vec::new() };
        self.variables.truncate(known);
        self.close()?;
        Ok(match word {
            "range" => Node::Range { over: of, body, otherwise },
            _ => Node::With { of, body, otherwise },
        })
    }

    /// Reads a pipeline that may set as many variables as `most`.
    fn pipeline(&mut self, most: usize) -> Result<Pipeline, Wrong> {
        let at = self.place();
        let (sets, new) = self.sets(most)?;
        let mut commands = vec![self.command()?];
        while self.takes(&Token::Sign("|")) {
            let at = self.place();
            let command = self.command()?;
            if !matches!(command.words.first().map(|word| &word.kind), Some(Kind::Function(_))) {
                return Err(Wrong::at(at, "a function must stand behind `|`"));
            }
            commands.push(command);
        }
        if new == New::Yes {
            self.variables.extend(sets.iter().cloned());
        }
        Ok(Pipeline { at, sets, new, commands })
    }

    /// Reads `$a :=` or `$a, $b :=`, if that is how the pipeline begins.
    fn sets(&mut self, most: usize) -> Result<(Vec<String>, New), Wrong> {
        let from = self.at;
        let mut names = Vec::new();
        while let Some(Token::Variable(name, fields)) = self.peek() {
            if !fields.is_empty() {
                break;
            }
            names.push(name.clone());
            self.at += 1;
            if !self.takes(&Token::Sign(",")) {
                break;
            }
        }
        let new = if self.takes(&Token::Sign(":=")) {
            New::Yes
        } else if !names.is_empty() && self.takes(&Token::Sign("=")) {
            New::No
        } else {
            self.at = from;
            return Ok((Vec::new(), New::No));
        };
        let at = self.tokens[from].start;
        if names.is_empty() || names.len() > most || names.contains(&String::new()) {
            return Err(Wrong::at(at, "this cannot be set"));
        }
        if new == New::No {
            for name in &names {
                self.known(name, at)?;
            }
        }
        Ok((names, new))
    }

    fn known(&self, name: &str, at: usize) -> Result<(), Wrong> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Wrong::at(at, format!("there is no variable `${name}`")))
    }

    fn command(&mut self) -> Result<Command, Wrong> {
        let at = self.place();
        let mut words = Vec::new();
        while let Some(operand) = self.operand()? {
            words.push(operand);
        }
        match words.as_slice() {
            [] => Err(Wrong::at(at, "a value is missing here").hint("such as `{{.Name}}`")),
            [first, second, ..] if !matches!(first.kind, Kind::Function(_)) => {
                Err(Wrong::at(second.at, "only a function takes values behind it"))
            }
            _ => Ok(Command { words }),
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>, Wrong> {
        let at = self.place();
        let Some(token) = self.peek() else { return Ok(None) };
        let kind = match token {
            Token::Dot => Kind::Dot(Vec::new()),
            Token::Path(fields) => Kind::Dot(fields.clone()),
            Token::Literal(value) => Kind::Literal(value.clone()),
            Token::Variable(name, fields) => {
                self.known(name, at)?;
                Kind::Variable(name.clone(), fields.clone())
            }
            Token::Word(name) => {
                if !functions::NAMES.contains(&name.as_str()) {
                    let wrong = Wrong::at(at, format!("there is no function `{name}`"));
                    return Err(wrong.hint(format!("there are {}", functions::NAMES.join(", "))));
                }
                Kind::Function(name.clone())
            }
            Token::Sign("(") => {
                self.at += 1;
                let inside = self.pipeline(0)?;
                let end = self.tokens.get(self.at).map(|placed| placed.end);
                if !self.takes(&Token::Sign(")")) {
                    return Err(Wrong::at(at, "this `(` is never closed"));
                }
                let fields = match self.tokens.get(self.at) {
                    Some(Placed { token: Token::Path(fields), start, .. })
                        if Some(*start) == end =>
                    {
                        self.at += 1;
                        fields.clone()
                    }
                    _ => Vec::new(),
                };
                return Ok(Some(Operand { at, kind: Kind::Group(Box::new(inside), fields) }));
            }
            Token::Text(_) | Token::Open | Token::Close | Token::Sign(_) => return Ok(None),
        };
        self.at += 1;
        Ok(Some(Operand { at, kind }))
    }
}
