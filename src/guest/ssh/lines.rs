//! A stream of bytes as clean lines, reported while they come.

use fleet_driver::Cx;
use fleet_driver::event::{EventKind, Stream};

use crate::guest::terminal::Cleaner;

/// A line longer than this is reported in parts.
const LONGEST: usize = 4096;

/// Collects one stream and reports its lines.
pub(super) struct Lines<'a> {
    cx: &'a Cx,
    stream: Stream,
    cleaner: Cleaner,
    begun: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(cx: &'a Cx, stream: Stream) -> Self {
        Self { cx, stream, cleaner: Cleaner::plain(), begun: Vec::new() }
    }

    /// Takes what was printed and reports the lines that are complete.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.begun.extend(self.cleaner.clean(bytes));
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.report(&line[..end]);
        }
        while self.begun.len() > LONGEST {
            let part: Vec<u8> = self.begun.drain(..LONGEST).collect();
            self.report(&part);
        }
    }

    /// Reports a last line that has no end.
    pub(super) fn finish(mut self) {
        let rest = std::mem::take(&mut self.begun);
        if !rest.is_empty() {
            self.report(&rest);
        }
    }

    fn report(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        self.cx.report(EventKind::Line { stream: self.stream, text });
    }
}

#[cfg(test)]
mod tests {
    use fleet_driver::event::Reporter;

    use super::*;

    fn lines(chunks: &[&str]) -> Vec<String> {
        let (reporter, mut events) = Reporter::channel();
        let cx = Cx::new("/nowhere", reporter, tokio_util::sync::CancellationToken::new());
        let mut lines = Lines::new(&cx, Stream::Stdout);
        for chunk in chunks {
            lines.take(chunk.as_bytes());
        }
        lines.finish();
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            match event.kind {
                EventKind::Line { text, .. } => seen.push(text),
                other => panic!("{other:?}"),
            }
        }
        seen
    }

    #[test]
    fn lines_are_whole_and_clean() {
        assert_eq!(lines(&["on", "e\r\ntw", "o\n", "thr\u{1b}[31mee"]), ["one", "two", "three"]);
        assert_eq!(lines(&["10%\r20%\r\n"]), ["10%", "20%"]);
        assert_eq!(lines(&["\n\n"]), ["", ""]);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_end_is_reported_in_parts() {
        let seen = lines(&[&"x".repeat(LONGEST * 2), "y"]);
        assert_eq!(seen.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 1]);
    }
}
