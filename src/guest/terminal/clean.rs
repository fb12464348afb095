//! Text for a terminal without what would command the terminal.
//!
//! What a guest prints is not trusted: a boot loader clears the screen, and worse can
//! be sent. Sequences are those of ECMA-48, fifth edition.

/// A sequence longer than this is none.
const LONGEST: usize = 64;

/// Cleans a stream, in pieces of any size.
#[derive(Debug, Clone)]
pub struct Cleaner {
    colours: Colours,
    state: State,
    /// Whether the current line has shown anything, so that a carriage return ends it.
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Kept,
    Dropped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Text,
    /// After a carriage return, which may belong to the end of a line.
    Return,
    /// After 0xC2, which begins the control characters beyond ASCII in UTF-8.
    Latin,
    Escape,
    /// After an intermediate byte of an escape sequence.
    Intermediate,
    /// In a control sequence, with what came of it.
    Control(Vec<u8>),
    /// In a string for the terminal, until its terminator.
    Message,
    /// In such a string, after an escape that may begin the terminator.
    MaybeTerminator,
}

impl Cleaner {
    /// Keeps text, tabs and line ends only.
    pub fn plain() -> Self {
        Self { colours: Colours::Dropped, state: State::Text, begun: false }
    }

    /// Keeps colours too.
    pub fn coloured() -> Self {
        Self { colours: Colours::Kept, ..Self::plain() }
    }

    /// Cleans the next piece; every kind of line end becomes a line feed.
    pub fn clean(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, &mut out);
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => self.text(byte, out),
            State::Return => {
                if byte == b'\r' {
                    self.state = State::Return;
                    return;
                }
                if byte != b'\n' && self.begun {
                    out.push(b'\n');
                    self.begun = false;
                }
                self.text(byte, out);
            }
            State::Latin => {
                // 0x80 to 0x9F after it are control characters, the rest are letters.
                if byte >= 0xa0 {
                    out.extend([0xc2, byte]);
                    self.begun = true;
                } else if byte < 0x80 {
                    self.text(byte, out);
                }
            }
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Control(Vec::new()),
                    // String openers: DCS, SOS, OSC, PM and APC (section 5.6).
                    b'P' | b'X' | b']' | b'^' | b'_' => State::Message,
                    0x20..=0x2f => State::Intermediate,
                    0x1b => State::Escape,
                    _ => State::Text,
                };
            }
            State::Intermediate => {
                if (0x20..=0x2f).contains(&byte) {
                    self.state = State::Intermediate;
                }
            }
            State::Control(mut seen) => match byte {
                0x20..=0x3f if seen.len() < LONGEST => {
                    seen.push(byte);
                    self.state = State::Control(seen);
                }
                b'm' if self.colours == Colours::Kept && is_colour(&seen) => {
                    out.extend(b"\x1b[");
                    out.extend(seen);
                    out.push(b'm');
                }
                0x1b => self.state = State::Escape,
                // A broken sequence must not swallow the end of a line.
                b'\r' | b'\n' => self.text(byte, out),
                _ => {}
            },
            State::Message => {
                self.state = match byte {
                    0x1b => State::MaybeTerminator,
                    // BEL ends it in xterm; a line's end ends what was no string.
                    0x07 => State::Text,
                    b'\n' => {
                        self.text(byte, out);
                        State::Text
                    }
                    _ => State::Message,
                };
            }
            State::MaybeTerminator => {
                if byte != b'\\' {
                    self.state = State::Escape;
                    self.take(byte, out);
                }
            }
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x1b => self.state = State::Escape,
            b'\r' => self.state = State::Return,
            0xc2 => self.state = State::Latin,
            b'\n' => {
                out.push(byte);
                self.begun = false;
            }
            b'\t' => out.push(byte),
            0x00..=0x1f | 0x7f => {}
            _ => {
                out.push(byte);
                self.begun = true;
            }
        }
    }
}

/// Whether the parameters of a sequence are those of a colour.
fn is_colour(parameters: &[u8]) -> bool {
    parameters.iter().all(|byte| byte.is_ascii_digit() || b";:".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        String::from_utf8(Cleaner::plain().clean(text.as_bytes())).unwrap()
    }

    #[test]
    fn commands_to_the_terminal_are_dropped() {
        assert_eq!(plain("\u{1b}c\u{1b}[2J\u{1b}[01;01HSeaBIOS\u{7}"), "SeaBIOS");
        assert_eq!(plain("\u{1b}]0;title\u{7}a\u{1b}]8;;x\u{1b}\\b"), "ab");
        assert_eq!(plain("\u{1b}(B[\u{1b}[32m  OK  \u{1b}[0m]"), "[  OK  ]");
        assert_eq!(plain("a\u{9b}31mb\u{0}"), "a31mb");
        assert_eq!(plain("naïve ü\u{a0}x"), "naïve ü\u{a0}x");
    }

    #[test]
    fn line_ends_become_line_feeds() {
        assert_eq!(plain("a\r\nb\r\r\nc\n"), "a\nb\nc\n");
        assert_eq!(plain("10%\r20%\r\n"), "10%\n20%\n");
        assert_eq!(plain("\rlogin: "), "login: ");
    }

    #[test]
    fn a_broken_sequence_does_not_swallow_the_log() {
        assert_eq!(plain("\u{1b}[12\nnext"), "\nnext");
        assert_eq!(plain("\u{1b}]never ended\nnext"), "\nnext");
    }

    #[test]
    fn colours_may_stay_and_pieces_may_be_any() {
        let text = "\u{1b}[1;32mOK\u{1b}[0m\u{1b}[2J é\r\n";
        let mut whole = Cleaner::coloured();
        let expected = "\u{1b}[1;32mOK\u{1b}[0m é\n";
        assert_eq!(whole.clean(text.as_bytes()), expected.as_bytes());
        let mut cleaner = Cleaner::coloured();
        let parts: Vec<u8> = text.bytes().flat_map(|byte| cleaner.clean(&[byte])).collect();
        assert_eq!(parts, expected.as_bytes());
    }
}
