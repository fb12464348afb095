//! Forwarded ports: `[ADDRESS:][HOST:]GUEST[/tcp|udp]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fleet_driver::{Forward, Protocol};

use super::diagnose::{Problem, Span};

/// Reads a forward; the host's address is 127.0.0.1 unless given, the host's port
/// that of the guest.
pub(crate) fn parse(text: &str, span: Span) -> Result<Forward, Problem> {
    read(text.trim()).map_err(|(label, help)| {
        Problem::error(format!("bad port `{text}`")).at(span, label).help(help)
    })
}

fn read(text: &str) -> Result<Forward, (String, String)> {
    let example =
        || "write `\"8080:80\"`: first the port here, then the one in the machine".to_owned();
    let (ports, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((ports, other)) => {
            let label = format!("`{other}` is not a protocol");
            return Err((label, format!("write `\"{ports}/tcp\"` or `\"{ports}/udp\"`")));
        }
    };
    let (rest, guest) = match ports.rsplit_once(':') {
        Some((rest, guest)) => (Some(rest), guest),
        None => (None, ports),
    };
    let number = |port: &str| {
        if port.contains('-') {
            let help = "write each port by itself: `[\"8080:80\", \"8081:81\"]`";
            return Err(("ranges are not supported".to_owned(), help.to_owned()));
        }
        let label = match port.parse::<u64>() {
            Ok(0) => "0 is not a port".to_owned(),
            Ok(n) if n > 65535 => "ports go up to 65535".to_owned(),
            Ok(n) => return Ok(n as u16),
            Err(_) => format!("`{port}` is not a port"),
        };
        Err((label, example()))
    };
    let guest = number(guest)?;
    let host = match rest {
        None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), guest),
        Some(rest) => match rest.rsplit_once(':') {
            None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number(rest)?),
            Some((address, port)) => {
                let bare = address.trim_start_matches('[').trim_end_matches(']');
                let Ok(address) = bare.parse::<IpAddr>() else {
                    let label = format!("`{address}` is not an address of this computer");
                    let help =
                        "write it like `\"127.0.0.1:8080:80\"`, or `\"0.0.0.0:8080:80\"` for all";
                    return Err((label, help.to_owned()));
                };
                SocketAddr::new(address, number(port)?)
            }
        },
    };
    Ok(Forward { host, guest, protocol })
}

/// Whether two forwards cannot be open at once.
pub(crate) fn clash(a: &Forward, b: &Forward) -> bool {
    let any = |address: IpAddr| address.is_unspecified();
    let same = a.host.ip() == b.host.ip() || any(a.host.ip()) || any(b.host.ip());
    a.protocol == b.protocol && a.host.port() == b.host.port() && same
}
