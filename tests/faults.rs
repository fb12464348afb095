//! What a fleet lives through: its process is killed at every point, its driver fails, the
//! disk is full, guests and the way to them are broken. The same command goes on from
//! there.

mod compare;
mod halfway;
mod kills;
mod matrix;
mod room;
mod scenes;
mod ways;

use std::io::Write as _;

/// Tells the reader of the test's output.
fn say(what: &str) {
    writeln!(std::io::stderr(), "{what}").expect("stderr is open");
}

/// What decides which of many cases are run, if not all of them: `FLEET_SEED`.
fn seed() -> u64 {
    std::env::var("FLEET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20)
}

/// The next of a row of numbers that look random (Knuth's MMIX).
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}
