//! Real labs: machines that boot, a real engine, a real swarm, and the user's own `docker`
//! client over mutual TLS; everything torn down at the end.
//!
//! Few tests, since machines are expensive: what a reader of the README types, in that
//! order, with a kill of `fleet` in the middle of `up`; the same on a libvirtd that dies
//! meanwhile; a fleet on two libvirt hosts; and a fleet of managers that loses whatever can
//! be lost.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod course;
mod harness;
mod hypervisor;
mod libvirt;
mod losses;
mod spy;
mod web;

use std::time::Duration;

use harness::{Lab, MINUTE};

#[test]
fn the_lab_of_the_readme() {
    let lab = Lab::new("lab");
    lab.say("an image, built from packages where it is missing");
    lab.fleet(&["image", "ls"]).within(MINUTE).ok();
    lab.needs_image();

    lab.say("`fleet up`, killed while the machines boot");
    lab.fleet(&["up"]).killed_after(Duration::from_secs(12));
    let half = lab.fleet(&["ls", "--json"]).within(MINUTE).ok().json();
    assert_eq!(half["machines"].as_array().map(Vec::len), Some(3), "{half}");

    course::run(&lab);
}
