//! Every kind of state, on replicas that die: see `docs/reliability.md`. `cargo xtask replicas`
//! runs both halves.
//!
//! `replicas serve --listen ADDR --store URL --keyring FILE --ledger FILE` is one replica.
//! `replicas drive URL --seconds N --seed S --ledger FILE` is its clients, which print what they
//! have seen as JSON.

mod drive;
mod operation_log;
mod random;
mod serve;

use carryall::Result;
use std::collections::HashMap;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let mut plain = Vec::new();
    let mut options = HashMap::new();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) => drop(options.insert(name.to_owned(), words.next().unwrap_or_default())),
            None => plain.push(word),
        }
    }
    let option = |name: &str| {
        options
            .get(name)
            .cloned()
            .ok_or_else(|| format!("--{name} is missing"))
    };
    match (command.as_str(), plain.as_slice()) {
        ("serve", []) => {
            serve::run(
                &option("listen")?,
                &option("store")?,
                &option("keyring")?,
                &option("ledger")?,
            )
            .await
        }
        ("drive", [url]) => {
            drive::run(
                url,
                option("seconds")?.parse()?,
                option("seed")?.parse()?,
                &option("ledger")?,
            )
            .await
        }
        _ => Err("usage: replicas serve|drive ...".into()),
    }
}
