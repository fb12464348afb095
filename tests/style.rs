//! The house rules that a program can check, checked on this repository.
//!
//! Each rule is a function in `rules` or `papers`; `made_up` proves on small trees
//! that each of them catches what it is there for.

#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the names of a repository's files are known, case and all"
)]

mod made_up;
mod papers;
mod rules;
mod rust;
mod tree;

use std::path::Path;

use tree::Tree;

/// Fails with everything that breaks the rule, and with what to do about it.
#[track_caller]
fn holds(rule: fn(&Tree) -> Vec<String>, what_to_do: &str) {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("a readable repository");
    let found = rule(&tree);
    assert!(found.is_empty(), "{what_to_do}\n  {}\n", found.join("\n  "));
}

/// Otherwise every rule could hold by looking at nothing.
#[test]
fn the_repository_is_seen() {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("a readable repository");
    for path in [
        "README.md",
        "Makefile",
        "src/lib.rs",
        "drivers/api/Cargo.toml",
        "drivers/api/src/wait.rs",
        "templates/cloud-init/user-data",
        "tests/style/tree.rs",
    ] {
        assert!(tree.has(path), "{path} was not seen");
    }
    assert!(!tree.has(".git"));
}

#[test]
fn files_are_short() {
    holds(
        rules::length,
        "Split these by what they know; move tests out to a `tests.rs` beside the file:",
    );
}

#[test]
fn banned_calls_stay_in_their_one_file() {
    holds(rules::banned_calls, "Use what stands behind each of these instead:");
}

#[test]
fn every_file_is_part_of_the_program() {
    holds(rules::orphans, "Name these with `mod` where they belong, or remove them:");
}

#[test]
fn modules_are_named_for_what_they_know() {
    holds(rules::names, "Find out what these know and name them so:");
}

#[test]
fn every_module_says_what_it_hides() {
    holds(rules::first_lines, "Begin these with a `//!` line that says what they hide:");
}

#[test]
fn serde_types_give_good_errors() {
    holds(rules::serde, "`flatten` and `untagged` make poor errors; spell the type out:");
}

#[test]
fn work_left_has_an_owner() {
    holds(rules::owners, "Do it, or write who will: `TODO(name): …`:");
}

#[test]
fn drivers_depend_on_the_contract_only() {
    holds(
        rules::manifests,
        "A driver stays small and never depends on fleet. If the package is truly needed, add it \
         to the table in tests/style/rules.rs and say why:",
    );
}

#[test]
fn only_the_registry_names_drivers() {
    holds(
        rules::registry,
        "Ask for what is needed through `fleet_driver::Driver`; src/registry.rs alone names \
         drivers:",
    );
}

#[test]
fn every_template_is_used() {
    holds(
        papers::templates,
        "Add these to the table in src/templates.rs (or where they are included), or remove them:",
    );
}

#[test]
fn every_page_is_linked() {
    holds(papers::pages, "Link these from docs/README.md:");
}

#[test]
fn links_lead_somewhere() {
    holds(papers::links, "Mend these links:");
}

#[test]
fn paths_in_prose_exist() {
    holds(papers::paths, "Correct these paths; the map must be true:");
}
