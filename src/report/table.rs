//! Tables as `docker` prints them: columns, no lines.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::clean;
use crate::host::Host;

/// Space between columns.
const GAP: u16 = 3;

/// Lays out a table with a line of headers; each line ends with a line's end and
/// without blanks.
///
/// Nothing is ever cut off or wrapped: a reader may be a program.
pub fn table<R>(headers: &[&str], rows: Vec<R>, host: &Host) -> String
where
    R: IntoIterator,
    R::Item: Into<String>,
{
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !host.stdout_is_terminal() {
        table.force_no_tty();
    }
    table.set_header(headers.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(|cell| clean::line(&clean::text(&cell.into()))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
