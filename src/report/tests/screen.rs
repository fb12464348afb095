//! A terminal in memory whose width can change: what a person would see.

use std::io;
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

/// The terminal; a clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Screen(Arc<Mutex<Grid>>);

#[derive(Debug)]
struct Grid {
    columns: u16,
    rows: Vec<Vec<String>>,
    row: usize,
    column: usize,
}

impl Screen {
    pub(super) fn new(columns: u16) -> Self {
        Self(Arc::new(Mutex::new(Grid {
            columns,
            rows: vec![Vec::new()],
            row: 0,
            column: 0,
        })))
    }

    pub(super) fn columns(&self) -> u16 {
        self.0.lock().unwrap().columns
    }

    /// What is seen, without blanks at the ends of lines and of the screen.
    pub(super) fn contents(&self) -> String {
        let grid = self.0.lock().unwrap();
        let rows: Vec<String> = grid
            .rows
            .iter()
            .map(|row| row.concat().trim_end().to_owned())
            .collect();
        rows.join("\n").trim_end().to_owned()
    }
}

impl Grid {
    fn go_to(&mut self, row: usize) {
        self.row = row;
        while self.rows.len() <= row {
            self.rows.push(Vec::new());
        }
    }

    fn put(&mut self, cell: String) {
        if self.column == usize::from(self.columns) {
            self.go_to(self.row + 1);
            self.column = 0;
        }
        let (row, column) = (self.row, self.column);
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize(column + 1, " ".to_owned());
        }
        cells[column] = cell;
        self.column += 1;
    }

    /// Writes a text; a colour takes no column and sticks to the next character.
    fn write(&mut self, text: &str) {
        let mut colour = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => {
                    self.go_to(self.row + 1);
                    self.column = 0;
                }
                '\x1b' => {
                    colour.push(c);
                    colour.extend(chars.by_ref().take_while(|c| *c != 'm'));
                    colour.push('m');
                }
                c => self.put(std::mem::take(&mut colour) + &c.to_string()),
            }
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.columns()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut grid = self.0.lock().unwrap();
        grid.row = grid.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        let mut grid = self.0.lock().unwrap();
        let row = grid.row + n;
        grid.go_to(row);
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.lock().unwrap().column += n;
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        let mut grid = self.0.lock().unwrap();
        grid.column = grid.column.saturating_sub(n);
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().write(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut grid = self.0.lock().unwrap();
        let row = grid.row;
        grid.rows[row].clear();
        grid.column = 0;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
