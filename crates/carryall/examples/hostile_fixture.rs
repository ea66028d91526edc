//! The server that the tests in `tests/hostile` are hostile to: over HTTP on a free port, or with
//! `--stdio`.

use carryall::server::Tool;
use carryall::transport::http::{Endpoint, HttpServer};
use carryall::{Ctx, Server, serve_stdio, tool};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Calls of `chatter` and `hang` in work.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says what it was told.
#[tool(read_only)]
async fn echo(text: String) -> String {
    text
}

/// Adds a number to 1.
#[tool(read_only)]
async fn next(number: i64) -> i64 {
    number.wrapping_add(1)
}

/// Answers with a megabyte.
#[tool(read_only)]
async fn big() -> String {
    "x".repeat(1 << 20)
}

/// Reports progress for ever.
#[tool(read_only)]
async fn chatter(ctx: Ctx) -> String {
    let _counted = Counted::new();
    for n in 0_u32.. {
        ctx.progress(n).message("still here").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    String::new()
}

/// Never answers.
#[tool(read_only)]
async fn hang() -> String {
    let _counted = Counted::new();
    std::future::pending().await
}

/// How many calls of `chatter` and `hang` are in work.
#[tool(read_only)]
async fn running() -> String {
    RUNNING.load(Ordering::SeqCst).to_string()
}

/// Takes whatever it is given.
fn anything() -> Tool {
    let schema = serde_json::json!({"type": "object"})
        .as_object()
        .cloned()
        .unwrap_or_default();
    Tool::dynamic(
        "anything",
        schema,
        async |_ctx: Ctx, arguments: carryall::types::JsonObject| {
            format!("{} members", arguments.len())
        },
    )
}

#[tokio::main]
async fn main() -> carryall::Result<()> {
    // Thousands of connections take thousands of descriptors.
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let server = Server::new("fixture", "1.0.0")
        .tool(echo)
        .tool(next)
        .tool(big)
        .tool(chatter)
        .tool(hang)
        .tool(running);
    let server = server.tool(anything()).build()?;
    if std::env::args().nth(1).as_deref() == Some("--stdio") {
        return serve_stdio(server).await;
    }
    let http = HttpServer::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", http.local_addr()?)?;
    // The test's end of this pipe closes with the test, however that ends.
    let abandoned = async {
        _ = tokio::task::spawn_blocking(|| {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        })
        .await;
    };
    http.drain_timeout(Duration::ZERO)
        .run_endpoint(Endpoint::new(server), abandoned)
        .await?;
    Ok(())
}
