//! Real machines on real QEMU, under emulation, with guests of 512 bytes.

mod conformance;
mod fleets;
mod killed;
mod losses;
mod promises;
mod stand;
mod trial;
