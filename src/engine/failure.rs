//! What went wrong with a call, by status code and by kind of I/O or TLS error.

use std::error::Error as StdError;
use std::io;

use bollard::errors::Error as Bollard;
use fleet_driver::{Error, ErrorKind};
use rustls::{AlertDescription, CertificateError};

/// Says what a failed call means; `what` fits after "could not".
///
/// Server errors (5xx) are `Busy` here; calls that need a manager look again.
pub(super) fn from_bollard(error: Bollard, what: &str) -> Error {
    let new = |kind, because: &str| Error::new(kind, format!("could not {what}: {because}"));
    if let Bollard::DockerResponseServerError { status_code, message } = &error {
        let message = redact(message.trim());
        let kind = match status_code {
            404 => ErrorKind::NotFound,
            401 | 403 | 409 => ErrorKind::Conflict,
            // Swarm trouble that passes: no leader, update out of sequence.
            500..=599 => ErrorKind::Busy,
            _ => ErrorKind::Guest,
        };
        let message =
            if message.is_empty() { format!("HTTP status {status_code}") } else { message };
        return new(kind, &message).with("status", status_code);
    }
    if let Some(error) = tls(&error, what) {
        return error;
    }
    if let Some(io) = innermost_io(&error) {
        let kind = if passes(io.kind()) { ErrorKind::Busy } else { ErrorKind::Guest };
        return new(kind, &io.to_string());
    }
    match error {
        Bollard::RequestTimeoutError => new(ErrorKind::Busy, "no answer in time"),
        Bollard::HyperLegacyError { .. } | Bollard::HyperResponseError { .. } => {
            new(ErrorKind::Busy, "the connection ended before the answer")
        }
        // The text may hold a piece of the answer.
        Bollard::JsonDataError { message, .. } => {
            new(ErrorKind::Guest, "the engine's answer is not understood")
                .because(io::Error::other(redact(&message)))
        }
        other => new(ErrorKind::Guest, &redact(&other.to_string())),
    }
}

/// Blanks join tokens and unlock keys.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["SWMTKN-", "SWMKEY-"].iter().filter_map(|mark| rest.find(mark)).min() {
        out.push_str(&rest[..at]);
        out.push_str("[redacted]");
        let end = rest[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-+/=".contains(c)))
            .map_or(rest.len(), |length| at + length);
        rest = &rest[end..];
    }
    out + rest
}

fn passes(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::BrokenPipe
            | K::UnexpectedEof
            | K::TimedOut
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::AddrNotAvailable
            | K::Interrupted
            | K::WouldBlock
    )
}

/// All causes, looking inside `io::Error` too, which `source` skips.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut all = vec![error];
    let mut at = error;
    // No real chain is that long.
    while all.len() < 32 {
        let inside = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let next = match inside {
            Some(inside) => Some(inside as &(dyn StdError + 'static)),
            None => at.source(),
        };
        match next {
            Some(next) => {
                all.push(next);
                at = next;
            }
            None => break,
        }
    }
    all
}

fn innermost_io(error: &Bollard) -> Option<&io::Error> {
    chain(error).into_iter().filter_map(<dyn StdError>::downcast_ref).last()
}

fn tls(error: &Bollard, what: &str) -> Option<Error> {
    let cause: &rustls::Error = chain(error).into_iter().find_map(<dyn StdError>::downcast_ref)?;
    let new = |because: &str, hint: &str| {
        Error::conflict(format!("could not {what}: {because}")).hint(hint).because(cause.clone())
    };
    Some(match cause {
        rustls::Error::InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                new("the engine's certificate has expired", RECONFIGURE)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => new(
                "the engine's certificate is not valid yet",
                "set this host's clock: the certificate was made later than now",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                new("the engine's certificate is not for this address", RECONFIGURE)
            }
            _ => new("the engine's certificate is not of this fleet", RECONFIGURE),
        },
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => new("the engine refuses the fleet's client certificate", RECONFIGURE),
        rustls::Error::InvalidMessage(_) => new(
            "what answers there does not speak TLS",
            "look which program has that port; an engine of this fleet speaks TLS only",
        ),
        _ => new("the TLS handshake failed", RECONFIGURE),
    })
}

const RECONFIGURE: &str = "`fleet up` secures the engine again";
