//! One live line a machine on the terminal; a lane that has ended becomes one line
//! above them.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fleet_driver::Level;
use fleet_driver::event::{Event, EventKind};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::ink::{Colour, Ink};
use super::live::{End, Glyphs, Lane, columns};
use super::terminal::{Size, Terminal};
use super::{Sink, words};
use crate::host::Host;

/// So many lanes have a line from the beginning; more get theirs when they begin.
const SHOWN_EARLY: usize = 16;
/// How lines are called that belong to no machine.
const NO_MACHINE: &str = "fleet";
/// How often lines are drawn anew though nothing happens.
const FRAME: Duration = Duration::from_millis(100);
/// How often a second lines are drawn at most.
const RATE: u8 = 30;

/// What drawing depends on besides the lanes.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) colour: Colour,
    pub(super) glyphs: Glyphs,
    /// The terminal's size, asked for each frame: windows are resized.
    pub(super) size: Size,
    pub(super) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    pub(super) frames: Frames,
}

/// When lines are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// With each event, and some times a second.
    Always,
    /// With each event.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests"))]
    OnEvent,
}

/// The live sink.
pub(super) struct Human {
    screen: MultiProgress,
    look: Look,
    lanes: Vec<Live>,
    /// The width of the longest name.
    names: usize,
}

struct Live {
    name: String,
    lane: Arc<Mutex<Lane>>,
    /// None once the lane has ended.
    line: Option<ProgressBar>,
    ended: bool,
}

impl Human {
    /// The sink on the terminal at standard error.
    pub(super) fn on_terminal(host: &Host) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| host.var(name));
        let utf8 = |name: &str| name.to_ascii_lowercase().replace('-', "").contains("utf8");
        let look = Look {
            colour: Colour::when(host.stderr_has_colour()),
            glyphs: if locale.is_none_or(utf8) { Glyphs::Unicode } else { Glyphs::Ascii },
            size: Arc::new(|| crossterm::terminal::size().unwrap_or((80, 24))),
            clock: Arc::new(SystemTime::now),
            frames: Frames::Always,
        };
        let host = host.clone();
        Self::new(look, move |text| host.err(text))
    }

    /// The sink on a terminal that takes what is written to it; one that is gone is not
    /// missed.
    pub(super) fn new(look: Look, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let terminal = Box::new(Terminal::new(look.size.clone(), write));
        let target = match look.frames {
            Frames::Always => ProgressDrawTarget::term_like_with_hz(terminal, RATE),
            Frames::OnEvent => ProgressDrawTarget::term_like(terminal),
        };
        let screen = MultiProgress::with_draw_target(target);
        Self { screen, look, lanes: Vec::new(), names: 0 }
    }

    /// Finds the lane of a machine, or makes one.
    fn lane(&mut self, name: &str, steps: Option<usize>) -> usize {
        if let Some(index) = self.lanes.iter().position(|live| live.name == name) {
            return index;
        }
        self.names = self.names.max(columns(name));
        let lane = Arc::new(Mutex::new(Lane::new(steps)));
        self.lanes.push(Live { name: name.to_owned(), lane, line: None, ended: false });
        self.lanes.len() - 1
    }

    /// Gives a lane its line on the screen.
    fn show(&mut self, index: usize) {
        let live = &self.lanes[index];
        if live.line.is_some() {
            return;
        }
        let place = if live.name == NO_MACHINE { 0 } else { index };
        let bar = self.screen.insert(place, ProgressBar::new_spinner());
        bar.set_style(self.style(live));
        if self.look.frames == Frames::Always {
            bar.enable_steady_tick(FRAME);
        }
        bar.tick();
        self.lanes[index].line = Some(bar);
    }

    fn style(&self, live: &Live) -> ProgressStyle {
        let (look, lane, names) = (self.look.clone(), live.lane.clone(), self.names);
        let name = look.colour.paint(Ink::Strong, &format!("{:names$}", live.name));
        let draw = move |_: &ProgressState, out: &mut dyn Write| {
            // Spinner, blank, name, two blanks; and the last column stays free, since
            // terminals differ in what they do there.
            let room = usize::from((look.size)().0).saturating_sub(names + 5);
            let lane = lane.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (text, time) = lane.line((look.clock)(), room, look.glyphs);
            let time = look.colour.paint(Ink::Faint, &time);
            write!(out, "{name}  {text}{time}").expect("a string takes everything");
        };
        ProgressStyle::with_template("{spinner} {lane}")
            .expect("the template is right")
            .with_key("lane", draw)
            .tick_strings(self.look.glyphs.spinner())
    }

    /// Turns a lane's live line into one that stays.
    fn settle(&mut self, index: usize, end: End) {
        let live = &mut self.lanes[index];
        live.ended = true;
        if let Some(bar) = live.line.take() {
            bar.disable_steady_tick();
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        let (glyphs, names) = (self.look.glyphs, self.names);
        let (mark, ink, text) = match end {
            End::Good(text) => (glyphs.good(), Ink::Good, text),
            End::Bad(text) => (glyphs.bad(), Ink::Bad, text),
            End::Skipped(text) => ("-", Ink::Odd, text),
        };
        let paint = |text: &str| self.look.colour.paint(ink, text);
        let text = if ink == Ink::Bad { paint(&text) } else { text };
        let name = format!("{:names$}", live.name);
        self.print(&format!("{} {name}  {text}", paint(mark)));
    }

    /// Prints a line above the live ones.
    fn print(&self, line: &str) {
        drop(self.screen.println(line));
    }
}

impl Sink for Human {
    fn event(&mut self, event: &Event) {
        let name = event.machine.as_deref().unwrap_or(NO_MACHINE);
        match &event.kind {
            EventKind::PlanReady { lanes } => {
                self.names = lanes.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
                self.names = self.names.max(NO_MACHINE.len());
                for (name, steps) in lanes {
                    let index = self.lane(name, Some(*steps));
                    if lanes.len() <= SHOWN_EARLY {
                        self.show(index);
                    }
                }
            }
            EventKind::Note { level, text: _ } => {
                let about = event.machine.as_ref().map(|name| format!("{name}: "));
                let text = format!("{}{}", about.unwrap_or_default(), words::sentence(&event.kind));
                let ink = match level {
                    Level::Info => return self.print(&text),
                    Level::Warning => Ink::Odd,
                    Level::Error => Ink::Bad,
                };
                self.print(&self.look.colour.paint(ink, &text));
            }
            EventKind::RunFinished { .. } => self.end(),
            EventKind::StepStarted { .. }
            | EventKind::StepAdvanced { .. }
            | EventKind::Line { .. }
            | EventKind::Waiting { .. }
            | EventKind::StepFinished { .. } => {
                let index = self.lane(name, None);
                if matches!(event.kind, EventKind::StepStarted { .. }) {
                    self.lanes[index].ended = false;
                    self.show(index);
                }
                let live = &self.lanes[index];
                let end = live
                    .lane
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .event(&event.kind, event.at);
                if let Some(end) = end {
                    self.settle(index, end);
                } else if let Some(bar) = &self.lanes[index].line {
                    bar.tick();
                }
            }
        }
    }

    fn end(&mut self) {
        for index in 0..self.lanes.len() {
            if !self.lanes[index].ended {
                let lost =
                    self.lanes[index].lane.lock().unwrap_or_else(PoisonError::into_inner).lost();
                self.settle(index, lost);
            }
        }
        drop(self.screen.clear());
    }
}
