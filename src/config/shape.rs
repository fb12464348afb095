//! Keys and types: holds the parsed file against the schema.
//!
//! serde stops at the first mistake. This walk finds them all, knows where each is,
//! and takes the bad parts out, so that what is left can be read and checked further.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnose::{Problem, Problems, Span};
use super::size;
use super::suggest::{all_of, closest, did_you_mean, one_of};

/// Takes out of `file` what the schema does not allow, and says so.
pub(crate) fn check(file: &mut DeTable<'_>, schema: &Value, problems: &mut Problems) {
    let walk = Walk { root: schema };
    walk.table(file, schema, &[], problems);
}

struct Walk<'a> {
    root: &'a Value,
}

/// The keys that lead to a value.
type Path<'a> = [&'a str];

/// Stands in a path for an entry of a list.
const ENTRY: &str = "[]";

/// The key that a path leads to, and what to call its value: a list has entries.
fn subject<'a>(path: &Path<'a>) -> (&'a str, String) {
    match path {
        [.., key, ENTRY] => (key, format!("an entry of `{key}`")),
        [.., key] => (key, format!("`{key}`")),
        [] => ("", "the file".to_owned()),
    }
}

impl Walk<'_> {
    fn table(&self, table: &mut DeTable<'_>, schema: &Value, path: &Path<'_>, out: &mut Problems) {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        let others = &schema["additionalProperties"];
        let mut bad = Vec::new();
        for (key, value) in table.iter_mut() {
            let (name, span) = (key.get_ref().to_string(), key.span());
            let Some(rule) = known.get(&name).or_else(|| (others != false).then_some(others))
            else {
                out.push(self.unknown(&name, span, value, known, path));
                bad.push(name);
                continue;
            };
            let inner: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if let Err(problem) = self.value(value, rule, &inner, out) {
                out.push(problem);
                bad.push(name);
            }
        }
        for name in &bad {
            table.remove(name.as_str());
        }
    }

    /// Checks a value; what is wrong inside of it is reported and taken out, what is
    /// wrong with itself is the error.
    fn value(
        &self,
        value: &mut Spanned<DeValue<'_>>,
        schema: &Value,
        path: &Path<'_>,
        out: &mut Problems,
    ) -> Result<(), Problem> {
        let rules = alternatives(schema);
        if rules.is_empty() {
            return Ok(());
        }
        let found = kind(value.get_ref());
        let fits = |rule: &&Value| rule.get("type").is_none_or(|name| name == found);
        let Some(rule) = rules.iter().copied().find(fits) else {
            return Err(wrong_type(value, &rules, schema, path));
        };
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, rule, path, out),
            DeValue::Array(items) => {
                let mut good = DeArray::new();
                let inner: Vec<&str> = path.iter().copied().chain([ENTRY]).collect();
                for mut item in std::mem::replace(items, DeArray::new()) {
                    match self.value(&mut item, &rule["items"], &inner, out) {
                        Ok(()) => good.push(item),
                        Err(problem) => out.push(problem),
                    }
                }
                *items = good;
            }
            DeValue::String(text) => choice(text, span, &rules, path)?,
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                range(parsed, span, rule, path)?;
            }
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
        Ok(())
    }

    fn unknown(
        &self,
        name: &str,
        span: Span,
        value: &Spanned<DeValue<'_>>,
        known: &Map<String, Value>,
        path: &Path<'_>,
    ) -> Problem {
        let place = place(path);
        let keys = || known.keys().map(String::as_str);
        let looks_like_a_machine = || {
            let machine = &self.root["properties"]["machine"]["additionalProperties"]["properties"];
            value.get_ref().as_table().is_some_and(|table| {
                !table.is_empty()
                    && table.keys().all(|key| !machine[key.get_ref().as_ref()].is_null())
            })
        };
        let help = if let Some(near) = closest(name, keys()) {
            format!("did you mean `{near}`?")
        } else if let Some(home) = self.home_of(name, path) {
            format!("`{name}` belongs in `{home}`")
        } else if path.is_empty() && looks_like_a_machine() {
            format!("machines are written `[machine.{name}]`")
        } else if path.is_empty() {
            format!("the tables are {}", all_of(keys()))
        } else if path == ["driver"] {
            format!("the drivers are {}", all_of(keys()))
        } else {
            format!("the keys of {place} are {}", all_of(keys()))
        };
        let message = match (path, value.get_ref()) {
            (["driver"], _) => format!("unknown driver `{name}`"),
            ([], DeValue::Table(_)) => format!("unknown table `{name}`"),
            ([], _) => format!("unknown key `{name}` at {place}"),
            _ => format!("unknown key `{name}` in {place}"),
        };
        Problem::error(message).at(span, "not known here").help(help)
    }

    /// The table in which a key that is wrong here would be right.
    fn home_of(&self, name: &str, path: &Path<'_>) -> Option<String> {
        let has = |schema: &Value| !schema["properties"][name].is_null();
        let tables = self.root["properties"].as_object()?;
        let machine = &tables["machine"]["additionalProperties"];
        if path.first() == Some(&"machine") && has(&tables["engine"]) {
            return Some(format!("[machine.{}.engine]", path.get(1)?));
        }
        if path.first() != Some(&"machine") && has(machine) && !has(&tables["defaults"]) {
            return Some("[machine.NAME]".to_owned());
        }
        tables.iter().find(|(_, schema)| has(schema)).map(|(table, _)| format!("[{table}]"))
    }
}

/// The rules of which a value must fit one.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let typed = schema.get("type").is_some();
    match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        Some(choices) if !typed => choices.iter().collect(),
        _ if schema.is_object() => vec![schema],
        _ => Vec::new(),
    }
}

/// The type's name in JSON Schema.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

/// A type's name for people.
fn in_words(kind: &str) -> &'static str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number with a point",
        "boolean" => "`true` or `false`",
        "date" => "a date",
        "array" => "a list",
        _ => "a table",
    }
}

/// Where a key is, for people: `[machine.host1]`.
fn place(path: &Path<'_>) -> String {
    if path.is_empty() {
        "the top of the file".to_owned()
    } else {
        format!("`[{}]`", path.join("."))
    }
}

fn wrong_type(
    value: &Spanned<DeValue<'_>>,
    rules: &[&Value],
    schema: &Value,
    path: &Path<'_>,
) -> Problem {
    let (key, subject) = subject(path);
    let wanted: Vec<&str> = rules.iter().filter_map(|rule| rule["type"].as_str()).collect();
    let words: Vec<&str> = wanted.iter().map(|kind| in_words(kind)).collect();
    let found = match value.get_ref() {
        DeValue::Boolean(truth) => format!("`{truth}`"),
        other => in_words(kind(other)).to_owned(),
    };
    let example = || {
        let text = rules.iter().chain([&schema]).find_map(|rule| rule["examples"][0].as_str())?;
        Some(format!("write it like `{key} = \"{text}\"`"))
    };
    let wants = |kind: &str| wanted.contains(&kind);
    let help = match value.get_ref() {
        DeValue::Integer(n) if schema["x-fleet"] == "size" => Some(size::with_unit(n.as_str())),
        DeValue::Integer(n) if wants("string") => Some(format!("put it in quotes: `\"{n}\"`")),
        DeValue::Float(n) if wants("string") => Some(format!("put it in quotes: `\"{n}\"`")),
        DeValue::Boolean(b) if wants("string") && schema.get("enum").is_none() => {
            Some(format!("put it in quotes: `\"{b}\"`"))
        }
        DeValue::String(text) if wants("integer") && text.trim().parse::<i64>().is_ok() => {
            Some(format!("leave the quotes out: `{key} = {}`", text.trim()))
        }
        DeValue::String(text) if wants("boolean") => match text.to_lowercase().as_str() {
            yes @ ("true" | "false") => Some(format!("leave the quotes out: `{key} = {yes}`")),
            "yes" | "on" => Some(format!("write `{key} = true`")),
            "no" | "off" => Some(format!("write `{key} = false`")),
            _ => None,
        },
        DeValue::String(text) if wants("array") => Some(format!("write `{key} = [\"{text}\"]`")),
        DeValue::Array(_) if key == "machine" => {
            Some("each machine is a table with its name: `[machine.host1]`".to_owned())
        }
        DeValue::Array(_) if key == "labels" || key == "env" || key == "log_opts" => {
            Some(format!("write `{key} = {{ name = \"value\" }}`"))
        }
        _ if wanted == ["object"] => Some(format!("write it as a table: `[{}]`", path.join("."))),
        DeValue::Float(n) if wants("integer") => {
            let whole = n.as_str().parse::<f64>().map_or(1.0, f64::ceil).clamp(1.0, 1e6);
            Some(format!("write `{key} = {whole}`"))
        }
        _ if wants("integer") => Some(format!("write it like `{key} = 1`")),
        _ if wants("boolean") => Some(format!("write `{key} = true` or `{key} = false`")),
        _ if wants("array") => Some(format!("write it like `{key} = [\"...\"]`")),
        _ => example().or_else(|| Some(format!("write it like `{key} = \"...\"`"))),
    };
    let (message, label) = match value.get_ref() {
        DeValue::Integer(_) if schema["x-fleet"] == "size" => {
            (format!("{subject} needs a unit"), "how many of what?".to_owned())
        }
        _ => (format!("{subject} must be {}", words.join(" or ")), format!("this is {found}")),
    };
    Problem::error(message).at(value.span(), label).maybe_help(help)
}

/// Checks a text against the fixed words of its rules, if they have any.
fn choice(text: &str, span: Span, rules: &[&Value], path: &Path<'_>) -> Result<(), Problem> {
    let mut words: Vec<&str> = Vec::new();
    for rule in rules.iter().filter(|rule| rule["type"] == "string") {
        match (rule["enum"].as_array(), rule["const"].as_str()) {
            (Some(names), _) => words.extend(names.iter().filter_map(Value::as_str)),
            (_, Some(word)) => words.push(word),
            _ => return Ok(()),
        }
    }
    if words.is_empty() || words.contains(&text) {
        return Ok(());
    }
    let (key, _) = subject(path);
    let help = did_you_mean(text, words.iter().copied())
        .unwrap_or_else(|| format!("it may be {}", one_of(words.iter().copied())));
    Err(Problem::error(format!("unknown {key} `{text}`")).at(span, "not one of them").help(help))
}

/// Checks a number against the bounds of its rule.
fn range(number: Option<i64>, span: Span, rule: &Value, path: &Path<'_>) -> Result<(), Problem> {
    let (key, subject) = subject(path);
    let (least, most) = (rule["minimum"].as_i64(), rule["maximum"].as_i64());
    let (label, help) = match number {
        Some(n) if least.is_some_and(|least| n < least) => {
            let least = least.unwrap_or_default();
            let help = match key {
                "count" => "to have none of these machines, put `#` before the lines of the table",
                _ => "",
            };
            (format!("less than {least}"), help)
        }
        Some(n) if most.is_none_or(|most| n <= most) => return Ok(()),
        _ => (format!("more than {}", most.unwrap_or(i64::MAX)), ""),
    };
    let bounds = match (least, most) {
        (Some(least), Some(most)) => format!("it may be from {least} to {most}"),
        _ => String::new(),
    };
    let help = if help.is_empty() { bounds } else { help.to_owned() };
    Err(Problem::error(format!("{subject} is out of range")).at(span, label).help(help))
}
