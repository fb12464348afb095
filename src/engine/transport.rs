//! A client whose only roots are the fleet's authorities: one, or two while the
//! authority is being replaced.
//!
//! bollard's own TLS client also trusts the authorities of the host and gives up
//! pooling; this one does neither.

use std::net::SocketAddr;
use std::sync::Arc;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use fleet_driver::{Error, Result};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use crate::pki::Pki;

/// An upper bound in seconds; every call has a tighter one of its own.
const TIMEOUT: u64 = 120;

pub(super) fn connect(address: SocketAddr, pki: &Pki) -> Result<Docker> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(pki)?)
        .https_only()
        .enable_http1()
        .wrap_connector(http);
    let client = Arc::new(Client::builder(TokioExecutor::new()).build(https));
    let transport = move |request: BollardRequest| {
        let client = Arc::clone(&client);
        async move { client.request(request).await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(
        transport,
        Some(format!("https://{address}")),
        TIMEOUT,
        API_DEFAULT_VERSION,
    )
    .map_err(|e| Error::bug("could not make a client for the engine").because(e))
}

fn tls(pki: &Pki) -> Result<ClientConfig> {
    let unusable = |e: rustls::Error| {
        Error::conflict("the fleet's certificates are not usable")
            .with("folder", pki.dir().display())
            .because(e)
    };
    let mut roots = RootCertStore::empty();
    for ca in pki.trust_der() {
        roots.add(ca).map_err(unusable)?;
    }
    let (cert, key) = pki.client_der();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], key)
        .map_err(unusable)
}
