//! `fleet regenerate-certs`: new certificates for engines, the client, or the authority.

use fleet_driver::Result;

use super::{Exit, Global, Session, credentials, flow, rotation, up};
use crate::cli::LongFile;
use crate::host::Host;
use crate::pki::{self, Begun, Pki};

/// Issue new certificates
///
/// Without a flag, the engines of the named machines get new certificates, one machine
/// after the other where they are in a swarm. Certificates that end soon are renewed by
/// `fleet up` anyway.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines whose engines get new certificates; all that exist if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Renew the client certificate too
    #[arg(long, visible_alias = "client-certs")]
    client: bool,
    /// Replace the fleet's authority, and with it every certificate
    ///
    /// Nobody is locked out meanwhile: engines first let in clients of both, and the old
    /// authority goes when all of them do. Interrupted, it is finished by `fleet up`.
    #[arg(long, conflicts_with = "names")]
    ca: bool,
    /// Do not ask
    #[arg(long, short, visible_alias = "force", visible_short_alias = 'f')]
    yes: bool,
    #[command(flatten)]
    _file: LongFile,
}

/// Runs `fleet regenerate-certs`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    const AGAIN: &str = "fleet regenerate-certs";
    let mut session = Session::open(host, global)?;
    session.select(&args.names)?;
    let _lock = session.lock(AGAIN).await?;
    flow::tell_cut_off(&session);
    credentials::open(&session)?;
    let names: Vec<String> = session
        .select(&args.names)?
        .into_iter()
        .map(|spec| spec.name)
        .filter(|name| session.store.record(name).is_some())
        .collect();
    if names.is_empty() {
        return Err(fleet_driver::Error::not_found("none of these machines exists yet")
            .hint("create them: `fleet up`")
            .into());
    }
    let certs = session.dir().join("certs");
    if args.ca {
        if Pki::begin_rotation(&certs, &session.fleet.name)? == Begun::Before {
            flow::say(&session, "note: The authority is being replaced already; going on.\n");
        }
    } else {
        outdate(&mut session, &names)?;
    }
    if args.client && !args.ca {
        for file in [pki::CERT_FILE, pki::KEY_FILE] {
            crate::state::remove_file(&certs.join(file))?;
        }
    }
    credentials::open(&session)?;
    let up = up::Args::of(names, args.yes);
    let code = up::bring(&up, &mut session, AGAIN).await?;
    rotation::go_on(&up, &mut session, AGAIN, code).await
}

/// Writes down that the engines of these machines have old certificates: the next plan
/// issues new ones, and an interrupted command is finished by `fleet up`.
pub(super) fn outdate(session: &mut Session, names: &[String]) -> Result<()> {
    for name in names {
        if let Some(mut record) = session.store.record(name).cloned() {
            record.cert_serial += 1;
            session.store.put(&session.fleet.name, name, record)?;
        }
    }
    Ok(())
}
