//! The templates, compiled in from one table and rendered through one function.
//!
//! A template is named as the file it becomes. Undefined variables are errors. In
//! YAML and JSON every value goes through the filter `json`, in shell files
//! through `sh`; XML is escaped by itself.

use std::sync::LazyLock;

use fleet_driver::{Error, Result, text};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

/// All templates: name and text.
pub const ALL: &[(&str, &str)] = &[];

static TERA: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.register_filter("sh", |word: String, _: Kwargs, _: &State<'_>| text::sh(&word));
    tera.register_filter("json", |word: String, _: Kwargs, _: &State<'_>| text::json(&word));
    tera.add_raw_templates(ALL.iter().copied()).expect("a test renders every template");
    tera
});

/// Renders the template `name` with its view.
///
/// # Errors
/// `Bug`: the template is unknown, or asks for what the view does not have.
pub fn render(name: &str, view: &impl Serialize) -> Result<String> {
    let bug = |e: tera::Error| Error::bug(format!("template `{name}` failed")).because(e);
    let context = Context::from_serialize(view).map_err(bug)?;
    TERA.render(name, &context).map_err(bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        let names: std::collections::HashMap<_, _> = ALL.iter().copied().collect();
        assert_eq!(names.len(), ALL.len(), "two templates share a name");
        LazyLock::force(&TERA);
    }
}
