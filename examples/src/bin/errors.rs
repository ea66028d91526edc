//! Errors of handlers: what the model reads, and what it does not.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::client::{ClientError, text_of};
use carryall::server::{Disclosure, ErrorAction};
use carryall::{Client, HandlerError, Result, Server, tool};
use serde_json::json;

/// Returns the balance of an account.
#[tool(read_only)]
async fn balance(account: String) -> Result<u64, HandlerError> {
    match account.as_str() {
        // Deliberate: the model reads this, and can act on it.
        "" => Err(HandlerError::new("Ask the user for the account number")),
        // The request itself is wrong: a JSON-RPC error, for the host.
        "closed" => Err(HandlerError::invalid_params("The account is closed")),
        // Unexpected, by `?`: the policy of the server decides what the client is told.
        "archived" => Ok(std::fs::read_to_string("/nonexistent/archive")?
            .trim()
            .parse()?),
        // The same, but never disclosed.
        "secret" => {
            let parsed: Result<u64, _> = "hunter2".parse();
            parsed.map_err(|error| HandlerError::from(error).masked())
        }
        _ => Ok(100),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::new("bank", "1.0.0")
        .tool(balance)
        .on_error(|failed| {
            let disclosure = if failed.error.is::<std::io::Error>() {
                Disclosure::Text("The archive is not available now".into())
            } else {
                Disclosure::Message
            };
            ErrorAction::new(disclosure)
        })
        .build()?;
    let client = Client::builder().service(server).build()?;
    let call = |account: &str| client.call("balance", json!({"account": account}));

    assert_eq!(call("1").typed::<u64>().await?, 100);
    for (account, expected) in [
        ("", "Ask the user for the account number"),
        ("archived", "The archive is not available now"),
        ("secret", "The tool failed (reference "),
    ] {
        let result = call(account).await?;
        println!("{account:>8}: {}", text_of(&result));
        assert!(result.failed() && text_of(&result).starts_with(expected));
    }
    match call("closed").await {
        Err(ClientError::Server(error)) => {
            println!("  closed: {} {}", error.code, error.message);
            assert_eq!(error.code, -32602);
        }
        other => return Err(format!("a JSON-RPC error was expected: {other:?}").into()),
    }
    Ok(())
}
