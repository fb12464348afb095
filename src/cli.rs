//! Global flags, the list of subcommands, and the `match` that calls them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::commands::{self, Exit, Failure};
use crate::host::Host;

/// Real machines running Docker, from one file.
#[derive(Debug, Parser)]
#[command(name = "fleet", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The file to use, instead of `machines.toml` here or in a folder above
    #[arg(long, short = 'f', global = true, value_name = "PATH", env = "FLEET_FILE")]
    pub file: Option<PathBuf>,
    /// Print results and events as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print a line for each event instead of a live display
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// `--file` without its short form, for commands whose `-f` is another word.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LongFile {
    /// The file to use, instead of `machines.toml` here or in a folder above
    #[arg(
        id = "file",
        long = "file",
        value_name = "PATH",
        env = "FLEET_FILE",
        help_heading = "Everywhere"
    )]
    path: Option<PathBuf>,
}

impl LongFile {
    /// Gives back a format that was typed behind `-f`, unless it must be a file's name.
    ///
    /// # Errors
    /// `Usage`: it holds nothing to fill in, and there is such a file.
    pub fn check<'a>(&self, format: &'a str, host: &Host) -> fleet_driver::Result<&'a str> {
        let file = host.cwd().join(format);
        if self.path.is_none() && !format.contains("{{") && file.is_file() {
            let error = fleet_driver::Error::usage("a format was wanted, and this is a file");
            return Err(error
                .with("file", file.display())
                .hint("here `-f` is the format; name the file with `--file`, or write `-f` first: `fleet -f PATH …`"));
        }
        Ok(format)
    }
}

/// The subcommands; a word here would hide the whole help that their `Args` have.
#[derive(Debug, Subcommand)]
enum Command {
    Up(commands::up::Args),
    Plan(commands::plan::Args),
    Down(commands::down::Args),
    Create(Box<commands::create::Args>),
    Rm(commands::rm::Args),
    Adopt(commands::adopt::Args),
    Gc(commands::gc::Args),
    Reap(commands::reap::Args),
    RegenerateCerts(commands::regenerate_certs::Args),
    Provision(commands::provision::Args),
    Upgrade(commands::upgrade::Args),
    #[command(visible_alias = "list")]
    Ls(commands::ls::Args),
    Status(commands::status::Args),
    Env(commands::env::Args),
    Ssh(commands::ssh::Args),
    Scp(commands::scp::Args),
    Mount(commands::mount::Args),
    #[command(visible_alias = "resume")]
    Start(commands::start::Args),
    Stop(commands::stop::Args),
    Kill(commands::kill::Args),
    Suspend(commands::suspend::Args),
    Snapshot(commands::snapshot::Args),
    Restart(commands::restart::Args),
    Ip(commands::ip::Args),
    Url(commands::url::Args),
    Config(commands::config::Args),
    Active(commands::active::Args),
    Version(commands::version::Args),
    Inspect(commands::inspect::Args),
    Console(commands::console::Args),
    Logs(commands::logs::Args),
    Image(commands::image::Args),
    Driver(commands::driver::Args),
    Init(commands::init::Args),
    Validate(commands::validate::Args),
    Schema(commands::schema::Args),
}

/// Runs the program: parses, calls, renders a failure, gives the exit code.
pub async fn main(host: Host, args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&host, &error),
    };
    let _listening = interrupts(&host);
    let global = cli.global.clone();
    let result = run(cli, &host).await;
    host.registry().end().await;
    match result {
        Ok(code) => code,
        Err(Failure::BrokenPipe) => 0,
        Err(failure) => commands::complain(&host, &global, &failure),
    }
}

async fn run(cli: Cli, host: &Host) -> Exit {
    let global = &cli.global;
    match cli.command {
        Command::Up(args) => commands::up::run(args, host, global).await,
        Command::Plan(args) => commands::plan::run(args, host, global).await,
        Command::Down(args) => commands::down::run(args, host, global).await,
        Command::Rm(args) => commands::rm::run(args, host, global).await,
        Command::Create(args) => commands::create::run(*args, host, global).await,
        Command::Adopt(args) => commands::adopt::run(args, host, global).await,
        Command::Gc(args) => commands::gc::run(args, host, global).await,
        Command::Reap(args) => commands::reap::run(args, host, global).await,
        Command::RegenerateCerts(args) => commands::regenerate_certs::run(args, host, global).await,
        Command::Upgrade(args) => commands::upgrade::run(args, host, global).await,
        Command::Provision(args) => commands::provision::run(args, host, global).await,
        Command::Ls(args) => commands::ls::run(args, host, global).await,
        Command::Status(args) => commands::status::run(args, host, global).await,
        Command::Env(args) => commands::env::run(args, host, global).await,
        Command::Ssh(args) => commands::ssh::run(args, host, global).await,
        Command::Mount(args) => commands::mount::run(args, host, global).await,
        Command::Scp(args) => commands::scp::run(args, host, global).await,
        Command::Start(args) => commands::start::run(args, host, global).await,
        Command::Stop(args) => commands::stop::run(args, host, global).await,
        Command::Kill(args) => commands::kill::run(args, host, global).await,
        Command::Suspend(args) => commands::suspend::run(args, host, global).await,
        Command::Snapshot(args) => commands::snapshot::run(args, host, global).await,
        Command::Restart(args) => commands::restart::run(args, host, global).await,
        Command::Ip(args) => commands::ip::run(args, host, global).await,
        Command::Url(args) => commands::url::run(args, host, global).await,
        Command::Config(args) => commands::config::run(args, host, global).await,
        Command::Active(args) => commands::active::run(args, host, global).await,
        Command::Version(args) => commands::version::run(args, host, global).await,
        Command::Inspect(args) => commands::inspect::run(args, host, global).await,
        Command::Console(args) => commands::console::run(args, host, global).await,
        Command::Logs(args) => commands::logs::run(args, host, global).await,
        Command::Image(args) => commands::image::run(args, host, global).await,
        Command::Driver(args) => commands::driver::run(args, host, global).await,
        Command::Init(args) => commands::init::run(args, host, global).await,
        Command::Validate(args) => commands::validate::run(args, host, global).await,
        Command::Schema(args) => commands::schema::run(args, host, global).await,
    }
}

/// Help and version go to standard output, complaints to standard error.
fn usage(host: &Host, error: &clap::Error) -> u8 {
    let to_stdout = !error.use_stderr();
    let colour = if to_stdout { host.stdout_has_colour() } else { host.stderr_has_colour() };
    let text = error.render();
    let text = if colour { text.ansi().to_string() } else { text.to_string() };
    if to_stdout {
        drop(host.out(&text));
    } else {
        host.err(&text);
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// The first Ctrl-C (or SIGTERM) asks running steps to end, the second ends the
/// process.
///
/// Listens until what it gives is dropped, on a thread of its own: whatever keeps all
/// others from going on, the second is heard.
fn interrupts(host: &Host) -> DropGuard {
    let host = host.clone();
    let over = CancellationToken::new();
    let until = over.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        let listen = async {
            // Without a gap: the second may come right after the first.
            let Some(mut asked) = Asked::listen() else { return };
            asked.end().await;
            host.cancel().cancel();
            asked.end().await;
            leave(130);
        };
        runtime.block_on(until.run_until_cancelled(listen));
    });
    over.drop_guard()
}

/// What asks the process to end.
#[cfg(unix)]
struct Asked([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Asked {
    fn listen() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let to = |kind| signal(kind).ok();
        Some(Self([
            to(SignalKind::interrupt())?,
            to(SignalKind::terminate())?,
            to(SignalKind::hangup())?,
        ]))
    }

    async fn end(&mut self) {
        let Self([int, term, hup]) = self;
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Asked;

#[cfg(not(unix))]
impl Asked {
    fn listen() -> Option<Self> {
        Some(Self)
    }

    async fn end(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[expect(clippy::exit, reason = "the second Ctrl-C ends the process whatever it does")]
fn leave(code: i32) {
    // The display may have hidden the cursor, and a session may have made the terminal raw.
    drop(crossterm::terminal::disable_raw_mode());
    std::process::exit(code);
}

/// Reports that the process cannot even begin.
#[expect(clippy::print_stderr, reason = "there is no host yet to print through")]
pub fn no_folder(error: &std::io::Error) -> ExitCode {
    eprintln!("error: fleet cannot begin: {error}");
    ExitCode::from(4)
}
