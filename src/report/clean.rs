//! Makes texts fit to be shown: guests and programs print what they like, and none of
//! it may steer the terminal.

use fleet_driver::event::{Event, EventKind, Outcome};

/// Removes escape sequences and control characters, except the ends of lines.
///
/// Characters that reorder text (Unicode Standard Annex 9, section 2) go too, and of a
/// line that was rewritten with carriage returns the last state stays.
pub(crate) fn text(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    let mut clean = String::with_capacity(plain.len());
    for (number, line) in plain.split('\n').enumerate() {
        if number > 0 {
            clean.push('\n');
        }
        let line = line.trim_end_matches('\r');
        let last = line.rsplit('\r').next().unwrap_or(line);
        clean.extend(last.chars().filter_map(shown));
    }
    clean
}

fn shown(c: char) -> Option<char> {
    match c {
        '\t' => Some(' '),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// The same on one line.
pub(super) fn line(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !joined.is_empty() {
            joined += if joined.ends_with([':', ';', ',', '.']) { " " } else { "; " };
        }
        joined += part;
    }
    joined
}

/// Cleans all texts of an event.
pub(super) fn event(event: &mut Event) {
    let clean = |value: &mut String| *value = text(value);
    if let Some(machine) = &mut event.machine {
        clean(machine);
    }
    match &mut event.kind {
        EventKind::PlanReady { lanes } => lanes.iter_mut().for_each(|(name, _)| clean(name)),
        EventKind::Line { text: value, stream: _ } => {
            text(value).replace('\n', " ").trim_end().clone_into(value);
        }
        EventKind::Waiting { reason, elapsed: _ } => clean(reason),
        EventKind::Note { text, level: _ } => clean(text),
        EventKind::StepFinished { outcome, step: _, elapsed: _ } => match outcome {
            Outcome::Failed { error, context, hint } => {
                clean(error);
                for (_, value) in context {
                    clean(value);
                }
                hint.iter_mut().for_each(clean);
            }
            Outcome::Skipped { because } => clean(because),
            Outcome::Done | Outcome::Unchanged => {}
        },
        EventKind::StepStarted { step: _ }
        | EventKind::StepAdvanced { step: _, done: _, total: _, unit: _ }
        | EventKind::RunFinished { done: _, failed: _, skipped: _, elapsed: _ } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(text("\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07"), "red bell");
        assert_eq!(text("10%\r50%\r100%\r\nnext\tcell"), "100%\nnext cell");
        assert_eq!(text("a\u{202e}b\u{9b}31mc\u{0}"), "ab31mc");
        assert_eq!(text("grün ✓"), "grün ✓");
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(line("no space\n\n  on /dev/vda:\n1 B\n"), "no space; on /dev/vda: 1 B");
    }
}
