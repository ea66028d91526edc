//! Tests every kind of state on replicas that are killed: see `docs/reliability.md`. `cargo xtask
//! replicas` runs both parts.
//!
//! `replicas serve --listen ADDR --store URL --keyring FILE --operation-log FILE` runs one replica.
//! `replicas drive URL --seconds N --seed S --operation-log FILE` runs the clients, which print their
//! observations as JSON.

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
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut positional = Vec::new();
    let mut options = HashMap::new();
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--") {
            Some(name) => drop(options.insert(name.to_owned(), args.next().unwrap_or_default())),
            None => positional.push(arg),
        }
    }
    let option = |name: &str| {
        options
            .get(name)
            .cloned()
            .ok_or_else(|| format!("--{name} is missing"))
    };
    match (command.as_str(), positional.as_slice()) {
        ("serve", []) => {
            serve::run(
                &option("listen")?,
                &option("store")?,
                &option("keyring")?,
                &option("operation-log")?,
            )
            .await
        }
        ("drive", [url]) => {
            drive::run(
                url,
                option("seconds")?.parse()?,
                option("seed")?.parse()?,
                &option("operation-log")?,
            )
            .await
        }
        _ => Err("usage: replicas serve|drive ...".into()),
    }
}
