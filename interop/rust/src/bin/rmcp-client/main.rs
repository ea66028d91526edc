//! rmcp's client; the tour is in ../../../../README.md. usage: rmcp-client ERA http URL | ERA stdio
//! COMMAND [ARG...]
//!
//! Prints one line of JSON for each check.

// Roots, sampling, logging and legacy subscriptions are deprecated, but tested here.
#![allow(deprecated)]

mod checks;
mod handler;

use handler::Handler;
use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const NOTICE: &str = "demo://notice";

type Failure = Box<dyn std::error::Error>;
/// The detail of a successful check, or `None` if the era lacks the feature.
type CheckResult = Result<Option<String>, Failure>;

struct Client {
    service: RunningService<RoleClient, Handler>,
    modern: bool,
}

async fn check(name: &str, work: impl Future<Output = CheckResult>) {
    let (ok, detail) = match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(Some(detail))) => (true, detail),
        Ok(Ok(None)) => return,
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("nothing within {LIMIT:?}")),
    };
    println!("{}", json!({"check": name, "ok": ok, "detail": detail}));
}

async fn connect(words: &[&str]) -> Result<Client, Failure> {
    let (modern, mode) = match words.first() {
        // It tries `server/discover` first and falls back to the handshake, which must not be necessary.
        Some(&"modern") => {
            let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
            (
                true,
                ClientLifecycleMode::Auto {
                    preferred_versions,
                    legacy_version: None,
                },
            )
        }
        Some(&"legacy") => (false, ClientLifecycleMode::Initialize),
        _ => return Err("usage: rmcp-client ERA http URL | ERA stdio COMMAND [ARG...]".into()),
    };
    let handler = Handler::default();
    let service = match words[1..] {
        ["http", url] => {
            handler
                .serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url), mode)
                .await?
        }
        ["stdio", command, ref args @ ..] => {
            let mut process = tokio::process::Command::new(command);
            process.args(args);
            handler
                .serve_with_lifecycle(TokioChildProcess::new(process)?, mode)
                .await?
        }
        _ => return Err("usage: rmcp-client ERA http URL | ERA stdio COMMAND [ARG...]".into()),
    };
    Ok(Client { service, modern })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let client = connect(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    checks::all(&client).await;
    client.service.cancel().await?;
    Ok(())
}
