//! HTTPS on both sides, with the feature `tls`.
#![cfg(feature = "tls")]

mod common;

use carryall_proto::{Call, CallError, Outcome, Reply};
use carryall_transport::http::{HttpClient, HttpServer};
use common::{Tools, call, within};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::net::SocketAddr;
use tower_service::Service as _;

/// Makes a certificate for `localhost` and its key, as PEM.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (
        certificate.pem().into_bytes(),
        key.serialize_pem().into_bytes(),
    )
}

async fn serve(cert: &[u8], key: &[u8]) -> SocketAddr {
    let server = HttpServer::bind("127.0.0.1:0")
        .await
        .unwrap()
        .tls(cert, key)
        .unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(Tools::default()));
    address
}

async fn ask(client: &HttpClient, call: Call) -> Result<Reply, CallError> {
    within(client.clone().call(call)).await
}

#[tokio::test]
async fn calls_are_sent_over_tls_to_a_trusted_server() {
    let (cert, key) = certificate();
    let address = serve(&cert, &key).await;
    let url = format!("https://localhost:{}/mcp", address.port());
    let client = HttpClient::builder(&url)
        .unwrap()
        .extra_roots(&cert)
        .build()
        .unwrap();
    for _ in 0..3 {
        let Reply::Once(response) = ask(&client, call("1", "large")).await.unwrap() else {
            panic!()
        };
        assert!(
            matches!(response.outcome, Outcome::Result(result) if result.as_str().len() > 300_000)
        );
    }
}

#[tokio::test]
async fn an_untrusted_server_gets_no_request() {
    let (cert, key) = certificate();
    let address = serve(&cert, &key).await;
    let client = HttpClient::new(&format!("https://localhost:{}/mcp", address.port())).unwrap();
    let error = ask(&client, call("1", "a")).await.unwrap_err();
    assert!(
        error.is_unsent() && error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn invalid_keys_are_rejected() {
    let (cert, key) = certificate();
    let bind = async || HttpServer::bind("127.0.0.1:0").await.unwrap();
    assert!(bind().await.tls(b"", &key).is_err());
    assert!(bind().await.tls(&cert, b"no key").is_err());
    assert!(bind().await.tls(&cert, &certificate().1).is_err());
}
