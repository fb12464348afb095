//! Colour, for those who want it; it never carries meaning alone.

/// What a text is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// It worked.
    Good,
    /// It failed.
    Bad,
    /// It is odd.
    Odd,
    /// It matters.
    Strong,
    /// It matters little.
    Faint,
}

/// Whether the stream takes colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    On,
    Off,
}

impl Colour {
    pub(super) fn when(allowed: bool) -> Self {
        if allowed { Self::On } else { Self::Off }
    }

    /// Wraps a text in the sequences of ECMA-48, section 8.3.117 (SGR).
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        if self == Self::Off || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Odd => "33",
            Ink::Strong => "1",
            Ink::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
