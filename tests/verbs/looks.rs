//! `ls`, `inspect`, `version`, `active`: what is shown, through which format, and what of
//! it when a driver fails or never answers.

use fleet_driver::ErrorKind;
use fleet_driver::fake::{ANY, Verb};
use serde_json::Value;

use crate::support::world::World;

async fn up() -> World {
    let world = World::three().await;
    world.edit(|text| text.replace("count = 2", "count = 2\nlabels.site = \"attic\""));
    world.fleet(&["up"]).await.exits(0);
    world
}

/// What a command that must do well prints.
async fn shown(world: &World, words: &[&str]) -> String {
    world.fleet(words).await.exits(0).stdout
}

#[tokio::test]
async fn rows_are_filtered() {
    let world = up().await;
    for (filters, wanted) in [
        (["name=worker"].as_slice(), "worker-1\nworker-2\n"),
        (&["name=1$"], "host1\nworker-1\n"),
        (&["name=1$", "label=site=attic"], "worker-1\n"),
        (&["state=running", "name=host"], "host1\n"),
        (&["state=Stopped"], ""),
        (&["swarm=worker", "swarm=leader"], "host1\nworker-1\nworker-2\n"),
        (&["swarm=manager"], "host1\n"),
        (&["swarm=host1"], "host1\nworker-1\nworker-2\n"),
        (&["driver=qemu", "name=2"], "worker-2\n"),
        (&["driver=azure"], ""),
    ] {
        let mut words = vec!["ls", "-q"];
        words.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        assert_eq!(shown(&world, &words).await, wanted, "{filters:?}");
    }
    world.fleet(&["ls", "--filter", "colour=red"]).await.exits(2).says("there is no filter");
    let table = shown(&world, &["ls", "--filter", "name=host1"]).await;
    assert_eq!(table.lines().count(), 2, "{table}");
}

#[tokio::test]
async fn rows_go_through_a_format() {
    let world = up().await;
    let format = r"{{.Name}}\t{{.State}}{{if .EngineOptions.Labels}}!{{end}}";
    assert_eq!(
        shown(&world, &["ls", "-f", format]).await,
        "host1\tRunning\nworker-1\tRunning\nworker-2\tRunning\n"
    );
    let table =
        shown(&world, &["ls", "--format", r"table {{.Name}}\t{{.DriverName | upper}}"]).await;
    assert_eq!(table, "NAME       DRIVER\nhost1      QEMU\nworker-1   QEMU\nworker-2   QEMU\n");
    let lines = shown(&world, &["ls", "--format", "json", "--filter", "name=host"]).await;
    let row: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(
        (row["Name"].as_str(), row["Swarm"].as_str()),
        (Some("host1"), Some("manager (leader)"))
    );
    assert_eq!(
        shown(
            &world,
            &["ls", "-f", "{{.DockerVersion}} {{.Labels.site}}", "--filter", "name=worker-1"]
        )
        .await
        .trim(),
        "v20.10.24 attic"
    );
    let wrong = world.fleet(&["ls", "-f", "{{.Nam}}"]).await.exits(2);
    assert!(
        wrong.stderr.contains("did you mean `Name`?") && wrong.stderr.contains('^'),
        "{}",
        wrong.stderr
    );
    // Who means the file is told.
    world.fleet(&["ls", "-f", "machines.toml"]).await.exits(2).says("--file");
    assert_eq!(shown(&world, &["-f", "machines.toml", "ls", "-q"]).await.lines().count(), 3);
    assert_eq!(shown(&world, &["ls", "--file", "machines.toml", "-q"]).await.lines().count(), 3);
}

#[tokio::test]
async fn a_driver_that_fails_is_a_row() {
    let world = up().await;
    world.fake.fail("worker-1", Verb::Inspect, ErrorKind::Driver, usize::MAX);
    let listed = shown(&world, &["ls"]).await;
    let row = listed.lines().find(|line| line.starts_with("worker-1")).unwrap();
    assert!(row.contains("Unknown") && row.contains("told to fail"), "{listed}");
    assert_eq!(listed.matches("Running").count(), 2, "{listed}");
    let listed = shown(&world, &["ls", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["machines"][1]["state"], "Unknown");
    assert!(listed["machines"][1]["error"].as_str().unwrap().contains("told to fail"));
    // Whoever changes anything does not guess.
    world.fleet(&["up"]).await.exits(6);
    world.fake.mend("worker-1", Verb::Inspect);
    world.fake.fail(ANY, Verb::List, ErrorKind::Driver, usize::MAX);
    world.fleet(&["ls"]).await.exits(0).says("may be missing here");
}

#[tokio::test]
async fn a_driver_that_hangs_is_a_row_too() {
    let world = up().await;
    world.fake.hang("worker-2", Verb::Inspect);
    world.fake.hang(ANY, Verb::List);
    let listed = world.fleet(&["ls", "-t", "1"]).await.exits(0);
    let row = listed.stdout.lines().find(|line| line.starts_with("worker-2")).unwrap();
    assert!(row.contains("Timeout") && row.contains("within 1 s"), "{}", listed.stdout);
    assert_eq!(listed.stdout.matches("Running").count(), 2, "{}", listed.stdout);
    let url = shown(&world, &["url", "host1"]).await;
    let env = [("DOCKER_HOST", url.trim())];
    let host = world.host_with(&env);
    let active = world.fleet_on(&host, &["active", "-t", "1"]).await.exits(0);
    assert_eq!(active.stdout, "host1\n");
}

#[tokio::test]
async fn scripts_find_what_docker_machine_told_them() {
    let world = up().await;
    let inspect = async |format: &str| {
        shown(&world, &["inspect", "-f", format, "host1"]).await.trim_end().to_owned()
    };
    let ssh = world.sim.ssh("host1");
    assert_eq!(
        inspect("{{.Driver.IPAddress}}:{{.Driver.SSHPort}} {{.Driver.SSHUser}} {{.DriverName}}")
            .await,
        format!("{ssh} fleet qemu")
    );
    assert_eq!(
        inspect("{{.Name}} {{.Driver.MachineName}} {{.name}} {{.spec.cpus}}").await,
        "host1 host1 host1 1"
    );
    for path in [
        ".Driver.SSHKeyPath",
        ".HostOptions.AuthOptions.CaCertPath",
        ".HostOptions.AuthOptions.ClientCertPath",
        ".HostOptions.AuthOptions.ClientKeyPath",
        ".HostOptions.AuthOptions.CertDir",
        ".HostOptions.AuthOptions.StorePath",
    ] {
        let file = inspect(&format!("{{{{{path}}}}}")).await;
        assert!(std::path::Path::new(&file).exists(), "{path}: {file}");
    }
    let options = inspect("{{json .HostOptions.EngineOptions}}").await;
    let options: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(options["TlsVerify"], true);
    let pretty = inspect("{{prettyjson .Driver}}").await;
    assert!(pretty.contains("\n    \"MachineName\": \"host1\""), "{pretty}");
    let all = shown(&world, &["inspect", "-f", "{{.Name}}"]).await;
    assert_eq!(all, "host1\nworker-1\nworker-2\n");
    // Without a format nothing has changed.
    let plain: Value = serde_json::from_str(&shown(&world, &["inspect", "host1"]).await).unwrap();
    assert!(plain[0].get("Driver").is_none() && plain[0].get("spec").is_some());
}

#[tokio::test]
async fn versions_are_told() {
    let world = up().await;
    assert_eq!(shown(&world, &["version"]).await, format!("fleet {}\n", env!("CARGO_PKG_VERSION")));
    assert!(shown(&world, &["version", "host1"]).await.starts_with("20.10.24"));
    let json: Value =
        serde_json::from_str(&shown(&world, &["version", "host1", "--json"]).await).unwrap();
    assert_eq!(json["machine"], "host1");
    world.fleet(&["stop", "worker-1"]).await.exits(0);
    world.fleet(&["version", "worker-1"]).await.exits(5).says("fleet start worker-1");
}
