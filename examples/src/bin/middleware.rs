//! Layers around calls: how each call ended, an answer of a layer's own, and a time limit that also
//! ends streams.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::proto::{Call, CallEnd, OutcomeStatus, Reply, Response};
use carryall::server::{Next, Timeout, layer_fn};
use carryall::types::ErrorObject;
use carryall::{Client, Ctx, HandlerError, Result, Server, tool};
use serde_json::json;
use std::sync::mpsc;
use std::time::Duration;

/// Divides one number by another.
#[tool(read_only)]
async fn divide(a: i64, b: i64) -> Result<i64, HandlerError> {
    Ok(a.checked_div(b).ok_or("division by zero")?)
}

/// Reports progress, and never comes to an end.
#[tool(read_only)]
async fn search(ctx: Ctx) -> &'static str {
    ctx.progress(1).of(1_000_000).await;
    std::future::pending().await
}

/// Deletes everything.
#[tool(destructive)]
async fn delete() -> &'static str {
    "deleted"
}

fn server(ends: mpsc::Sender<String>) -> Result<Server> {
    let log = layer_fn(move |call: Call, next: Next| {
        let ends = ends.clone();
        async move {
            let name = call.log_name().unwrap_or_default().into_owned();
            let reply = next.run(call).await?;
            Ok(reply.on_end(move |end| {
                let end = match end {
                    CallEnd::Response(response) => match response.outcome.status() {
                        OutcomeStatus::Complete => "complete".to_owned(),
                        OutcomeStatus::ToolError => "isError".to_owned(),
                        OutcomeStatus::Error(code) => format!("error {code}"),
                        other => format!("{other:?}"),
                    },
                    end => format!("{end:?}"),
                };
                // Nobody listens when the program ends.
                let _ = ends.send(format!("{name}: {end}"));
            }))
        }
    });
    let forbid = layer_fn(async |call: Call, _: Next| {
        let error = ErrorObject::new(-31_000, "not in office hours");
        Ok(Reply::from(Response::error(call.id().clone(), error)))
    });
    Ok(Server::new("layered", "1.0.0")
        .tool(divide)
        .tool(search)
        .tool(delete().layer(forbid))
        .layer(Timeout::new(Duration::from_millis(200)))
        // The last one added is the outermost: it sees the answers of the others.
        .layer(log)
        .build()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (sender, ends) = mpsc::channel();
    let client = Client::builder().service(server(sender)?).build()?;

    client.call("divide", json!({"a": 6, "b": 3})).await?;
    client.call("divide", json!({"a": 6, "b": 0})).await?;
    let refused = client.call("delete", ()).await.unwrap_err();
    assert_eq!(refused.code(), Some(-31_000));
    let endless = client.call("search", ()).on_progress(|_| {});
    assert_eq!(endless.await.unwrap_err().code(), Some(-32603));

    drop(client);
    let ends: Vec<String> = ends.try_iter().collect();
    println!("{}", ends.join("\n"));
    let expected = [
        "divide: complete",
        "divide: isError",
        "delete: error -31000",
        "search: error -32603",
    ];
    assert_eq!(ends, expected);
    Ok(())
}
