//! The driver for libvirt: QEMU and KVM on this host or on others.
//!
//! Everything is asked of libvirt's own interface, so that a machine may live on any host
//! that a URI names. The modules here decide: they read options, write XML and choose
//! hosts, and build everywhere. What talks to libvirt is in `native`, behind the feature of
//! that name, since it needs libvirt's library.

pub mod errors;
pub mod fragments;
pub mod hosts;
pub mod memory;
pub mod names;
#[cfg(feature = "native")]
pub mod native;
pub mod network;
pub mod options;
pub mod place;
pub mod record;
pub mod xml;
