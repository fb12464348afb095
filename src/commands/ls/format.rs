//! `--format`: rows through a template, with a line of headers where `table` asks for it.

use serde_json::{Value, json};

use crate::commands::Failure;
use crate::gotemplate::{Template, unescaped};
use crate::host::Host;
use crate::report;

/// How rows are printed.
pub(super) enum Format {
    /// A row a line.
    Lines(Template),
    /// The same with headers, in columns.
    Table(Template),
    /// A JSON object a line.
    Json,
}

impl Format {
    /// Reads what a person typed.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim_matches('\n');
        if text.trim() == "json" {
            return Ok(Self::Json);
        }
        let table = text
            .strip_prefix("table")
            .filter(|rest| rest.starts_with([' ', '\t']) || rest.starts_with("\\t"));
        Ok(match table {
            Some(rest) => Self::Table(Template::parse(unescaped(rest).trim_start())?),
            None => Self::Lines(Template::parse(&unescaped(text))?),
        })
    }

    /// Prints the rows.
    pub(super) fn print(&self, rows: &[Value], host: &Host) -> Result<(), Failure> {
        match self {
            Self::Json => {
                for row in rows {
                    host.out(&format!("{row}\n"))?;
                }
            }
            Self::Lines(template) => {
                for row in rows {
                    host.out(&format!("{}\n", template.render(row)?))?;
                }
            }
            Self::Table(template) => {
                let cells = |text: String| text.split('\t').map(ToOwned::to_owned).collect();
                let headers: Vec<String> = cells(template.render(&headers())?);
                let mut lines: Vec<Vec<String>> = Vec::new();
                for row in rows {
                    lines.push(cells(template.render(row)?));
                }
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                host.out(&report::table(&headers, lines, host))?;
            }
        }
        Ok(())
    }
}

/// A row whose values are the headers of its columns.
fn headers() -> Value {
    json!({
        "Name": "NAME",
        "Active": "ACTIVE",
        "ActiveHost": "ACTIVE_HOST",
        "ActiveSwarm": "ACTIVE_SWARM",
        "Address": "ADDRESS",
        "DriverName": "DRIVER",
        "Host": "HOST",
        "State": "STATE",
        "URL": "URL",
        "SwarmOptions": { "IsSwarm": "SWARM", "Master": "MASTER" },
        "Swarm": "SWARM",
        "EngineOptions": {
            "ArbitraryFlags": "FLAGS",
            "Env": "ENV",
            "InsecureRegistry": "INSECURE_REGISTRY",
            "InstallURL": "INSTALL",
            "Labels": "LABELS",
            "RegistryMirror": "REGISTRY_MIRROR",
            "StorageDriver": "STORAGE_DRIVER",
            "TlsVerify": "TLS",
        },
        "Labels": "LABELS",
        "Error": "ERRORS",
        "DockerVersion": "DOCKER",
        "ResponseTime": "RESPONSE",
    })
}
