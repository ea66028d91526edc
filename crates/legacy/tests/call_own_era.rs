//! Legacy clients in front of servers of both eras, through both adapters.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{DualEraOptions, DualEraStdio, Era};
use carryall_legacy::serve;
use carryall_testkit as testkit;
use carryall_transport::lines::{LineOptions, serve_lines_with};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

/// A server whose processes keep to the era of their first request, and ask the user only in the
/// legacy one.
const BOTH: &str = r#"
*'"method":"initialize"'*) era=legacy; hello 2025-11-25 ;;
*'"method":"server/discover"'*) era=modern; modern ;;
*'"method":"tools/call"'*) if [ "$era" = modern ]; then reply '{"resultType":"complete","content":[{"type":"text","text":"modern"}]}'
    else asked=$id; say '{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}'; fi ;;
*'"id":"q"'*'"result":'*) id=$asked; reply '{"content":[{"type":"text","text":"asked"}]}' ;;"#;

/// A legacy client whose calls are forwarded to a server.
struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
}

impl Client {
    async fn connect(edge: &DualEraStdio) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(far);
        let (service, alternates) = (
            edge.clone(),
            serve::lines(edge.clone(), serve::LegacyOptions::default()),
        );
        tokio::spawn(async move {
            let forever = std::future::pending();
            serve_lines_with(
                reader,
                writer,
                service,
                LineOptions::default(),
                Some(&alternates),
                forever,
            )
            .await
        });
        let (reader, writer) = tokio::io::split(near);
        let mut client = Self {
            lines: BufReader::new(reader).lines(),
            writer,
        };
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "old", "version": "1"}});
        client
            .send(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
            .await;
        let initialized = client.next().await;
        assert_eq!(initialized["id"], 1, "{initialized}");
        client
            .send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        client
    }

    async fn send(&mut self, message: Value) {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(testkit::TIMEOUT, self.lines.next_line())
            .await
            .expect("a message in time");
        serde_json::from_str(&line.unwrap().expect("a message")).unwrap()
    }

    /// Calls a tool, answers its question if it asks one, and returns the text of the result.
    async fn call(&mut self) -> String {
        self.send(
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "x"}}),
        )
        .await;
        loop {
            let message = self.next().await;
            if message["method"] == "elicitation/create" {
                let answer = json!({"action": "accept", "content": {"name": "Ann"}});
                self.send(json!({"jsonrpc": "2.0", "id": message["id"], "result": answer}))
                    .await;
            } else if message["id"] == 2 {
                return message["result"]["content"][0]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
            }
        }
    }
}

fn matching() -> DualEraOptions {
    quick().match_client_era(true)
}

#[tokio::test]
async fn a_legacy_client_has_the_features_that_the_server_offers_in_its_era_only() {
    let server = FakeServer::new("", BOTH);
    let edge = server.spawn(matching()).await.unwrap();
    assert!(edge.decision().unwrap().version.is_modern());
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.call().await, "asked");
    // Meanwhile, calls of modern clients use the modern era.
    assert_eq!(testkit::answer(&edge, tool("x")).await.text(), "modern");
    assert_eq!(client.call().await, "asked");
    edge.shutdown().await;
    let methods = server.methods();
    assert_eq!(
        methods.iter().filter(|method| *method == "started").count(),
        2,
        "one process for each era: {methods:?}"
    );
    assert_eq!(
        methods.iter().filter(|method| *method == "ended").count(),
        2,
        "both have ended: {methods:?}"
    );
}

#[tokio::test]
async fn calls_of_legacy_clients_are_modern_if_the_server_is() {
    for refusal in [
        "fail -32022 'Unsupported protocol version'",
        "fail -32601 'Method not found'",
    ] {
        let modern_only = BOTH.replace("era=legacy; hello 2025-11-25", refusal);
        let server = FakeServer::new("", &modern_only);
        let edge = server.spawn(matching()).await.unwrap();
        for _ in 0..2 {
            let mut client = Client::connect(&edge).await;
            assert_eq!(client.call().await, "modern", "{refusal}");
        }
        edge.shutdown().await;
        let asked = server
            .methods()
            .iter()
            .filter(|method| *method == "initialize")
            .count();
        assert_eq!(asked, 1, "it is found out once: {refusal}");
    }
}

#[tokio::test]
async fn by_default_all_clients_use_the_same_era() {
    for options in [quick(), matching().era(Era::Modern)] {
        let server = FakeServer::new("era=modern", BOTH);
        let edge = server.spawn(options).await.unwrap();
        let mut client = Client::connect(&edge).await;
        assert_eq!(client.call().await, "modern");
        edge.shutdown().await;
        assert!(!server.methods().contains(&"initialize".to_owned()));
    }
}
