//! What is protected, and what has an end.

use fleet::host::Host;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::support::world::World;

/// A process that runs so much later.
fn later(world: &World, hours: i64) -> Host {
    world.host().with_clock(move || OffsetDateTime::now_utc() + Duration::hours(hours))
}

fn with_ttl(text: &str) -> String {
    text.replace("name = \"lab\"", "name = \"lab\"\nttl = \"8h\"")
}

async fn mortal() -> World {
    let world = World::three().await;
    world.edit(|text| with_ttl(&text));
    world.fleet(&["up"]).await.exits(0);
    world
}

fn says_nothing(done: &crate::support::scenario::Ended) {
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
}

#[tokio::test]
async fn what_is_protected_stays_unless_it_is_forced() {
    let world = World::three().await;
    world.edit(|text| format!("{text}protected = true\n"));
    world.fleet(&["up"]).await.exits(0);
    for words in [
        ["down"].as_slice(),
        &["down", "worker-1"],
        &["up", "--replace", "worker-2"],
        &["plan", "--replace", "worker-2"],
    ] {
        let refused = world.fleet(words).await.exits(5);
        for text in ["is protected", "protected = true", "--force"] {
            assert!(refused.stderr.contains(text), "no `{text}` in {}", refused.stderr);
        }
    }
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    // One that left the file stays protected.
    world.edit(|text| text.replace("count = 2", "count = 1"));
    world.fleet(&["up"]).await.exits(0);
    for words in [["up", "--prune"].as_slice(), &["down", "worker-2"]] {
        let refused = world.fleet(words).await.exits(5);
        assert!(refused.stderr.contains("`worker-2` is protected"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("remove `protected = true`"), "{}", refused.stderr);
    }
    assert_eq!(world.machines().len(), 3);
    world.fleet(&["up", "--prune", "--force"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
    world.fleet(&["down", "--force"]).await.exits(0);
    assert!(world.machines().is_empty());
}

#[tokio::test]
async fn protection_survives_a_lost_folder() {
    let world = World::three().await;
    world.edit(|text| format!("{text}protected = true\n"));
    world.fleet(&["up"]).await.exits(0);
    std::fs::remove_dir_all(world.dir().join(".fleet")).unwrap();
    world.edit(|text| text.replace("count = 2", "count = 1"));
    world.fleet(&["down", "worker-2"]).await.exits(5).says("is protected");
    assert_eq!(world.machines().len(), 3);
}

#[tokio::test]
async fn a_protected_fleet_stays() {
    let world = World::three().await;
    world.edit(|text| text.replace("name = \"lab\"", "name = \"lab\"\nprotected = true"));
    world.fleet(&["up"]).await.exits(0);
    for words in [["down"].as_slice(), &["down", "host1"], &["up", "--replace", "worker-1"]] {
        world.fleet(words).await.exits(5).says("is protected");
    }
    world.edit(|text| text.replace("protected = true", ""));
    world.fleet(&["down", "worker-1"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
}

#[tokio::test]
async fn the_list_shows_what_is_left() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let listed = world.fleet(&["ls"]).await.exits(0).stdout;
    assert!(!listed.contains("LEFT"), "{listed}");
    let listed = world.fleet(&["ls", "--json"]).await.exits(0).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(listed.get("expires").is_none());

    world.edit(|text| with_ttl(&text));
    world.fleet(&["up"]).await.exits(0);
    let listed = world.fleet(&["ls"]).await.exits(0).stdout;
    assert_eq!(listed.matches("7 h 59 min").count(), 3, "{listed}");
    assert!(listed.lines().next().unwrap().trim_end().ends_with("LEFT"), "{listed}");
    let listed = world.fleet_on(&later(&world, 7), &["ls", "--json"]).await.exits(0).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let left = listed["seconds_left"].as_i64().unwrap();
    assert!((3000..3600).contains(&left), "{left}");
    let expires = listed["expires"].as_str().unwrap();
    let format = &time::format_description::well_known::Rfc3339;
    assert!(OffsetDateTime::parse(expires, format).is_ok());
    let listed = world.fleet_on(&later(&world, 9), &["ls"]).await.exits(0).stdout;
    assert_eq!(listed.matches("over").count(), 3, "{listed}");
}

#[tokio::test]
async fn what_is_over_is_reaped() {
    let world = mortal().await;
    says_nothing(&world.fleet(&["reap"]).await.exits(0));
    says_nothing(&world.fleet_on(&later(&world, 7), &["reap"]).await.exits(0));
    let nothing = world.fleet(&["reap", "--json"]).await.exits(0).stdout;
    let nothing: Value = serde_json::from_str(&nothing).unwrap();
    assert_eq!(nothing["fleets"], serde_json::json!([]));
    let listed = world.fleet_on(&later(&world, 9), &["reap", "--dry-run"]).await.exits(0).stdout;
    assert!(listed.contains("would be removed"), "{listed}");
    assert_eq!(world.machines().len(), 3);
    // A longer time in the file counts at once.
    world.edit(|text| text.replace("8h", "10h"));
    says_nothing(&world.fleet_on(&later(&world, 9), &["reap"]).await.exits(0));
    world.edit(|text| text.replace("10h", "30 min"));
    let reaped = world.fleet_on(&later(&world, 1), &["reap"]).await.exits(0).stdout;
    assert!(reaped.contains("has been over for") && reaped.contains("removed"), "{reaped}");
    assert!(world.machines().is_empty());
    assert!(!world.dir().join(".fleet").exists());
    says_nothing(&world.fleet_on(&later(&world, 9), &["reap"]).await.exits(0));
}

#[tokio::test]
async fn what_is_over_is_reaped_wherever_it_was() {
    let world = mortal().await;
    let elsewhere = world.dir().parent().unwrap().to_owned();
    std::fs::remove_dir_all(world.dir()).unwrap();
    let at = |hours: i64| {
        world
            .host_in(&elsewhere)
            .with_clock(move || OffsetDateTime::now_utc() + Duration::hours(hours))
    };
    says_nothing(&world.fleet_on(&at(7), &["reap"]).await.exits(0));
    world.fleet_on(&at(9), &["reap"]).await.exits(0);
    assert!(world.machines().is_empty());
    says_nothing(&world.fleet_on(&at(9), &["reap"]).await.exits(0));
}

#[tokio::test]
async fn reaping_leaves_alone_what_is_protected_or_cannot_be_read() {
    let world = mortal().await;
    world.edit(|text| format!("{text}protected = true\n"));
    let done = world.fleet_on(&later(&world, 9), &["reap"]).await.exits(0);
    assert!(done.stdout.contains("protected"), "{}", done.stdout);
    assert_eq!(world.machines().len(), 3);
    world.edit(|text| text.replace("protected = true\n", "nonsense"));
    let done = world.fleet_on(&later(&world, 9), &["reap"]).await.exits(1);
    assert!(done.stdout.contains("not removed"), "{}", done.stdout);
    assert!(done.stdout.contains("machines.toml"), "{}", done.stdout);
    assert_eq!(world.machines().len(), 3);
}

#[tokio::test]
async fn reaping_waits_for_a_fleet_at_which_somebody_works() {
    let world = mortal().await;
    let file = std::fs::File::open(world.dir().join(".fleet/lock")).unwrap();
    file.try_lock().unwrap();
    let done = world.fleet_on(&later(&world, 9), &["reap"]).await.exits(1);
    assert!(done.stdout.contains("at work"), "{}", done.stdout);
    drop(file);
    world.fleet_on(&later(&world, 9), &["reap"]).await.exits(0);
    assert!(world.machines().is_empty());
}
