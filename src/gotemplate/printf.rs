//! `printf` as in Go: `%s`, `%v`, `%d`, `%q`, `%t`, `%x`, `%f`, with a width.

use std::fmt::Write;

use serde_json::Value;

use super::functions::text;

/// Fills the places of a format; a value that does not fit is shown as Go shows it.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut letters = format.chars().peekable();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut take = |wanted: &dyn Fn(char) -> bool| {
            let mut taken = String::new();
            while let Some(c) = letters.next_if(|c| wanted(*c)) {
                taken.push(c);
            }
            taken
        };
        let flags = take(&|c| "-+ 0#".contains(c));
        let width = take(&|c| c.is_ascii_digit()).parse::<usize>().unwrap_or(0);
        let precise = !take(&|c| c == '.').is_empty();
        let precision = take(&|c| c.is_ascii_digit()).parse::<usize>().unwrap_or(0);
        let Some(verb) = letters.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            // Writing to a string cannot fail.
            _ = write!(out, "%!{verb}(MISSING)");
            continue;
        };
        let shown = one(verb, value, precise.then_some(precision));
        out.push_str(&padded(&shown, width, &flags));
    }
    let rest: Vec<String> = values.map(text).collect();
    if !rest.is_empty() {
        _ = write!(out, "%!(EXTRA {})", rest.join(", "));
    }
    out
}

fn one(verb: char, value: &Value, precision: Option<usize>) -> String {
    let unfit = || format!("%!{verb}({})", text(value));
    match (verb, value) {
        ('s' | 'v', value) => {
            let text = text(value);
            match precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            }
        }
        ('q', Value::String(text)) => format!("{text:?}"),
        ('t', Value::Bool(value)) => value.to_string(),
        ('d', Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        ('x', Value::Number(number)) => {
            number.as_u64().map_or_else(unfit, |number| format!("{number:x}"))
        }
        ('x', Value::String(text)) => text.bytes().fold(String::new(), |mut hex, byte| {
            _ = write!(hex, "{byte:02x}");
            hex
        }),
        ('f', Value::Number(number)) => {
            number.as_f64().map_or_else(unfit, |n| format!("{n:.*}", precision.unwrap_or(6)))
        }
        _ => unfit(),
    }
}

fn padded(text: &str, width: usize, flags: &str) -> String {
    let blanks = width.saturating_sub(text.chars().count());
    if flags.contains('-') {
        format!("{text}{}", " ".repeat(blanks))
    } else if flags.contains('0') {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text),
        };
        format!("{sign}{}{digits}", "0".repeat(blanks))
    } else {
        format!("{}{text}", " ".repeat(blanks))
    }
}
