//! Tests of all templates.

use super::*;

#[test]
fn every_template_parses() {
    let names: std::collections::HashMap<_, _> = ALL.iter().copied().collect();
    assert_eq!(names.len(), ALL.len(), "two templates share a name");
    LazyLock::force(&TERA);
}
