//! A terminal in memory that can be resized and wraps anew, as most do: what a person
//! would see.

use std::sync::{Arc, Mutex};

/// The terminal; a clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Screen(Arc<Mutex<Grid>>);

/// Rows as they are seen.
#[derive(Debug)]
struct Grid {
    columns: usize,
    rows: Vec<Row>,
    row: usize,
    column: usize,
}

#[derive(Debug, Clone, Default)]
struct Row {
    cells: Vec<String>,
    /// Whether the next row goes on with the same line.
    goes_on: bool,
}

impl Screen {
    pub(super) fn new(columns: u16) -> Self {
        let rows = vec![Row::default()];
        let grid = Grid { columns: columns.into(), rows, row: 0, column: 0 };
        Self(Arc::new(Mutex::new(grid)))
    }

    pub(super) fn size(&self) -> (u16, u16) {
        (u16::try_from(self.0.lock().unwrap().columns).unwrap(), 24)
    }

    pub(super) fn resize(&self, columns: u16) {
        self.0.lock().unwrap().resize(columns.into());
    }

    /// What is seen, without blanks at the ends of lines and of the screen.
    pub(super) fn contents(&self) -> String {
        let grid = self.0.lock().unwrap();
        let rows = grid.rows.iter().map(|row| row.cells.concat().trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Takes what a program writes.
    pub(super) fn print(&self, text: &str) {
        let mut grid = self.0.lock().unwrap();
        let mut colour = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => grid.column = 0,
                '\n' => grid.down(),
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['), "only control sequences are known");
                    let mut number = String::new();
                    let end = loop {
                        match chars.next().expect("a sequence has an end") {
                            digit @ '0'..='9' => number.push(digit),
                            end => break end,
                        }
                    };
                    match end {
                        'A' => grid.up(number.parse().expect("a number of rows")),
                        'K' => grid.erase(),
                        'm' => colour.extend(["\x1b[", &number, "m"]),
                        other => panic!("the sequence {other} is not known"),
                    }
                }
                c => grid.put(std::mem::take(&mut colour) + &c.to_string()),
            }
        }
    }
}

impl Grid {
    fn down(&mut self) {
        self.row += 1;
        if self.rows.len() == self.row {
            self.rows.push(Row::default());
        }
    }

    fn up(&mut self, rows: usize) {
        self.row = self.row.checked_sub(rows).expect("the cursor stays on the screen");
    }

    fn erase(&mut self) {
        let row = &mut self.rows[self.row];
        row.cells.truncate(self.column);
        row.goes_on = false;
    }

    fn put(&mut self, cell: String) {
        if self.column == self.columns {
            self.rows[self.row].goes_on = true;
            self.down();
            self.column = 0;
        }
        let cells = &mut self.rows[self.row].cells;
        if cells.len() <= self.column {
            cells.resize(self.column + 1, " ".to_owned());
        }
        cells[self.column] = cell;
        self.column += 1;
    }

    /// Wraps all lines anew; the cursor stays behind the character it is behind.
    fn resize(&mut self, columns: usize) {
        let mut rows = Vec::new();
        let mut line = Vec::new();
        let mut cursor = None;
        for (number, row) in self.rows.drain(..).enumerate() {
            if number == self.row {
                cursor = Some(line.len() + self.column);
            }
            line.extend(row.cells);
            if row.goes_on {
                continue;
            }
            if let Some(offset) = cursor.take() {
                let before = offset.saturating_sub(1) / columns;
                self.row = rows.len() + before;
                self.column = offset - before * columns;
            }
            let parts: Vec<Vec<String>> = line.chunks(columns).map(<[String]>::to_vec).collect();
            let last = parts.len().saturating_sub(1);
            rows.extend(
                parts
                    .into_iter()
                    .enumerate()
                    .map(|(number, cells)| Row { cells, goes_on: number < last }),
            );
            if line.is_empty() {
                rows.push(Row::default());
            }
            line.clear();
        }
        self.rows = rows;
        self.columns = columns;
    }
}
