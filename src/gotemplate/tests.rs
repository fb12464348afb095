//! What formats give, and what is said about wrong ones.

use serde_json::{Value, json};

use super::{Template, unescaped};

fn data() -> Value {
    json!({
        "Name": "host1",
        "Driver": { "IPAddress": "10.77.0.2", "SSHPort": 2222, "Tags": ["a", "b"], "None": null },
        "Up": true,
        "Labels": { "site": "lab", "a.b/c": "dotted" },
        "Empty": [],
    })
}

fn filled(format: &str) -> String {
    Template::parse(format).unwrap().render(&data()).unwrap()
}

/// The message, the column of the mark counted from 0, and the hint.
fn refused(format: &str) -> (String, usize, String) {
    let error = Template::parse(format).and_then(|t| t.render(&data())).unwrap_err();
    let context = error.context();
    let (_, shown) = context.iter().find(|(key, _)| *key == "format").unwrap();
    let mark = shown.lines().last().unwrap().chars().count() - 1;
    (error.message().to_owned(), mark - 6, error.hint_text().unwrap_or_default().to_owned())
}

#[test]
fn fields_are_found() {
    assert_eq!(filled("{{.Name}} {{ .Driver.SSHPort }}"), "host1 2222");
    assert_eq!(filled("{{.Driver.Tags}} {{.Labels}}"), "[a b] map[a.b/c:dotted site:lab]");
    assert_eq!(filled("{{.Driver.None}}{{.Driver.None.Deep}}"), "<no value><no value>");
    assert_eq!(
        filled("{{$.Name}}{{with .Driver}} {{.SSHPort}} {{$.Name}}{{end}}"),
        "host1 2222 host1"
    );
    assert_eq!(filled("plain"), "plain");
    assert_eq!(filled("{{(index .Driver.Tags 1)}}{{(.Driver).SSHPort}}"), "b2222");
}

#[test]
fn functions_work_alone_and_in_pipelines() {
    for (format, wanted) in [
        ("{{json .Driver.Tags}}", r#"["a","b"]"#),
        ("{{.Driver.Tags | json}}", r#"["a","b"]"#),
        ("{{prettyjson .Labels}}", "{\n    \"a.b/c\": \"dotted\",\n    \"site\": \"lab\"\n}"),
        ("{{upper .Name}}{{lower \"AB\"}}{{title \"two words\"}}", "HOST1abTwo Words"),
        ("{{join .Driver.Tags \", \"}}", "a, b"),
        ("{{index (split .Driver.IPAddress \".\") 3}}", "2"),
        ("{{len .Name}}{{len .Driver.Tags}}{{len .Labels}}", "522"),
        ("{{index .Labels \"a.b/c\"}}{{index .Labels \"none\"}}", "dotted<no value>"),
        (
            "{{printf \"%s:%05d|%-6s|%q|%v|%%\" .Name .Driver.SSHPort \"x\" \"y\" .Up}}",
            "host1:02222|x     |\"y\"|true|%",
        ),
        (
            "{{printf \"%d\" .Name}}{{printf \"%s\"}}{{printf \"a\" 1}}",
            "%!d(host1)%!s(MISSING)a%!(EXTRA 1)",
        ),
        ("{{printf \"%.2f %x %.3s\" 1.5 255 \"abcdef\"}}", "1.50 ff abc"),
        ("{{.Name | printf \"%s-%s\" \"a\" | upper}}", "A-HOST1"),
        ("{{print 1 2 \"a\" \"b\" true}}", "1 2abtrue"),
        ("{{truncate .Name 2}}", "ho"),
    ] {
        assert_eq!(filled(format), wanted, "{format}");
    }
}

#[test]
fn conditions_choose() {
    for (format, wanted) in [
        ("{{if .Up}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Empty}}yes{{else if eq .Name \"x\" \"host1\"}}name{{else}}no{{end}}", "name"),
        ("{{if and .Up (gt .Driver.SSHPort 22)}}far{{end}}", "far"),
        ("{{if not (or .Empty .Driver.None)}}none{{end}}", "none"),
        ("{{or .Empty .Name}} {{and .Up 0}}", "host1 0"),
        ("{{ne 1 1.0}} {{le \"a\" \"b\"}} {{lt 2 1}} {{ge 2 2}}", "false true false true"),
        // What comes after the answer is not looked at.
        ("{{or .Up .Nothing}} {{and false .Nothing}}", "true false"),
        ("{{with .Driver.None}}x{{else}}none{{end}}", "none"),
    ] {
        assert_eq!(filled(format), wanted, "{format}");
    }
}

#[test]
fn lists_are_walked_and_variables_keep_values() {
    for (format, wanted) in [
        ("{{range .Driver.Tags}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $n, $tag := .Driver.Tags}}{{$n}}={{$tag}};{{end}}", "0=a;1=b;"),
        ("{{range $key, $v := .Labels}}{{$key}}={{$v}} {{end}}", "a.b/c=dotted site=lab "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{$x := .Name}}{{range .Driver.Tags}}{{$x = .}}{{end}}{{$x}}", "b"),
        ("{{$x := 1}}{{if .Up}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
        ("{{with $d := .Driver}}{{$d.SSHPort}}{{end}}", "2222"),
    ] {
        assert_eq!(filled(format), wanted, "{format}");
    }
}

#[test]
fn blanks_are_trimmed_and_comments_dropped() {
    assert_eq!(filled("a  {{- .Name -}}  b"), "ahost1b");
    assert_eq!(filled("a {{/* a word */}} b"), "a  b");
    assert_eq!(filled("a \n{{- /* a word */ -}}\n b"), "ab");
    assert_eq!(filled("{{-3}}"), "-3");
    assert_eq!(filled(r#"{{"tab\tquote\" \u00e9 }}"}}{{`raw \t`}}"#), "tab\tquote\" é }}raw \\t");
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    for (format, message, column, hint) in [
        ("{{.Nam}}", "there is no field `Nam` here", 3, "did you mean `Name`?"),
        ("{{.Driver.Xyzzy}}", "there is no field `Xyzzy` here", 10, "there are IPAddress, None"),
        ("{{.Name.Deep}}", "a text has no field `Deep`", 8, ""),
        ("a {{.Name", "this `{{` is never closed", 2, "close it with `}}`"),
        ("{{}}", "a value is missing here", 2, "such as"),
        ("{{nope .}}", "there is no function `nope`", 2, "there are and, eq"),
        ("{{if .Up}}x", "this has no `{{end}}`", 0, ""),
        ("{{end}}", "there is nothing to `end` here", 2, ""),
        ("{{.Name .Up}}", "only a function takes values behind it", 8, ""),
        ("{{.Name | .Up}}", "a function must stand behind `|`", 10, ""),
        ("{{$x}}", "there is no variable `$x`", 2, ""),
        ("{{if .Up}}{{$x := 1}}{{end}}{{$x}}", "there is no variable `$x`", 30, ""),
        ("{{\"a}}", "this text has no end", 2, ""),
        ("{{(.Name}}", "this `(` is never closed", 2, ""),
        ("{{len 3}}", "a number has no length", 2, ""),
        ("{{upper .Up}}", "a text is needed here, not a truth value", 2, ""),
        ("{{index .Driver.Tags 7}}", "the list has 2 parts, and no 7", 2, ""),
        ("{{range .Name}}{{end}}", "`range` needs a list, not a text", 8, ""),
        ("{{template \"x\"}}", "`template` is more than a format can do here", 2, ""),
        ("{{.Name ?}}", "`?` means nothing here", 8, ""),
        ("{{1x}}", "`1x` is not a number", 2, ""),
        ("{{if .Up}}{{else}}{{else}}{{end}}", "a second `else`", 20, ""),
    ] {
        let (said, at, hinted) = refused(format);
        assert_eq!(said, message, "{format}");
        assert_eq!(at, column, "{format}");
        assert!(hinted.contains(hint), "{format}: {hinted}");
    }
    let (_, column, _) = refused("first\nand {{.Nam}}");
    assert_eq!(column, 7);
}

#[test]
fn escapes_of_the_command_line_are_meant_outside_of_actions() {
    assert_eq!(unescaped(r#"{{.A}}\t{{"x\t"}}\n\\ \q"#), "{{.A}}\t{{\"x\\t\"}}\n\\ \\q");
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is typed gives a text or an error, and never ends the process.
        #[test]
        fn nothing_typed_is_a_crash(text in r#"([a-z {}().$|:="`\\/*é-]|\{\{|\}\}|\.Name|range |if |end|else|index |printf ){0,40}"#) {
            if let Ok(template) = Template::parse(&text) {
                drop(template.render(&data()));
            }
        }
    }
}
