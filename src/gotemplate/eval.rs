//! Fills a format: walks its tree with the data at hand.

use serde_json::{Map, Value};

use super::parse::{Command, Kind, New, Node, Operand, Pipeline};
use super::{Wrong, functions};

/// What is known at one place of the format.
struct Scope {
    dot: Value,
    /// The innermost last; the first, without a name, is `$`.
    variables: Vec<(String, Value)>,
}

/// Fills the nodes with data.
pub(super) fn render(nodes: &[Node], data: &Value) -> Result<String, Wrong> {
    let mut scope = Scope { dot: data.clone(), variables: vec![(String::new(), data.clone())] };
    let mut out = String::new();
    scope.list(nodes, &mut out)?;
    Ok(out)
}

impl Scope {
    fn list(&mut self, nodes: &[Node], out: &mut String) -> Result<(), Wrong> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    if pipeline.sets.is_empty() {
                        out.push_str(&functions::text(&value));
                    }
                }
                Node::If { arms, otherwise } => self.inside(|scope| {
                    for (condition, body) in arms {
                        if functions::truth(&scope.pipeline(condition)?) {
                            return scope.list(body, out);
                        }
                    }
                    scope.list(otherwise, out)
                })?,
                Node::With { of, body, otherwise } => self.inside(|scope| {
                    let value = scope.pipeline(of)?;
                    if functions::truth(&value) {
                        scope.dot = value;
                        scope.list(body, out)
                    } else {
                        scope.list(otherwise, out)
                    }
                })?,
                Node::Range { over, body, otherwise } => {
                    self.inside(|scope| scope.range(over, body, otherwise, out))?;
                }
            }
        }
        Ok(())
    }

    /// Runs something whose variables and whose dot end with it.
    fn inside(&mut self, run: impl FnOnce(&mut Self) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let (known, dot) = (self.variables.len(), self.dot.clone());
        run(self)?;
        self.variables.truncate(known);
        self.dot = dot;
        Ok(())
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        out: &mut String,
    ) -> Result<(), Wrong> {
        let items: Vec<(Value, Value)> = match self.commands(&over.commands)? {
            Value::Array(list) => {
                list.into_iter().enumerate().map(|(n, v)| (n.into(), v)).collect()
            }
            Value::Object(map) => map.into_iter().map(|(key, v)| (key.into(), v)).collect(),
            Value::Null => Vec::new(),
            other => {
                let message = format!("`range` needs a list, not {}", functions::kind(&other));
                return Err(Wrong::at(over.at, message));
            }
        };
        if items.is_empty() {
            return self.list(otherwise, out);
        }
        for (key, item) in items {
            self.inside(|scope| {
                match over.sets.as_slice() {
                    [] => {}
                    [one] => scope.set(one, item.clone(), over.new),
                    [first, second, ..] => {
                        scope.set(first, key, over.new);
                        scope.set(second, item.clone(), over.new);
                    }
                }
                scope.dot = item;
                scope.list(body, out)
            })?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, new: New) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, slot)) if new == New::No => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Value, Wrong> {
        let value = self.commands(&pipeline.commands)?;
        for name in &pipeline.sets {
            self.set(name, value.clone(), pipeline.new);
        }
        Ok(value)
    }

    fn commands(&mut self, commands: &[Command]) -> Result<Value, Wrong> {
        let mut last = None;
        for command in commands {
            last = Some(self.command(command, last)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn command(&mut self, command: &Command, piped: Option<Value>) -> Result<Value, Wrong> {
        let Some((first, rest)) = command.words.split_first() else { return Ok(Value::Null) };
        let Kind::Function(name) = &first.kind else { return self.operand(first) };
        let mut values = Vec::new();
        for word in rest {
            values.push(self.operand(word)?);
            // What comes after it is not even looked at.
            let truth = values.last().is_some_and(functions::truth);
            if (name == "and" && !truth) || (name == "or" && truth) {
                return Ok(values.pop().unwrap_or(Value::Null));
            }
        }
        values.extend(piped);
        functions::call(name, &values).map_err(|message| Wrong::at(first.at, message))
    }

    fn operand(&mut self, operand: &Operand) -> Result<Value, Wrong> {
        let at = operand.at;
        match &operand.kind {
            Kind::Dot(fields) => descend(&self.dot, fields, at + 1),
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Function(name) => {
                functions::call(name, &[]).map_err(|message| Wrong::at(at, message))
            }
            Kind::Variable(name, fields) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map_or(&Value::Null, |(_, value)| value);
                descend(value, fields, at + name.len() + 2)
            }
            Kind::Group(inside, fields) => {
                let value = self.pipeline(inside)?;
                descend(&value, fields, at)
            }
        }
    }
}

/// The value of a field of a field; the first field stands at byte `at`.
fn descend(value: &Value, fields: &[String], mut at: usize) -> Result<Value, Wrong> {
    let mut value = value;
    for field in fields {
        value = match value {
            // What is not there has no parts either.
            Value::Null => return Ok(Value::Null),
            Value::Object(map) => map.get(field).ok_or_else(|| missing(map, field, at))?,
            other => {
                let message = format!("{} has no field `{field}`", functions::kind(other));
                return Err(Wrong::at(at, message));
            }
        };
        at += field.len() + 1;
    }
    Ok(value.clone())
}

fn missing(map: &Map<String, Value>, field: &str, at: usize) -> Wrong {
    let wrong = Wrong::at(at, format!("there is no field `{field}` here"));
    let close = map
        .keys()
        .map(|known| {
            (strsim::damerau_levenshtein(&field.to_lowercase(), &known.to_lowercase()), known)
        })
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
    if let Some((_, known)) = close {
        return wrong.hint(format!("did you mean `{known}`?"));
    }
    let names: Vec<&str> = map.keys().map(String::as_str).collect();
    wrong.hint(format!("there are {}", names.join(", ")))
}
