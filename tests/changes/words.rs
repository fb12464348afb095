//! What a person reads, and what programs do.

use serde_json::Value;

use crate::support::world::{THREE, World};

#[tokio::test]
async fn names_that_were_mistyped_are_guessed() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    for words in [
        ["up", "wroker-1"].as_slice(),
        &["up", "--replace", "wroker-1"],
        &["plan", "--replace", "wroker-1"],
        &["down", "wroker-1"],
        &["restart", "wroker-1"],
        &["regenerate-certs", "wroker-1"],
    ] {
        world.fleet(words).await.exits(5).says("did you mean `worker-1`?");
    }
}

#[tokio::test]
async fn quiet_is_quiet_and_json_is_json() {
    let world = World::three().await;
    for words in [["up", "--quiet"].as_slice(), &["up", "--quiet"], &["adopt", "--quiet"]] {
        let done = world.fleet(words).await.exits(0);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""), "{words:?}");
    }
    for words in [
        ["plan", "--json"].as_slice(),
        &["up", "--json"],
        &["adopt", "--json"],
        &["gc", "--json"],
        &["gc", "--json", "--dry-run"],
        &["reap", "--json"],
        &["ls", "--json"],
        &["regenerate-certs", "--json"],
        &["up", "--json", "--replace", "nobody"],
        &["gc", "nobody", "--json"],
        &["adopt", "nobody", "--json"],
    ] {
        let done = world.fleet(words).await;
        assert_eq!(done.stderr, "", "{words:?}");
        assert!(!done.stdout.is_empty(), "{words:?}");
        for line in done.stdout.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{words:?}: {line}");
        }
    }
    for words in [["gc", "--quiet"].as_slice(), &["reap", "--quiet"], &["down", "--quiet"]] {
        let done = world.fleet(words).await.exits(0);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""), "{words:?}");
    }
}

#[tokio::test]
async fn a_plan_reads_like_a_plan() {
    let world = World::new(THREE, &["host1", "worker-1", "worker-2", "worker-3"]).await;
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
    world.edit(|text| text.replace("count = 2", "count = 3"));
    let text = world.fleet(&["plan"]).await.exits(0).stdout;
    for part in [
        "worker-3\n  create the machine: it does not exist\n  start it\n",
        "then, one after the other:\nhost1\n  drain its node, so that its tasks run elsewhere\n",
        "  go in by SSH, with its pinned host key: its engine has other settings than the file\n",
        "steps on 4 machines.\n",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let brought = world.fleet(&["up"]).await.exits(0);
    // In brief, the reason counts, not the way.
    assert!(brought.stderr.contains("(its engine has other settings"), "{}", brought.stderr);
}

#[tokio::test]
async fn every_new_command_explains_itself() {
    let world = World::three().await;
    for (command, text) in [
        ("up", "--replace <NAME>"),
        ("down", "--force"),
        ("plan", "--prune"),
        ("adopt", "--force"),
        ("gc", "--dry-run"),
        ("reap", "--dry-run"),
        ("regenerate-certs", "--ca"),
    ] {
        let help = world.fleet(&[command, "--help"]).await.exits(0).stdout;
        assert!(help.contains(text) && help.contains("Usage: fleet"), "{help}");
    }
}

#[tokio::test]
async fn each_step_of_a_plan_has_a_reason() {
    let world = World::three().await;
    let reasons = async |words: &[&str]| {
        let plan = world.fleet(words).await.exits(0).stdout;
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let machines = plan["machines"].as_array().unwrap().clone();
        let steps = machines.into_iter().flat_map(|m| m["steps"].as_array().unwrap().clone());
        steps.map(|step| step["why"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let made = reasons(&["plan", "--json"]).await;
    assert!(made.len() > 20 && made.iter().all(|why| why == "it does not exist"), "{made:?}");
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| format!("{text}\n[engine]\nlabels = {{ site = \"lab\" }}\n"));
    let changed = reasons(&["plan", "--json"]).await;
    assert!(
        !changed.is_empty() && changed.iter().all(|why| why.contains("settings")),
        "{changed:?}"
    );
}
