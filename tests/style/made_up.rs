//! Proves on made-up trees that each rule catches what it is there for, and nothing
//! else.

use super::rust::Rust;
use super::tree::Tree;
use super::{papers, rules};

#[track_caller]
fn finds(rule: fn(&Tree) -> Vec<String>, files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(rule(&Tree::of(files)), expected);
}

#[test]
fn a_reader_of_rust_tells_code_from_the_rest() {
    let rust = Rust::of(concat!(
        "let a = \"dbg!\\\" // no\"; // dbg!\n",
        "let b = r#\"todo!\" \"#; /* one /* two */ one\n",
        "still */ let c = '\"'; let d: &'static str = \"\n\";\n",
        "let e = '\\''; let r#type = b'x'; end!()\n",
    ));
    let code = "let a = \"\"; \nlet b = \"\"; \n let c = ; let d: &'static str = \"\n\";\n\
                let e = ; let r#type = b; end!()\n";
    assert_eq!(rust.code, code);
    assert_eq!(rust.comments.lines().next(), Some(" dbg!"));
    assert_eq!(rust.comments.lines().count(), rust.code.lines().count());
}

#[test]
fn length() {
    let short = "//\n".repeat(400);
    let long = "//\n".repeat(401);
    finds(
        rules::length,
        &[("src/a.rs", &short), ("tests/b.rs", &long), ("docs/c.md", &long)],
        &["tests/b.rs: 401 lines, at most 400"],
    );
}

#[test]
fn banned_calls() {
    let wait = "`time::sleep`: wait through `fleet_driver::wait`";
    finds(
        rules::banned_calls,
        &[
            ("drivers/api/src/wait.rs", "tokio::time::sleep(x).await\n"),
            ("drivers/qemu/src/lib.rs", "\n  tokio::time::sleep(x).await\n"),
            ("src/cli.rs", "eprintln!(\"x\"); std::process::exit(1);\n"),
            ("src/good.rs", "// println!\nlet x = \"println!\"; my_println!(); time::sleeper();\n"),
            ("tests/lab/main.rs", "println!(\"fine\"); time::sleep(x).await;\n"),
        ],
        &[&format!("drivers/qemu/src/lib.rs:2: {wait}"), &format!("tests/lab/main.rs:1: {wait}")],
    );
    for (call, word) in [
        ("println!()", "println!"),
        ("print!()", "print!"),
        ("eprintln!()", "eprintln!"),
        ("eprint!()", "eprint!"),
        ("std::process::exit(1)", "process::exit"),
        ("std::thread::sleep(x)", "thread::sleep"),
        ("dbg!(x)", "dbg!"),
        ("todo!()", "todo!"),
        ("unimplemented!()", "unimplemented!"),
    ] {
        let found = rules::banned_calls(&Tree::of(&[("src/a.rs", call)]));
        assert_eq!(found.len(), 1, "{call}: {found:?}");
        assert!(found[0].starts_with(&format!("src/a.rs:1: `{word}`: ")), "{found:?}");
    }
}

#[test]
fn orphans() {
    finds(
        rules::orphans,
        &[
            ("drivers/x/src/lib.rs", "mod inner;"),
            ("drivers/x/src/inner.rs", ""),
            ("drivers/x/src/left.rs", ""),
            ("drivers/x/tests/conformance.rs", ""),
            ("drivers/x/tests/other/left.rs", ""),
            ("drivers/x/tests/other/main.rs", "mod more;"),
            ("drivers/x/tests/other/more.rs", ""),
            ("src/lib.rs", "pub mod a;\n// mod b;\n"),
            ("src/a/mod.rs", "mod c;\nmod d {}\n"),
            ("src/a/c.rs", "#[cfg(test)]\nmod tests;"),
            ("src/a/c/tests.rs", ""),
            ("src/a/d.rs", ""),
            ("src/b.rs", ""),
            ("tests/forgotten.rs", ""),
            ("tests/lab/main.rs", "#[path = \"../support/docker.rs\"]\nmod docker;"),
            ("tests/main.rs", "mod up;"),
            ("tests/support/docker.rs", ""),
            ("tests/up.rs", ""),
        ],
        &[
            "drivers/x/src/left.rs: no `mod` names it",
            "drivers/x/tests/other/left.rs: no `mod` names it",
            "src/a/d.rs: no `mod` names it",
            "src/b.rs: no `mod` names it",
            "tests/forgotten.rs: no `mod` names it",
        ],
    );
}

#[test]
fn names() {
    finds(
        rules::names,
        &[("src/helpers/x.rs", ""), ("src/util.rs", ""), ("src/utility_bill.rs", "")],
        &["src/helpers/x.rs", "src/util.rs"],
    );
}

#[test]
fn first_lines() {
    finds(
        rules::first_lines,
        &[
            ("drivers/x/src/lib.rs", "use a;"),
            ("src/a.rs", "//! Hides a.\n"),
            ("src/a/tests.rs", "use super::a;"),
            ("src/b.rs", "//! \u{a0}\n".trim()),
            ("tests/c.rs", "use a;"),
        ],
        &["drivers/x/src/lib.rs:1", "src/b.rs:1"],
    );
}

#[test]
fn serde() {
    finds(
        rules::serde,
        &[
            ("src/a.rs", "\n#[serde(default, flatten)]\nx: X,\n#[command(flatten)]\ny: Y,"),
            ("src/b.rs", "#[serde(\n    untagged\n)]"),
            ("src/c.rs", "#[serde(rename = \"flatten\")]"),
        ],
        &["src/a.rs:2: `flatten`", "src/b.rs:1: `untagged`"],
    );
}

#[test]
fn owners() {
    finds(
        rules::owners,
        &[
            ("docs/a.md", "TODO"),
            ("src/a.rs", "// TODO: later\nlet x = \"TODO\";\n// FIXME(ann): soon\n// TODO(): x\n"),
            ("templates/b.sh", "# XXX\n# XXXX\n"),
        ],
        &["src/a.rs:1: TODO: later", "src/a.rs:4: TODO(): x", "templates/b.sh:1: # XXX"],
    );
}

#[test]
fn manifests() {
    finds(
        rules::manifests,
        &[
            (
                "drivers/api/Cargo.toml",
                "[package]\nname = \"fleet-driver\"\n[dependencies]\nserde = \"1\"\nrand = \"1\"\n\
                 [target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n",
            ),
            ("drivers/new/Cargo.toml", "[package]\nname = \"fleet-new\"\n"),
            (
                "drivers/qemu/Cargo.toml",
                "[package]\nname = \"fleet-qemu\"\n[dependencies]\n\
                 json = { package = \"serde_json\", version = \"1\" }\n\
                 [dev-dependencies]\ntempfile = \"3\"\nfleet = { path = \"../..\" }\n",
            ),
        ],
        &[
            "drivers/api/Cargo.toml: `rand` in [dependencies]",
            "drivers/api/Cargo.toml: `libc` in [dependencies]",
            "drivers/new/Cargo.toml: `fleet-new` has no row in the table",
            "drivers/qemu/Cargo.toml: `fleet` in [dev-dependencies]",
        ],
    );
}

#[test]
fn registry() {
    finds(
        rules::registry,
        &[
            ("drivers/api/Cargo.toml", "[package]\nname = \"fleet-driver\"\n"),
            ("drivers/x/Cargo.toml", "[package]\nname = \"fleet-x\"\n"),
            ("drivers/x/src/lib.rs", "fleet_x::me();"),
            ("src/a.rs", "use fleet_driver::Cx;\nuse fleet_x::X;\n// fleet_x\n"),
            ("src/registry.rs", "fleet_x::X::new()"),
        ],
        &["src/a.rs:2: `fleet_x`"],
    );
}

#[test]
fn templates() {
    finds(
        papers::templates,
        &[
            ("drivers/x/src/lib.rs", "include_str!(\"../../../templates/x/domain.xml\")"),
            ("src/templates.rs", "table![\"guest/a.sh\"]; tree![\"etc/fstab\"]; \"b.sh\""),
            ("templates/guest/a.sh", ""),
            ("templates/guest/b.sh", ""),
            ("templates/image/tree/etc/fstab", ""),
            ("templates/x/domain.xml", ""),
        ],
        &["templates/guest/b.sh"],
    );
}

#[test]
fn pages_and_links() {
    let files = [
        ("README.md", "[a](docs/a.md) [gone](docs/gone.md) [web](https://x.y) [here](#here)"),
        ("docs/README.md", "[b](b.md#part)\n```\n[c](c.md)\n```\n[up](../LICENSE) [src](../src)"),
        ("LICENSE", ""),
        ("docs/a.md", ""),
        ("docs/b.md", "[a](./a.md)"),
        ("docs/c.md", ""),
        ("src/lib.rs", ""),
    ];
    finds(papers::pages, &files, &["docs/README.md", "docs/c.md"]);
    finds(papers::links, &files, &["README.md:1: docs/gone.md"]);
}

#[test]
fn paths() {
    finds(
        papers::paths,
        &[
            (
                "CONTRIBUTING.md",
                "`src/lib.rs` and `src/` and `src/gone.rs`\n`drivers/NAME/` `other/x` `cargo t`",
            ),
            ("src/lib.rs", ""),
        ],
        &["CONTRIBUTING.md:1: `src/gone.rs`"],
    );
}
