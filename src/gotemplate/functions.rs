//! The functions of formats, and how they see values.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use super::printf::printf;

/// All functions.
pub(super) const NAMES: [&str; 22] = [
    "and",
    "eq",
    "ge",
    "gt",
    "index",
    "join",
    "json",
    "le",
    "len",
    "lower",
    "lt",
    "ne",
    "not",
    "or",
    "prettyjson",
    "print",
    "printf",
    "println",
    "split",
    "title",
    "truncate",
    "upper",
];

/// Calls a function.
///
/// # Errors
/// What is wrong with its values.
pub(super) fn call(name: &str, values: &[Value]) -> Result<Value, String> {
    match (name, values) {
        ("and" | "or", [.., last]) => Ok(last.clone()),
        ("not", [value]) => Ok((!truth(value)).into()),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            Ok(others.iter().any(|other| equal(first, other)).into())
        }
        ("ne", [a, b]) => Ok((!equal(a, b)).into()),
        ("lt", [a, b]) => Ok((order(a, b)? == Ordering::Less).into()),
        ("le", [a, b]) => Ok((order(a, b)? != Ordering::Greater).into()),
        ("gt", [a, b]) => Ok((order(a, b)? == Ordering::Greater).into()),
        ("ge", [a, b]) => Ok((order(a, b)? != Ordering::Less).into()),
        ("json", [value]) => json(value, Layout::Line),
        ("prettyjson", [value]) => json(value, Layout::Indented),
        ("upper", [value]) => Ok(word(value)?.to_uppercase().into()),
        ("lower", [value]) => Ok(word(value)?.to_lowercase().into()),
        ("title", [value]) => Ok(title(word(value)?).into()),
        ("split", [text, by]) => {
            let (text, by) = (word(text)?, word(by)?);
            if by.is_empty() {
                return Ok(text.chars().map(String::from).collect::<Vec<_>>().into());
            }
            Ok(text.split(by).collect::<Vec<_>>().into())
        }
        ("join", [Value::Null, _]) => Ok("".into()),
        ("join", [Value::Array(list), by]) => {
            let texts: Vec<String> = list.iter().map(text).collect();
            Ok(texts.join(word(by)?).into())
        }
        ("len", [value]) => match value {
            Value::Null => Ok(0.into()),
            Value::String(text) => Ok(text.len().into()),
            Value::Array(list) => Ok(list.len().into()),
            Value::Object(map) => Ok(map.len().into()),
            other => Err(format!("{} has no length", kind(other))),
        },
        ("index", [value, keys @ ..]) => index(value, keys),
        ("print", values) => Ok(print(values).into()),
        ("println", values) => {
            let words: Vec<String> = values.iter().map(text).collect();
            Ok(format!("{}\n", words.join(" ")).into())
        }
        ("printf", [Value::String(format), values @ ..]) => Ok(printf(format, values).into()),
        ("truncate", [text, Value::Number(most)]) => {
            let most = most.as_u64().ok_or("`truncate` needs a number of letters")?;
            Ok(word(text)?.chars().take(most as usize).collect::<String>().into())
        }
        _ => Err(format!("`{name}` cannot be called like this: {}", usage(name))),
    }
}

fn usage(name: &str) -> &'static str {
    match name {
        "and" | "or" => "it needs values",
        "eq" => "it needs a value, and those to compare it with",
        "ne" | "lt" | "le" | "gt" | "ge" => "it needs two values",
        "index" => "it needs a list or an object, and a place in it",
        "join" => "it needs a list, and what stands between its parts",
        "split" => "it needs a text, and what stands between its parts",
        "printf" => "it needs a text with places such as `%s`, and values for them",
        "truncate" => "it needs a text, and a number of letters",
        _ => "it needs one value",
    }
}

/// Whether a value counts as true.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// What a value is, in a sentence.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn word(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => Err(format!("a text is needed here, not {}", kind(other))),
    }
}

enum Layout {
    Line,
    Indented,
}

fn json(value: &Value, layout: Layout) -> Result<Value, String> {
    let mut out = Vec::new();
    let written = match layout {
        Layout::Line => value.serialize(&mut serde_json::Serializer::new(&mut out)),
        Layout::Indented => {
            let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, form))
        }
    };
    written.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&out).into_owned().into())
}

fn title(text: &str) -> String {
    let mut begins = true;
    text.chars()
        .flat_map(|c| {
            let first = begins && c.is_alphabetic();
            begins = !(c.is_alphanumeric() || c == '_' || c == '\'');
            if first { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    let order = match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    order.ok_or_else(|| format!("{} and {} have no order", kind(a), kind(b)))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let Some((key, rest)) = keys.split_first() else { return Ok(value.clone()) };
    let found = match (value, key) {
        (Value::Null, _) => return Ok(Value::Null),
        (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
        (Value::Array(list), Value::Number(place)) => {
            let found = place.as_u64().and_then(|n| list.get(n as usize));
            found.ok_or_else(|| format!("the list has {} parts, and no {place}", list.len()))?
        }
        (value, key) => {
            return Err(format!("{} cannot be a place in {}", kind(key), kind(value)));
        }
    };
    index(found, rest)
}

/// Values one after the other, with a blank between two that are no texts.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let mut before: Option<&Value> = None;
    for value in values {
        if before.is_some_and(|before| !before.is_string() && !value.is_string()) {
            out.push(' ');
        }
        out.push_str(&text(value));
        before = Some(value);
    }
    out
}
