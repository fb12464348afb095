//! `~.` and its like: what a user can say to fleet itself in a raw terminal, as in
//! OpenSSH (ssh(1), "ESCAPE CHARACTERS").

use tokio_util::bytes::Bytes;

/// What `~?` prints, for a raw terminal.
pub(super) const HELP: &[u8] = b"~?\r\n\
Supported escape sequences:\r\n\
 ~.   - end the session\r\n\
 ~?   - this message\r\n\
 ~~   - send the escape character by typing it twice\r\n\
(Note that escapes are only recognized immediately after newline.)\r\n";

/// Something that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Bytes for the far end.
    Send(Bytes),
    /// End the session.
    Leave,
    /// Print [`HELP`].
    Help,
}

/// Finds escapes in what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escapes(At);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Tilde,
    Elsewhere,
}

impl Default for Escapes {
    fn default() -> Self {
        Self(At::LineStart)
    }
}

impl Escapes {
    /// Reads some more; nothing follows a [`Key::Leave`].
    pub fn read(&mut self, typed: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut plain = Vec::new();
        for &byte in typed {
            let was = self.0;
            self.0 = if byte == b'\r' || byte == b'\n' { At::LineStart } else { At::Elsewhere };
            match (was, byte) {
                (At::LineStart, b'~') => self.0 = At::Tilde,
                (At::Tilde, b'.') => {
                    flush(&mut plain, &mut keys);
                    keys.push(Key::Leave);
                    return keys;
                }
                (At::Tilde, b'?') => {
                    flush(&mut plain, &mut keys);
                    keys.push(Key::Help);
                    self.0 = At::LineStart;
                }
                (At::Tilde, b'~') => plain.push(b'~'),
                (At::Tilde, other) => plain.extend([b'~', other]),
                (_, other) => plain.push(other),
            }
        }
        flush(&mut plain, &mut keys);
        keys
    }
}

fn flush(plain: &mut Vec<u8>, keys: &mut Vec<Key>) {
    if !plain.is_empty() {
        keys.push(Key::Send(std::mem::take(plain).into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(text: &'static str) -> Key {
        Key::Send(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_tilde_counts_at_the_start_of_a_line_only() {
        let read = |text: &str| Escapes::default().read(text.as_bytes());
        assert_eq!(read("~."), [Key::Leave]);
        assert_eq!(read("ls\r~.rest"), [send("ls\r"), Key::Leave]);
        assert_eq!(read("cd ~.\r"), [send("cd ~.\r")]);
        assert_eq!(read("~~x"), [send("~x")]);
        assert_eq!(read("~x~."), [send("~x~.")]);
        assert_eq!(read("~?~."), [Key::Help, Key::Leave]);
        assert_eq!(read("~\r~."), [send("~\r"), Key::Leave]);
    }

    #[test]
    fn an_escape_may_come_in_parts() {
        let mut escapes = Escapes::default();
        assert_eq!(escapes.read(b"x\r"), [send("x\r")]);
        assert_eq!(escapes.read(b"~"), []);
        assert_eq!(escapes.read(b"."), [Key::Leave]);
    }
}
