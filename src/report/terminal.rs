//! How frames reach the terminal: each in one write, without padding, and right even
//! where the window was made narrower since the last one.
//!
//! `indicatif` fills each line up to the terminal's width; once a window gets narrower
//! such lines wrap and frames are left behind. So its drawing is taken apart here: what
//! it clears is counted, what it writes is kept, and the fill is thrown away.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::live::columns;

/// Gives the terminal's columns and rows.
pub(super) type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

/// A terminal that understands two sequences of ECMA-48: cursor up (CUU) and erase to
/// the end of the row (EL).
pub(super) struct Terminal {
    size: Size,
    write: Box<dyn Fn(&str) + Send + Sync>,
    frame: Mutex<Frame>,
}

/// The frame that is being drawn, and what it takes to replace the last one.
#[derive(Debug, Default)]
struct Frame {
    /// How many rows of the last frame are to be replaced.
    cleared: usize,
    /// The lines of this frame, each followed by a fill.
    lines: Vec<String>,
    next: Next,
    /// Of the last frame: the columns of each line, and the terminal's at that time.
    last: Vec<usize>,
    last_width: usize,
    /// Whether the cursor is behind a line that stays.
    behind: Behind,
}

/// What is written next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    #[default]
    Line,
    Fill,
}

/// Where the cursor is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Behind {
    #[default]
    Nothing,
    Line,
}

impl Terminal {
    pub(super) fn new(size: Size, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { size, write: Box::new(write), frame: Mutex::default() }
    }

    fn frame(&self) -> MutexGuard<'_, Frame> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many rows a line takes.
fn rows(columns: usize, width: usize) -> usize {
    columns.div_ceil(width.max(1)).max(1)
}

impl Frame {
    /// How many rows the lines to be replaced take by now: terminals wrap anew what
    /// became too long.
    fn rows_now(&self, width: usize) -> usize {
        let mut then = 0;
        let mut now = 0;
        for line in self.last.iter().rev() {
            if then >= self.cleared {
                break;
            }
            then += rows(*line, self.last_width);
            now += rows(*line, width);
        }
        now
    }

    /// The bytes of the frame.
    ///
    /// Rows are erased one by one: `tmux` takes a screen that is cleared as a whole for
    /// one worth keeping in its history.
    fn text(&mut self, width: usize) -> String {
        let mut text = String::new();
        let old = if self.cleared > 0 { self.rows_now(width) } else { 0 };
        if old > 0 {
            text += &up(old - 1);
            text.push('\r');
        } else if self.behind == Behind::Line {
            text += "\r\n";
        }
        let mut new = 0;
        self.last.clear();
        for (number, line) in self.lines.drain(..).enumerate() {
            let columns = columns(&anstream::adapter::strip_str(&line).to_string());
            if number > 0 {
                text += "\r\n";
            }
            text += &line;
            // Behind a full row the cursor may still be on its last character.
            if columns == 0 || !columns.is_multiple_of(width) {
                text += ERASE;
            }
            new += rows(columns, width);
            self.last.push(columns);
        }
        self.behind = if new > 0 { Behind::Line } else { Behind::Nothing };
        if new == 0 && old > 0 {
            text += ERASE;
            new = 1;
        }
        if old > new {
            let rest = old - new;
            text += &format!("\r\n{ERASE}").repeat(rest);
            text += &up(rest);
            text.push('\r');
        }
        self.last_width = width;
        self.cleared = 0;
        self.next = Next::Line;
        text
    }
}

/// Erase to the end of the row (EL).
const ERASE: &str = "\x1b[K";

/// So many rows up (CUU), which never means none.
fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A") }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        (self.size)().0.max(1)
    }

    fn height(&self) -> u16 {
        (self.size)().1.max(1)
    }

    fn move_cursor_up(&self, _rows: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _rows: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.frame().lines.push(text.to_owned());
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut frame = self.frame();
        frame.next = match frame.next {
            Next::Line => {
                frame.lines.push(text.to_owned());
                Next::Fill
            }
            Next::Fill => Next::Line,
        };
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.frame().cleared += 1;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let width = usize::from(self.width());
        let text = self.frame().text(width);
        if !text.is_empty() {
            (self.write)(&text);
        }
        Ok(())
    }
}
