//! HTTPS on both sides. Needs the feature `tls` and the `openssl` tool, which makes the certificate.
#![cfg(feature = "tls")]

mod common;

use carryall_proto::{Call, CallError, Outcome, Reply};
use carryall_transport::http::{HttpClient, HttpServer};
use common::{Tools, call, within};
use std::net::SocketAddr;
use std::process::Command;
use tower_service::Service as _;

/// A certificate for `localhost` and its key, as PEM.
fn certificate(name: &str) -> (Vec<u8>, Vec<u8>) {
    let dir = std::env::temp_dir().join(format!("carryall-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("the openssl tool is needed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pems = (std::fs::read(&cert).unwrap(), std::fs::read(&key).unwrap());
    std::fs::remove_dir_all(dir).unwrap();
    pems
}

async fn serve(cert: &[u8], key: &[u8]) -> SocketAddr {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap().tls(cert, key).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(Tools::default()));
    address
}

async fn ask(client: &HttpClient, call: Call) -> Result<Reply, CallError> {
    within(client.clone().call(call)).await
}

#[tokio::test]
async fn calls_go_over_tls_to_a_server_that_is_trusted() {
    let (cert, key) = certificate("trusted");
    let address = serve(&cert, &key).await;
    let url = format!("https://localhost:{}/mcp", address.port());
    let client = HttpClient::builder(&url).unwrap().extra_roots(&cert).build().unwrap();
    for _ in 0..3 {
        let Reply::Once(response) = ask(&client, call("1", "large")).await.unwrap() else { panic!() };
        assert!(matches!(response.outcome, Outcome::Result(result) if result.as_str().len() > 300_000));
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_gets_no_request() {
    let (cert, key) = certificate("untrusted");
    let address = serve(&cert, &key).await;
    let client = HttpClient::new(&format!("https://localhost:{}/mcp", address.port())).unwrap();
    let error = ask(&client, call("1", "a")).await.unwrap_err();
    assert!(error.is_unsent() && error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let (cert, key) = certificate("broken");
    let bind = async || HttpServer::bind("127.0.0.1:0").await.unwrap();
    assert!(bind().await.tls(b"", &key).is_err());
    assert!(bind().await.tls(&cert, b"no key").is_err());
    assert!(bind().await.tls(&cert, &certificate("other").1).is_err());
}
