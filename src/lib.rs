//! `fleet`: real machines running Docker, from one file.
//!
//! ```text
//! machines.toml ──► config ───► Spec ──────┐
//! .fleet/       ──► state ────► Record ────┼──► plan ──► Plan ──► apply ──► Record
//! drivers,guests ─► observe ──► Observed ──┘   (pure)     │         │
//!                                                         ▼         ▼
//!                                                     explain    events ──► sinks
//! ```
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`cli`] | global flags and the list of subcommands |
//! | [`commands`] | one file a subcommand: its arguments, its help, its `run` |
//! | [`config`] | `machines.toml` → [`config::Fleet`] of [`config::Spec`] |
//! | [`state`] | what fleet wrote down: lock, load, write atomically |
//! | [`observe`] | drivers and engines, asked in parallel |
//! | [`plan`] | spec + records + observation → plan, without I/O |
//! | [`apply`] | runs a plan: lanes, one gate, limits, cancellation |
//! | [`guest`] | everything inside a machine, over SSH; the seed of its first boot |
//! | [`gotemplate`] | the formats that users of docker know: part of Go's `text/template`
//! | [`copy`] | files and folders from one place to another, this host or a machine
//! | [`edit`] | `machines.toml` changed in place, its comments and layout kept
//! | [`engine`] | the Engine API over mutual TLS |
//! | [`pki`] | the fleet's certificates |
//! | [`images`] | base images: find, download, build, verify |
//! | [`report`] | sinks for events, and the only place with progress wording |
//! | [`registry`] | the only file that names concrete drivers |
//! | [`programs`] | where drivers that are programs of their own are found |
//! | [`host`] | environment, folders, streams and clock of the process |
//!
//! Drivers live in crates of their own below `drivers/`; the contract is
//! [`fleet_driver`]. Arrows never turn back: a driver cannot use this crate.

pub mod apply;
pub mod cli;
pub mod commands;
pub mod config;
pub mod copy;
pub mod edit;
pub mod engine;
pub mod gotemplate;
pub mod guest;
pub mod host;
pub mod images;
pub mod observe;
pub mod pki;
pub mod plan;
pub mod programs;
pub mod registry;
pub mod report;
pub mod state;
pub mod templates;
