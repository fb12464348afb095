//! The page about the protocol tells what the code does; specs and errors travel whole.

use std::collections::BTreeSet;

use serde_json::Value;

use super::failure::{Failure, KINDS};
use super::wire::{Call, FromProgram, Id, Ready, ToProgram, Told, line};
use crate::spec::{Capabilities, Card, Console, Finding, Sighting, Snapshot};
use crate::{Error, ErrorKind, MachineId, VmSpec};

const PAGE: &str = include_str!("../../../../docs/driver-protocol.md");

/// The messages that the page shows.
fn examples() -> Vec<Value> {
    let blocks = PAGE.split("```json\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap_or_default());
    blocks
        .map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")))
        .collect()
}

/// The message as the types have it, written again: all that the types know of it.
fn again(message: &Value) -> Value {
    let text = message.to_string();
    let from = ["ready", "refused", "answer", "failed", "event"];
    let kind = message["type"].as_str().unwrap();
    let written = if from.contains(&kind) {
        line(&serde_json::from_str::<FromProgram>(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    } else {
        line(&serde_json::from_str::<ToProgram>(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    };
    serde_json::from_str(&written).unwrap()
}

/// What the second has is in the first too.
fn missing(in_page: &Value, in_code: &Value, path: &str, found: &mut Vec<String>) {
    match (in_page, in_code) {
        (Value::Object(page), Value::Object(code)) => {
            for key in page.keys().chain(code.keys()).collect::<BTreeSet<_>>() {
                let path = format!("{path}.{key}");
                match (page.get(key), code.get(key)) {
                    (Some(page), Some(code)) => missing(page, code, &path, found),
                    // What may be left out is left out of some examples.
                    (None, Some(code)) if code.is_null() || *code == Value::Array(vec![]) => {}
                    _ => found.push(path),
                }
            }
        }
        (page, code) if page == code => {}
        (Value::Array(page), Value::Array(code)) if page.len() == code.len() => {
            for (page, code) in page.iter().zip(code) {
                missing(page, code, path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_example_is_what_the_types_say() {
    for example in examples() {
        let mut found = Vec::new();
        missing(&example, &again(&example), "", &mut found);
        assert!(found.is_empty(), "{found:?} of {example}");
    }
}

#[test]
fn every_value_is_that_of_its_verb() {
    fn read<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let read: T = serde_json::from_value(value.clone()).unwrap();
        missing(value, &serde_json::to_value(read).unwrap(), "", &mut found);
        found
    }
    let value = |id: u64| {
        let all = examples();
        let example = all.iter().find(|e| e["type"] == "answer" && e["id"] == id);
        example.expect("the page has this answer")["value"].clone()
    };
    assert_eq!(read::<Vec<Finding>>(&value(3)), [""; 0]);
    assert_eq!(read::<Vec<Id>>(&value(4)), [""; 0]);
    assert_eq!(read::<Option<Sighting>>(&value(5)), [""; 0]);
    assert_eq!(read::<Vec<Card>>(&value(6)), [""; 0]);
    assert_eq!(read::<Vec<Snapshot>>(&value(11)), [""; 0]);
    assert_eq!(read::<Option<Console>>(&value(5)["console"]), [""; 0]);
}

#[test]
fn everything_that_the_code_has_is_on_the_page() {
    let seen: BTreeSet<String> = examples()
        .iter()
        .flat_map(|example| [example["type"].clone(), example["event"]["type"].clone()])
        .filter_map(|kind| kind.as_str().map(str::to_owned))
        .collect();
    // Both matches stop compiling when a message is added: it then belongs on the page.
    let to = |message: &ToProgram| match message {
        ToProgram::Hello(_)
        | ToProgram::Call(_)
        | ToProgram::Cancel { .. }
        | ToProgram::Unknown => {}
    };
    to(&ToProgram::Unknown);
    let from = |message: &FromProgram| match message {
        FromProgram::Ready(_)
        | FromProgram::Refused { .. }
        | FromProgram::Answer { .. }
        | FromProgram::Failed { .. }
        | FromProgram::Event { .. }
        | FromProgram::Unknown => {}
    };
    from(&FromProgram::Unknown);
    let told = |event: &Told| match event {
        Told::Advanced { .. }
        | Told::Line { .. }
        | Told::Waiting { .. }
        | Told::Note { .. }
        | Told::Unknown => {}
    };
    told(&Told::Unknown);
    let messages = ["hello", "call", "cancel", "ready", "refused", "answer", "failed", "event"];
    for kind in messages.into_iter().chain(["advanced", "line", "waiting", "note"]) {
        assert!(seen.contains(kind), "the page has no example of `{kind}`");
    }
    for (kind, _) in KINDS {
        assert!(PAGE.contains(&format!("| `{kind}` |")), "the page does not tell of `{kind}`");
    }
    let verbs = include_str!("perform.rs").lines().filter_map(|line| {
        let (verb, _) = line.trim().strip_prefix('"')?.split_once("\" => ")?;
        Some(verb)
    });
    let verbs: Vec<&str> = verbs.collect();
    assert_eq!(verbs.len(), 15, "{verbs:?}");
    for verb in verbs {
        assert!(PAGE.contains(&format!("| `{verb}` |")), "the page does not tell of `{verb}`");
    }
    let abilities = serde_json::to_value(Capabilities::default()).unwrap();
    for ability in abilities.as_object().unwrap().keys() {
        assert!(PAGE.contains(&format!("\"{ability}\"")), "the page has no `{ability}`");
    }
    let call = Call {
        machine: Some((&MachineId::new("lab", "host1")).into()),
        fleet: Some("lab".to_owned()),
        name: Some("one".to_owned()),
        ..Call::default()
    };
    for field in serde_json::to_value(call).unwrap().as_object().unwrap().keys() {
        assert!(PAGE.contains(&format!("`{field}`")), "the page does not tell of `{field}`");
    }
}

#[test]
fn whatever_is_unknown_is_ignored() {
    let ready: FromProgram =
        serde_json::from_str(r#"{"type":"ready","protocol":1,"colour":"red"}"#).unwrap();
    let FromProgram::Ready(Ready { concurrency: 1, capabilities, .. }) = ready else {
        panic!("it is no other message");
    };
    assert_eq!(capabilities, Capabilities::default());
    let later: FromProgram = serde_json::from_str(r#"{"type":"song","id":{"a":1}}"#).unwrap();
    assert!(matches!(later, FromProgram::Unknown));
    let later: ToProgram = serde_json::from_str(r#"{"type":"song","verse":[1]}"#).unwrap();
    assert!(matches!(later, ToProgram::Unknown));
}

#[test]
fn a_seed_that_is_no_base64_is_not_quoted() {
    let all = examples();
    let create = all.iter().find(|e| e["verb"] == "create").unwrap();
    let mut spec = create["spec"].clone();
    spec["seed"][0]["base64"] = "top-secret!".into();
    let vm: super::vm::Vm = serde_json::from_value(spec).unwrap();
    let error = VmSpec::try_from(vm).unwrap_err();
    assert!(!format!("{error:?} {:?}", error.causes()).contains("top-secret"));
}

#[test]
fn context_of_many_names_is_bounded() {
    for n in 0..200 {
        let failure = Failure {
            kind: "later".to_owned(),
            message: "no".to_owned(),
            context: vec![(format!("key {n}"), "value".to_owned())],
            hint: None,
            causes: vec!["outer".to_owned(), "inner".to_owned()],
        };
        let error: Error = failure.error();
        assert_eq!(error.kind(), ErrorKind::Driver);
        assert_eq!(error.causes(), ["outer", "inner"]);
        assert_eq!(error.context()[0].1, "value");
        if n == 199 {
            assert_eq!(error.context()[0].0, "detail");
        }
    }
}
