//! The engine's port of a simulated guest: HTTP over mutual TLS, with the certificate and
//! the authorities that the engine was started with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::api;
use super::disk::Firewalld;
use super::guest::Engine;

/// A request.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Without the version of the API in front.
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

impl Request {
    pub fn yes(&self, key: &str) -> bool {
        self.query.get(key).is_some_and(|value| matches!(value.as_str(), "1" | "true" | "True"))
    }
}

pub async fn serve(listener: TcpListener, name: String, shared: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        let engine = shared.now(|state, _| {
            let guest = &state.guests[&name];
            let shut = guest.disk.firewalld == Firewalld::Shut;
            if shut { Engine::Off } else { guest.engine.clone() }
        });
        let Engine::Up { settings, cut, .. } = engine else {
            drop(stream.set_zero_linger());
            continue;
        };
        let Some(tls) = settings.tls else {
            drop(stream.set_zero_linger());
            continue;
        };
        let (name, shared) = (name.clone(), shared.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = connection(stream, TlsAcceptor::from(Arc::clone(&tls)), &name, &shared) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, name: &str, shared: &Shared) {
    drop(stream.set_nodelay(true));
    match acceptor.accept(stream).into_fallible().await {
        Ok(tls) => converse(tls, name, shared).await,
        // Closing with something unread would reset the connection, and the client might
        // never see why it was refused.
        Err((_, mut tcp)) => drop(tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await),
    }
}

/// Answers the requests of one connection until it ends.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, name: &str, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        shared.point().await;
        let (status, body) = api::answer(&request, name, shared).await;
        shared.point().await;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Reads one request; `None` at the end of the connection.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        })
        .unwrap_or(0);
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let rest = buffer.split_off(head_end + length);
    let body = serde_json::from_slice(&buffer[head_end..]).unwrap_or(Value::Null);
    *buffer = rest;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let versioned = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/'));
    let path = versioned.map_or_else(|| path.to_owned(), |(_, path)| format!("/{path}"));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(key, value)| (decoded(key), decoded(value))).collect();
    Some(Request { method, path, query, body })
}

/// Takes the percent signs out of a part of an address.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
