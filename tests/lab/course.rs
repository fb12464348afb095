//! What a reader of the README types once the machines are coming up, in that order,
//! whatever driver makes them.

use super::harness::{Lab, MINUTE};
use super::{spy, web};

/// Finishes the lab that was begun, uses it, and removes it.
pub fn run(lab: &Lab) {
    up(lab);
    use_it(lab);
    down(lab);
}

/// `fleet up`, and what it promises.
pub fn up(lab: &Lab) {
    lab.say("`fleet up` again finishes the work");
    let watch = spy::Watch::start(lab.dir());
    lab.fleet(&["up"]).within(15 * MINUTE).ok();
    watch.found_nothing(lab);

    lab.say("a second `up` has nothing to do");
    let again = lab.fleet(&["up"]).within(MINUTE).ok();
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    lab.say(&format!("  in {} ms", again.elapsed.as_millis()));
    lab.fleet(&["plan", "--exit-code"]).within(MINUTE).ok();

    let rows = lab.fleet(&["ls", "--json"]).within(MINUTE).ok().json();
    let column = |name: &str, key: &str| {
        let machines = rows["machines"].as_array().expect("an array");
        let row = machines.iter().find(|row| row["name"] == name).expect(name);
        row[key].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(column("host1", "swarm"), "manager (leader)");
    for name in ["worker-1", "worker-2"] {
        assert_eq!(column(name, "swarm"), "worker", "{rows}");
        assert_eq!(column(name, "state"), "Running", "{rows}");
    }

    lab.say("the user's own client, mutual TLS, three nodes ready");
    let nodes = lab.docker("host1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]);
    let nodes = nodes.within(MINUTE).ok().stdout;
    for name in ["host1", "worker-1", "worker-2"] {
        assert!(nodes.contains(&format!("{name} Ready")), "{nodes}");
    }
    lab.refuses_strangers("host1");
}

/// Services, commands, a node that stops and one that leaves.
pub fn use_it(lab: &Lab) {
    lab.say("a published service answers on every node");
    let image = web::image();
    for name in ["host1", "worker-1", "worker-2"] {
        lab.docker(name, &["import", "-c", web::COMMAND, "-", web::NAME])
            .stdin(image.clone())
            .within(2 * MINUTE)
            .ok();
    }
    let mut create = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "web"];
    create.extend(["--replicas", "6", "-p", "8080:80", web::NAME]);
    lab.docker("host1", &create).within(MINUTE).ok();
    lab.until("six tasks to run", 4 * MINUTE, || lab.tasks_on().values().sum::<usize>() == 6);
    for name in ["host1", "worker-1", "worker-2"] {
        lab.until(&format!("the mesh to answer on {name}"), 2 * MINUTE, || {
            let get = "curl -s --max-time 10 http://localhost:8080/";
            lab.fleet(&["ssh", name, get]).within(MINUTE).run().stdout.contains(web::BODY)
        });
    }

    lab.say("commands in machines keep their exit status and their streams");
    let uname = lab.fleet(&["ssh", "worker-1", "uname -a"]).within(MINUTE).ok();
    assert!(uname.stdout.starts_with("Linux worker-1 "), "{}", uname.stdout);
    let status = lab.fleet(&["ssh", "worker-1", "echo out; echo err >&2; exit 7"]);
    let status = status.within(MINUTE).run();
    assert_eq!((status.code, status.stdout.as_str()), (Some(7), "out\n"), "{}", status.stderr);
    assert!(status.stderr.contains("err"), "{}", status.stderr);

    lab.say("a stopped node's tasks move; the node comes back");
    let stopped = lab.fleet(&["stop", "worker-2"]).within(3 * MINUTE).ok();
    assert!(!stopped.stderr.contains("power was cut"), "{}", stopped.stderr);
    lab.until("the service to move", 4 * MINUTE, || {
        let tasks = lab.tasks_on();
        !tasks.contains_key("worker-2") && tasks.values().sum::<usize>() == 6
    });
    lab.fleet(&["up"]).within(6 * MINUTE).ok();
    let nodes = lab.docker("host1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]);
    assert!(nodes.within(MINUTE).ok().stdout.contains("worker-2 Ready"));
    let name = lab.fleet(&["ssh", "worker-2", "getent hosts host1"]).within(MINUTE).ok();
    assert!(name.stdout.contains("10.77.0."), "{}", name.stdout);

    lab.say("one machine leaves: drained, out of the swarm, gone");
    lab.fleet(&["down", "worker-2"]).within(5 * MINUTE).ok();
    let nodes = lab.docker("host1", &["node", "ls", "--format", "{{.Hostname}}"]);
    assert!(!nodes.within(MINUTE).ok().stdout.contains("worker-2"));
}

/// `fleet down` leaves nothing.
pub fn down(lab: &Lab) {
    lab.say("`fleet down` leaves nothing");
    lab.fleet(&["down"]).within(3 * MINUTE).ok();
    lab.nothing_is_left();
    let again = lab.fleet(&["down"]).within(MINUTE).ok();
    assert!(again.stderr.contains("Nothing to remove"), "{}", again.stderr);
}
