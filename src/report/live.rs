//! What one machine is doing right now, and how that fits on one line.

use std::time::{Duration, SystemTime};

use fleet_driver::event::{EventKind, Outcome, StepId, Unit};

use super::words;

/// The characters that a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glyphs {
    Unicode,
    Ascii,
}

impl Glyphs {
    pub(super) fn good(self) -> &'static str {
        match self {
            Self::Unicode => "✓",
            Self::Ascii => "+",
        }
    }

    pub(super) fn bad(self) -> &'static str {
        match self {
            Self::Unicode => "✗",
            Self::Ascii => "x",
        }
    }

    /// The frames of the spinner; the last one is that of the end.
    pub(super) fn spinner(self) -> &'static [&'static str] {
        match self {
            Self::Unicode => &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "],
            Self::Ascii => &["|", "/", "-", "\\", " "],
        }
    }

    fn bar(self) -> (char, char) {
        match self {
            Self::Unicode => ('━', '─'),
            Self::Ascii => ('#', '-'),
        }
    }

    fn cut(self) -> &'static str {
        match self {
            Self::Unicode => "…",
            Self::Ascii => "...",
        }
    }
}

/// How wide the bar of a download is.
const BAR: usize = 20;

/// The lane of one machine as the display knows it.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Steps that are to come; unknown where no plan told.
    left: Option<usize>,
    began: Option<SystemTime>,
    step: Option<(StepId, SystemTime)>,
    last: Option<StepId>,
    detail: Detail,
}

/// What is known of the current step beyond its name.
#[derive(Debug, Clone)]
enum Detail {
    Nothing,
    Waiting(String),
    Line(String),
    Amount { done: u64, total: Option<u64>, unit: Unit },
}

/// How a lane ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Good(String),
    Bad(String),
    Skipped(String),
}

impl Lane {
    pub(super) fn new(steps: Option<usize>) -> Self {
        Self { left: steps, began: None, step: None, last: None, detail: Detail::Nothing }
    }

    /// Takes an event; says so when it was the last one.
    pub(super) fn event(&mut self, kind: &EventKind, at: SystemTime) -> Option<End> {
        match kind {
            EventKind::StepStarted { step } => {
                self.began.get_or_insert(at);
                self.step = Some((*step, at));
                self.detail = Detail::Nothing;
            }
            EventKind::StepAdvanced { done, total, unit, step: _ } => {
                self.detail = Detail::Amount { done: *done, total: *total, unit: *unit };
            }
            EventKind::Line { text, stream: _ } => self.detail = Detail::Line(text.clone()),
            EventKind::Waiting { reason, elapsed: _ } => {
                self.detail = Detail::Waiting(reason.clone());
            }
            EventKind::StepFinished { step, outcome, elapsed } => {
                return self.finished(*step, outcome, *elapsed, at);
            }
            EventKind::PlanReady { lanes: _ }
            | EventKind::Note { level: _, text: _ }
            | EventKind::RunFinished { done: _, failed: _, skipped: _, elapsed: _ } => {}
        }
        None
    }

    fn finished(
        &mut self,
        step: StepId,
        outcome: &Outcome,
        elapsed: Duration,
        at: SystemTime,
    ) -> Option<End> {
        self.step = None;
        self.detail = Detail::Nothing;
        match outcome {
            Outcome::Done | Outcome::Unchanged => {
                self.last = Some(step);
                let Some(left) = &mut self.left else {
                    return Some(End::Good(words::finished(step, outcome, elapsed)));
                };
                *left = left.saturating_sub(1);
                let whole = self.began.and_then(|began| at.duration_since(began).ok());
                let time = words::time(whole.unwrap_or(elapsed));
                (*left == 0).then(|| End::Good(format!("{} ({time})", words::end(self.last))))
            }
            Outcome::Failed { .. } => Some(End::Bad(words::finished(step, outcome, elapsed))),
            Outcome::Skipped { .. } => Some(End::Skipped(words::finished(step, outcome, elapsed))),
        }
    }

    /// How a lane ended of which nothing more will be heard.
    pub(super) fn lost(&self) -> End {
        End::Skipped(words::left_off(self.step.map(|(step, _)| step)))
    }

    /// The line: what goes on, and for how long; at most `room` columns.
    pub(super) fn line(&self, now: SystemTime, room: usize, glyphs: Glyphs) -> (String, String) {
        let Some((step, since)) = self.step else {
            let text = if self.began.is_some() { "" } else { words::NOT_YET };
            return (fit(text, room, glyphs), String::new());
        };
        let time = format!(" ({})", words::ticking(now.duration_since(since).unwrap_or_default()));
        let room = room.saturating_sub(columns(&time));
        let doing = words::doing(step);
        let text = match &self.detail {
            Detail::Nothing => doing.to_owned(),
            Detail::Waiting(reason) => words::waiting(reason),
            Detail::Line(text) => format!("{doing}: {text}"),
            Detail::Amount { done, total, unit } => {
                let amount = words::amount(*done, *total, *unit);
                let bare = format!("{doing}: {amount}");
                match total {
                    Some(total) if columns(&bare) + BAR + 2 <= room => {
                        format!("{doing}  {}  {amount}", bar(*done, *total, glyphs))
                    }
                    Some(_) | None => bare,
                }
            }
        };
        (fit(&text, room, glyphs), time)
    }
}

fn bar(done: u64, total: u64, glyphs: Glyphs) -> String {
    let (full, empty) = glyphs.bar();
    let part = u128::from(done.min(total)) * BAR as u128 / u128::from(total.max(1));
    let part = part as usize;
    (0..BAR).map(|column| if column < part { full } else { empty }).collect()
}

/// How many columns a text takes: East Asian wide characters and emoji take two
/// (Unicode Standard Annex 11, roughly).
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

fn wide(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Cuts a text to so many columns and shows that it was cut.
pub(super) fn fit(text: &str, room: usize, glyphs: Glyphs) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let cut = glyphs.cut();
    let room = room.saturating_sub(columns(cut));
    let mut taken = 0;
    let mut short: String = text
        .chars()
        .take_while(|c| {
            taken += wide(*c);
            taken <= room
        })
        .collect();
    short.push_str(cut);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(fit("installing", 10, Glyphs::Unicode), "installing");
        assert_eq!(fit("installing", 6, Glyphs::Unicode), "insta…");
        assert_eq!(fit("installing", 6, Glyphs::Ascii), "ins...");
        assert_eq!(columns(&fit("日本語日本語", 6, Glyphs::Unicode)), 5);
    }

    #[test]
    fn bars_never_overflow() {
        assert_eq!(bar(1, 2, Glyphs::Ascii), "##########----------");
        assert_eq!(bar(9, 2, Glyphs::Ascii), "#".repeat(BAR));
        assert_eq!(bar(u64::MAX, u64::MAX, Glyphs::Ascii), "#".repeat(BAR));
        assert_eq!(bar(0, 0, Glyphs::Ascii), "-".repeat(BAR));
    }
}
