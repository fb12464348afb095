//! Reading what fleet wrote: words of a shell, filled templates, and the little of YAML
//! that its seeds use. Whatever is not understood is an error that says so.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Takes one word of a shell off, quotes and all.
pub fn word(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\'' => {
                let (inside, after) = rest[1..].split_once('\'')?;
                out.push_str(inside);
                rest = after;
            }
            '\\' => {
                let quoted = rest[1..].chars().next()?;
                out.push(quoted);
                rest = &rest[1 + quoted.len_utf8()..];
            }
            c if c.is_ascii_alphanumeric() || "_-./=:,@+%".contains(c) => {
                out.push(c);
                rest = &rest[1..];
            }
            _ => break,
        }
    }
    (rest.len() < text.len()).then_some((out, rest))
}

/// The values that a template of a shell script was filled with; `None` if the text is
/// not that template.
pub fn filled(template: &str, text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut parts = template.trim_end().split("{{");
    let mut rest = text.trim_end().strip_prefix(parts.next()?)?;
    for part in parts {
        let (value, literal) = part.split_once("}}")?;
        let (name, filter) = value.split_once('|')?;
        assert_eq!(filter.trim(), "sh", "a shell's template quotes for a shell");
        let (word, after) = word(rest)?;
        found.insert(name.trim().to_owned(), word);
        rest = after.strip_prefix(literal)?;
    }
    rest.is_empty().then_some(found)
}

/// Reads YAML whose scalars are words, or texts and lists as in JSON.
pub fn yaml(text: &str) -> Result<Value, String> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut at = 0;
    let value = block(&mut lines.clone(), &mut at)?;
    match lines.get(at) {
        None => Ok(value),
        Some((_, line)) => Err(format!("the YAML goes on strangely at `{line}`")),
    }
}

fn block(lines: &mut [(usize, &str)], at: &mut usize) -> Result<Value, String> {
    let Some(&(indent, first)) = lines.get(*at) else { return Ok(Value::Null) };
    if first.starts_with("- ") {
        let mut list = Vec::new();
        while let Some(&(here, line)) = lines.get(*at) {
            let Some(item) = line.strip_prefix("- ").filter(|_| here == indent) else { break };
            if item.starts_with('"') || !item.contains(": ") {
                list.push(scalar(item)?);
                *at += 1;
            } else {
                // The rest of the item is a mapping of its own.
                lines[*at] = (indent + 2, item);
                list.push(block(lines, at)?);
            }
        }
        return Ok(Value::Array(list));
    }
    let mut map = Map::new();
    while let Some(&(here, line)) = lines.get(*at) {
        if here != indent || line.starts_with("- ") {
            break;
        }
        let (key, value) =
            line.split_once(':').ok_or_else(|| format!("`{line}` is no key of YAML"))?;
        *at += 1;
        let value = match value.trim() {
            "" if lines.get(*at).is_some_and(|(next, _)| *next > indent) => block(lines, at)?,
            "" => Value::Null,
            text => scalar(text)?,
        };
        if map.insert(key.to_owned(), value).is_some() {
            return Err(format!("the key `{key}` is there twice"));
        }
    }
    Ok(Value::Object(map))
}

fn scalar(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("`{text}` is no value of YAML: {e}"))
}

#[test]
fn what_fleet_quotes_is_read_back() {
    for text in ["plain", "", "it's", "a b\nc", r"\'", "ä"] {
        let quoted = format!("{} rest", fleet_driver::text::sh(text));
        assert_eq!(word(&quoted), Some((text.to_owned(), " rest")), "{quoted}");
    }
    let values = filled("a={{ a | sh }}\nb {{ b | sh }};\n", "a='x y'\nb 1;").unwrap();
    assert_eq!((values["a"].as_str(), values["b"].as_str()), ("x y", "1"));
    assert_eq!(filled("a={{ a | sh }}\n", "a=1 2\n"), None);
}

#[test]
fn yaml_is_read_or_refused() {
    let text =
        "# c\na: \"x: y\"\nb:\n  - \"1\"\n  - k: true\n    l: [\"m\"]\nc:\n  d:\n    e: \"\"\n";
    let expected = serde_json::json!({
        "a": "x: y", "b": ["1", { "k": true, "l": ["m"] }], "c": { "d": { "e": "" } }
    });
    assert_eq!(yaml(text).unwrap(), expected);
    for wrong in ["a: b", "a: \"\"\na: \"\"", "- \"1\"\nb: \"\"", "nothing"] {
        assert!(yaml(wrong).is_err(), "{wrong}");
    }
}
