//! `fleet config`: the options for a Docker client.

use fleet_driver::text;
use serde_json::json;

use super::{Exit, Global, Session, url};
use crate::host::Host;
use crate::pki::{CA_FILE, CERT_FILE, KEY_FILE};

/// Print the options that point a Docker client at a machine
///
/// To be used as `eval docker $(fleet config host1) ps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine; may be left out if there is only one, or one called `default`
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs `fleet config`: an option a line, quoted for a POSIX shell where needed.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let url = url::of(&session, &name).await?;
    let certs = session.certs();
    let file = |file: &str| certs.join(file).display().to_string();
    let (ca, cert, key) = (file(CA_FILE), file(CERT_FILE), file(KEY_FILE));
    if global.json {
        let value = json!({
            "v": 1, "machine": name, "host": url, "tlsverify": true,
            "tlscacert": ca, "tlscert": cert, "tlskey": key,
        });
        super::print_json(host, &value)?;
        return Ok(0);
    }
    let lines = [
        "--tlsverify".to_owned(),
        text::sh(&format!("--tlscacert={ca}")),
        text::sh(&format!("--tlscert={cert}")),
        text::sh(&format!("--tlskey={key}")),
        format!("-H={url}"),
    ];
    host.out(&format!("{}\n", lines.join("\n")))?;
    Ok(0)
}
