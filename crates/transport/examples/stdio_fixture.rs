//! A server on standard streams for the tests: it also prints where a server must not.
#![allow(clippy::print_stdout, reason = "stray prints are what it is for")]

use carryall_proto::{BoxFuture, Call, CallError, Reply, Response};
use carryall_transport::StdioServer;
use carryall_types::RawJson;
use std::task::{Context, Poll};
use tower_service::Service;

#[derive(Clone)]
struct Fixture;

impl Service<Call> for Fixture {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(async move {
            let text = match call.name() {
                Some("print") => {
                    println!("stray output");
                    print!("and half a line");
                    "printed".to_owned()
                }
                Some("read") => {
                    let mut line = String::new();
                    let count = std::io::stdin()
                        .read_line(&mut line)
                        .map_err(CallError::broken)?;
                    format!("{count} bytes")
                }
                Some("child") => {
                    let status = std::process::Command::new("echo")
                        .arg("from a child")
                        .status();
                    format!("{}", status.is_ok_and(|status| status.success()))
                }
                Some("env") => std::env::vars()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>()
                    .join(" "),
                Some("pid") => std::process::id().to_string(),
                Some("exit") => std::process::exit(3),
                Some("hang") => std::future::pending().await,
                other => other.unwrap_or_default().to_owned(),
            };
            let result = serde_json::json!({"resultType": "complete", "text": text});
            Ok(Response::result(call.id().clone(), RawJson::from(&result)).into())
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    print!("half a line before");
    let server = StdioServer::take()?;
    println!(" and after");
    eprintln!("fixture ready");
    server.run(Fixture).await
}
