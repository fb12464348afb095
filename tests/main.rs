//! The fast tests: fakes and loopback, no machine.

mod ssh;
mod support {
    pub mod ssh;
}
