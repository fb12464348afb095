//! The JSON Schema of `machines.toml`, generated from the types in `raw.rs`.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::File;

/// The schema for editors, as pretty JSON with a final newline.
///
/// Draft 7, since the TOML plug-ins of editors know that one best.
pub fn json_schema() -> String {
    let schema = generate(SchemaSettings::draft07());
    serde_json::to_string_pretty(&schema).expect("a JSON value can be written") + "\n"
}

/// The schema with all parts in place, for `shape.rs`.
pub(crate) fn inline() -> Value {
    generate(SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true))
}

fn generate(settings: SchemaSettings) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema
}

/// TOML has no null: an optional key is one that is not in `required`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(names)) = map.get_mut("enum") {
                names.retain(|name| !name.is_null());
            }
            if map.get("default").is_some_and(|value| value.is_null() || value.is_object()) {
                map.remove("default");
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = choices.as_mut_slice() {
                    let only = only.take();
                    map.remove("anyOf");
                    if only.get("$ref").is_some() && !map.is_empty() {
                        // Draft 7 ignores what stands beside a reference.
                        map.insert("allOf".to_owned(), Value::Array(vec![only]));
                    } else if let Value::Object(only) = only {
                        for (key, value) in only {
                            map.entry(key).or_insert(value);
                        }
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}
