//! How a server is tested without a socket: a client that calls it in process.

use carryall::client::text_of;
use carryall::proto::SharedService;
use carryall::types::{ElicitRequestFormParams, ElicitResult};
use carryall::{Client, Ctx, ElicitOutcome, Form, HandlerError, Server, State, tool};
use carryall_examples::{keyring, round_robin};
use serde_json::json;

/// Divides one number by another.
#[tool(read_only)]
async fn divide(a: f64, b: f64) -> Result<f64, &'static str> {
    if b == 0.0 {
        Err("division by zero")
    } else {
        Ok(a / b)
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Confirm {
    /// Really?
    sure: bool,
}

/// Returns the number of the replica that finishes the call.
#[tool]
async fn finish(ctx: Ctx, State(replica): State<u32>) -> Result<u32, HandlerError> {
    match ctx.ask(Form::<Confirm>::new("Finish?")).await? {
        ElicitOutcome::Accepted(Confirm { sure: true }) => Ok(replica),
        _ => Err(HandlerError::new("not confirmed")),
    }
}

fn server(replica: u32) -> Server {
    Server::new("tested", "1.0.0")
        .keyring(keyring().expect("a valid keyring"))
        .state(replica)
        .tool(divide)
        .tool(finish)
        .build()
        .expect("a valid server")
}

fn client(service: SharedService) -> Client {
    Client::builder()
        .service(service)
        .build()
        .expect("a valid client")
}

#[tokio::test]
async fn the_function_itself_can_be_called() {
    assert_eq!(divide::call(1.0, 2.0).await, Ok(0.5));
}

#[tokio::test]
async fn a_failure_is_a_result_that_the_model_reads() {
    let client = client(server(0).into_shared());
    let half: f64 = client
        .call("divide", json!({"a": 1, "b": 2}))
        .typed()
        .await
        .unwrap();
    assert_eq!(half, 0.5);
    let failed = client
        .call("divide", json!({"a": 1, "b": 0}))
        .await
        .unwrap();
    assert!(failed.failed());
    assert_eq!(text_of(&failed), "division by zero");
}

#[tokio::test]
async fn another_replica_finishes_the_call_when_the_user_has_answered() {
    let client = Client::builder()
        .service(round_robin(vec![server(0), server(1)]))
        .on_elicit(async |_: ElicitRequestFormParams| {
            ElicitResult::accept([("sure".to_owned(), true.into())].into_iter().collect())
        })
        .build()
        .unwrap();
    let replica: u32 = client.call("finish", ()).typed().await.unwrap();
    assert_eq!(replica, 1);
}

#[tokio::test]
async fn a_client_that_cannot_ask_its_user_is_refused() {
    let client = client(server(0).into_shared());
    let refused = client.call("finish", ()).await.unwrap_err();
    assert_eq!(refused.code(), Some(-32021));
}
