//! TLS with rustls and the certificates that the platform trusts.

use super::target::{EndpointUrl, InvalidTarget};
use rustls_platform_verifier::Verifier;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

pub(super) fn connector(extra_roots_pem: &[u8]) -> Result<TlsConnector, InvalidTarget> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| InvalidTarget(format!("{what}: {error}"));
    let roots: Vec<_> = CertificateDer::pem_slice_iter(extra_roots_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed("the extra roots are not valid certificates", &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))
        .map_err(|error| failed("the platform's certificates cannot be loaded", &error))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS cannot be set up", &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) async fn handshake(
    connector: &TlsConnector,
    url: &EndpointUrl,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(url.host.to_string())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, stream).await
}
