//! Where each row of the matrix begins, what is then typed, and how it must end.

use super::compare;
use crate::support::world::{MANAGERS, THREE, World};

/// One row of the matrix.
pub struct Scene {
    pub name: &'static str,
    file: &'static str,
    names: &'static [&'static str],
    /// How the file changes before the command.
    edit: fn(String) -> String,
    /// What happened before the command.
    before: Before,
    /// What is typed.
    pub args: &'static [&'static str],
    /// How many points are tried, evenly spread; all of them if that is none.
    pub most: Option<usize>,
    pub end: End,
}

/// What happened before the command of a scene.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Up,
    /// `up`, and then one worker was stopped.
    Stopped,
    /// `up`, and then `.fleet` was deleted.
    Lost,
}

/// How a scene must end.
pub enum End {
    /// Nothing is left.
    Gone,
    /// These machines are there after the command, and after `up`; one of them was made
    /// anew.
    There {
        after: &'static [&'static str],
        finally: &'static [&'static str],
        anew: Option<&'static str>,
    },
}

const THREE_NAMES: &[&str] = &["host1", "worker-1", "worker-2"];
const MANAGER_NAMES: &[&str] = &["host-1", "host-2", "host-3"];

fn same(text: String) -> String {
    text
}

const ALL_THERE: End = End::There { after: THREE_NAMES, finally: THREE_NAMES, anew: None };

const PLAIN: Scene = Scene {
    name: "",
    file: THREE,
    names: THREE_NAMES,
    edit: same,
    before: Before::Up,
    args: &["up"],
    most: None,
    end: ALL_THERE,
};

pub const UP: Scene = Scene { name: "up", before: Before::Nothing, ..PLAIN };

pub const STOPPED: Scene =
    Scene { name: "up of what is stopped", before: Before::Stopped, most: Some(12), ..PLAIN };

pub const LOST: Scene =
    Scene { name: "up without .fleet", before: Before::Lost, most: Some(30), ..PLAIN };

pub const DOWN: Scene = Scene { name: "down", args: &["down"], end: End::Gone, ..PLAIN };

pub const DOWN_ONE: Scene = Scene {
    name: "down of one",
    args: &["down", "worker-1"],
    end: End::There { after: &["host1", "worker-2"], finally: THREE_NAMES, anew: Some("worker-1") },
    ..PLAIN
};

pub const PRUNE_WORKER: Scene = Scene {
    name: "up --prune of a worker",
    edit: |text| text.replace("count = 2", "count = 1"),
    args: &["up", "--prune"],
    end: End::There { after: &["host1", "worker-1"], finally: &["host1", "worker-1"], anew: None },
    ..PLAIN
};

pub const PRUNE_MANAGER: Scene = Scene {
    name: "up --prune of a manager",
    file: MANAGERS,
    names: MANAGER_NAMES,
    edit: |text| text.replace("count = 3", "count = 2"),
    args: &["up", "--prune"],
    end: End::There { after: &["host-1", "host-2"], finally: &["host-1", "host-2"], anew: None },
    ..PLAIN
};

pub const REPLACE: Scene = Scene {
    name: "up --replace",
    args: &["up", "--replace", "worker-1"],
    most: Some(12),
    end: End::There { after: THREE_NAMES, finally: THREE_NAMES, anew: Some("worker-1") },
    ..PLAIN
};

pub const RESTART: Scene = Scene {
    name: "up --restart",
    edit: |text| text.replace("[defaults]", "[defaults]\nmemory = \"3GiB\""),
    args: &["up", "--restart"],
    most: Some(12),
    ..PLAIN
};

pub const SETTINGS: Scene = Scene {
    name: "up with new settings",
    file: MANAGERS,
    names: MANAGER_NAMES,
    edit: |text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"),
    most: Some(12),
    end: End::There { after: MANAGER_NAMES, finally: MANAGER_NAMES, anew: None },
    ..PLAIN
};

pub const ROLES: Scene = Scene {
    name: "up with other roles",
    edit: |text| {
        let text = text.replace("\"worker\"", "\"other\"").replace("\"manager\"", "\"worker\"");
        text.replace("\"other\"", "\"manager\"")
    },
    most: Some(12),
    ..PLAIN
};

pub const AUTHORITY: Scene = Scene {
    name: "regenerate-certs --ca",
    args: &["regenerate-certs", "--ca", "--yes"],
    most: Some(16),
    ..PLAIN
};

impl Scene {
    /// A world of its own, as it is before the command.
    pub async fn world(&self) -> World {
        let world = World::new(self.file, self.names).await;
        if self.before != Before::Nothing {
            world.fleet(&["up"]).await.exits(0);
        }
        match self.before {
            Before::Nothing | Before::Up => {}
            Before::Stopped => drop(world.fleet(&["stop", "worker-1"]).await.exits(0)),
            Before::Lost => std::fs::remove_dir_all(world.dir().join(".fleet")).unwrap(),
        }
        world.edit(self.edit);
        world
    }

    /// Fails unless the world is as it must be after the command has come to its end, and
    /// is still so after one more `up`.
    pub async fn ends(&self, world: &World) {
        let End::There { after, finally, anew } = &self.end else {
            compare::gone(world);
            drop(world.fleet(self.args).await.exits(0).says("Nothing to remove"));
            return;
        };
        compare::same(world, after);
        if after != finally {
            world.fleet(&["up"]).await.exits(0);
        }
        world.fleet(&["plan", "--exit-code"]).await.exits(0);
        compare::same(world, finally);
        compare::made(world, finally, *anew);
        if self.file == MANAGERS {
            // A single manager that is interrupted cannot keep it.
            assert_eq!(world.sim.lost_quorum(), [], "the quorum");
        }
    }
}
