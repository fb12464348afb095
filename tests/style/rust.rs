//! Tells the code of a Rust file from its comments and strings, by a reader that knows
//! just enough of the language.

/// A Rust file in two texts of the same lines.
pub(crate) struct Rust {
    /// Without comments, and with all strings empty.
    pub(crate) code: String,
    /// The comments alone.
    pub(crate) comments: String,
}

#[derive(Clone, Copy)]
enum In {
    Code,
    Line,
    Block(usize),
    Text,
    /// Ends with a quote and that many `#`.
    Raw(usize),
}

impl Rust {
    pub(crate) fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut out = Self { code: String::new(), comments: String::new() };
        let mut state = In::Code;
        let mut at = 0;
        while at < chars.len() {
            let (next, taken) = out.step(state, &chars, at);
            if matches!(state, In::Code | In::Text | In::Raw(_)) {
                // Lines stay the same in both texts.
                let lines = chars[at..at + taken].iter().filter(|c| **c == '\n').count();
                out.comments.push_str(&"\n".repeat(lines));
            }
            state = next;
            at += taken;
        }
        out
    }

    /// Takes what begins at `at`: the state after it, and how many characters it has.
    fn step(&mut self, state: In, chars: &[char], at: usize) -> (In, usize) {
        let c = chars[at];
        let after = chars.get(at + 1).copied();
        if c == '\n' && !matches!(state, In::Code) {
            self.code.push('\n');
        }
        match state {
            In::Code => match (c, after) {
                ('/', Some('/')) => (In::Line, 2),
                ('/', Some('*')) => (In::Block(1), 2),
                ('"', _) => {
                    self.code.push('"');
                    (In::Text, 1)
                }
                ('r', Some('"' | '#')) => match raw_quote(&chars[at + 1..]) {
                    Some(hashes) => {
                        self.code.push('"');
                        (In::Raw(hashes), hashes + 2)
                    }
                    None => self.keep(c),
                },
                ('\'', Some('\\')) => {
                    let end = chars.iter().skip(at + 3).position(|c| *c == '\'');
                    (In::Code, end.map_or(1, |end| end + 4))
                }
                ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (In::Code, 3),
                _ => self.keep(c),
            },
            In::Line => {
                self.comments.push(c);
                (if c == '\n' { In::Code } else { In::Line }, 1)
            }
            In::Block(depth) => match (c, after) {
                ('*', Some('/')) if depth == 1 => (In::Code, 2),
                ('*', Some('/')) => (In::Block(depth - 1), 2),
                ('/', Some('*')) => (In::Block(depth + 1), 2),
                _ => {
                    self.comments.push(c);
                    (In::Block(depth), 1)
                }
            },
            In::Text => match c {
                '\\' if after == Some('\n') => {
                    self.code.push('\n');
                    (In::Text, 2)
                }
                '\\' => (In::Text, 2),
                '"' => {
                    self.code.push('"');
                    (In::Code, 1)
                }
                _ => (In::Text, 1),
            },
            In::Raw(hashes) => {
                let tail = &chars[at + 1..];
                if c == '"' && tail.len() >= hashes && tail[..hashes].iter().all(|c| *c == '#') {
                    self.code.push('"');
                    (In::Code, hashes + 1)
                } else {
                    (In::Raw(hashes), 1)
                }
            }
        }
    }

    fn keep(&mut self, c: char) -> (In, usize) {
        self.code.push(c);
        (In::Code, 1)
    }
}

/// How many `#` stand before the quote of a raw string; none if it is not one.
fn raw_quote(chars: &[char]) -> Option<usize> {
    let hashes = chars.iter().take_while(|c| **c == '#').count();
    (chars.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The lines (from 1) in which `word` stands by itself.
pub(crate) fn lines_with(text: &str, word: &str) -> Vec<usize> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| stands_in(line, word))
        .map(|(number, _)| number + 1)
        .collect()
}

/// Whether `word` stands in `text` and is not part of a longer name.
pub(crate) fn stands_in(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let open_end = word.ends_with(part) && text[at + word.len()..].starts_with(part);
        let open_start = word.starts_with(part) && text[..at].ends_with(part);
        !open_end && !open_start
    })
}
