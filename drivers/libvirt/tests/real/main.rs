//! The driver on a real libvirt, whose URI is in `FLEET_TEST_LIBVIRT_URI`; nothing is
//! tested without it.
//!
//! The guests of the contract have 512 bytes. `FLEET_TEST_LIBVIRT_IMAGE` may name a qcow2
//! image that boots to a login prompt on its serial port, for the whole life of a machine.

#![cfg(feature = "native")]

mod contract;
mod life;
mod stand;
