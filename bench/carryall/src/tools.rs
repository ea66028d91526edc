//! The tools of all servers in the benchmarks: `echo`, `add` with structured output, `dummy_00` to
//! `dummy_49`.

use carryall::server::{ServerBuilder, Tool};
use carryall::{Json, Server};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct EchoArgs {
    /// Text to return unchanged
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct AddArgs {
    /// First addend
    a: i64,
    /// Second addend
    b: i64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i64,
}

#[derive(Deserialize, JsonSchema)]
struct DummyArgs {
    /// Search text
    #[serde(rename = "query")]
    _query: String,
    /// Maximum number of rows
    #[serde(default, rename = "limit")]
    _limit: Option<i64>,
}

pub fn server() -> ServerBuilder {
    let mut server = Server::new("bench-carryall", "1.0.0")
        .tool(
            Tool::new("echo", async |args: EchoArgs| args.text)
                .description("Return the given text"),
        )
        .tool(
            Tool::new("add", async |args: AddArgs| {
                Json(Sum {
                    sum: args.a.wrapping_add(args.b),
                })
            })
            .description("Add two integers"),
        );
    for number in 0..50 {
        let dummy = Tool::new(
            format!("dummy_{number:02}"),
            move |_: DummyArgs| async move { format!("dummy {number:02}") },
        )
        .description(format!(
            "Dummy tool number {number:02} that only pads the tool list"
        ));
        server = server.tool(dummy);
    }
    server
}
