//! Builds the host, calls the library, returns the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The one TLS library of the process; a second call has no effect.
    drop(rustls::crypto::ring::default_provider().install_default());
    let host = match fleet::host::Host::system() {
        Ok(host) => host,
        Err(error) => return fleet::cli::no_folder(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fleet::cli::no_folder(&error),
    };
    let code = runtime.block_on(fleet::cli::main(host, std::env::args_os()));
    // A thread may still be reading a terminal; nobody waits for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}
