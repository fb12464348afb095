//! The program through which fleet reaches libvirt.

use std::process::ExitCode;
use std::sync::Arc;

use fleet_libvirt::hosts;
use fleet_libvirt::native::Libvirt;

fn main() -> ExitCode {
    fleet_driver::program::serve(|settings| {
        hosts::check(settings)?;
        Ok(Arc::new(Libvirt::new(settings.clone())))
    })
}
