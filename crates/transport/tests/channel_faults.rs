//! Faulty responses on a channel that many calls share: each fails its own call, at once, and no
//! other.

use carryall_proto::decode::{ClientMessage, decode_frame};
use carryall_proto::{Call, CallError, Outcome, Reply};
use carryall_transport::lines::{Channel, ChannelOptions};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

const MAX: usize = 1000;

/// Opens a channel to a server that answers the nth line with `answer(n)`, where n is the id of the
/// call.
fn served(answer: impl Fn(u64) -> String + Send + 'static) -> Channel {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (reader, mut writer) = tokio::io::split(far);
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: serde_json::Value = serde_json::from_str(&line).unwrap();
            let Some(id) = message["id"].as_u64() else {
                continue;
            };
            writer.write_all(answer(id).as_bytes()).await.unwrap();
        }
    });
    let (reader, writer) = tokio::io::split(near);
    let mut options = ChannelOptions::default();
    options.max_message = MAX;
    Channel::open(reader, writer, options)
}

fn request() -> Call {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#
    );
    match decode_frame(text.into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

async fn call(channel: &Channel) -> Result<Reply, CallError> {
    let answered = channel.call(request());
    tokio::time::timeout(Duration::from_secs(10), answered)
        .await
        .expect("an answer, or why there is none, at once")
}

#[tokio::test]
async fn a_response_over_the_limit_fails_only_its_call() {
    let long = "x".repeat(10 * MAX);
    let channel = served(move |id| match id {
        1 => format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"x\":\"{long}\"}}}}\n"),
        2 => format!("{{\"result\":{{\"x\":\"{long}\"}},\"jsonrpc\":\"2.0\",\"id\":2}}\n"),
        // This line never ends.
        4 => format!("{{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{{\"x\":\"{long}"),
        _ => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n"),
    });
    for over in [true, true, false, true] {
        match call(&channel).await {
            Err(CallError::TooLarge(MAX)) if over => {}
            Ok(Reply::Once(_)) if !over => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_malformed_response_fails_its_call_with_the_reason() {
    let faults = [
        (
            r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"m"}}"#,
            "exactly one",
        ),
        (
            r#"{"jsonrpc":"2.0","id":ID,"result":{"a":}}"#,
            "not a JSON-RPC message",
        ),
        (r#"{"id":ID,"result":{}}"#, "jsonrpc"),
        (
            r#"{"jsonrpc":"2.0","id":"ID","result":{},"result":}"#,
            "not a JSON-RPC message",
        ),
    ];
    let channel = served(move |id| faults[id as usize - 1].0.replace("ID", &id.to_string()) + "\n");
    for (fault, why) in faults {
        let error = call(&channel).await.unwrap_err();
        assert!(
            matches!(&error, CallError::Malformed(said) if said.contains(why)),
            "{fault}: {error}"
        );
    }
}

#[tokio::test]
async fn harmless_faults_are_tolerated() {
    let channel = served(|id| match id {
        1 => "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}\n".into(),
        2 => "{\"jsonrpc\":\"2.0\",\"id\":2.0,\"result\":{},\"error\":null}\n".into(),
        _ => {
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":\"E_GONE\",\"message\":\"gone\"}}\n"
                .into()
        }
    });
    for _ in 0..2 {
        assert!(
            matches!(call(&channel).await, Ok(Reply::Once(response)) if matches!(response.outcome, Outcome::Result(_)))
        );
    }
    let Ok(Reply::Once(response)) = call(&channel).await else {
        panic!()
    };
    assert!(matches!(response.outcome, Outcome::Error(error) if error.message.starts_with("gone")));
}

#[tokio::test]
async fn lines_that_are_not_responses_fail_no_call() {
    let channel = served(|id| {
        let long = "x".repeat(2 * MAX);
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x","result":1}}"#);
        let notification = format!(r#"{{"jsonrpc":"2.0","method":"{long}"}}"#);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        format!("Starting up\n{request}\n{notification}\n{answer}\n")
    });
    assert!(
        matches!(call(&channel).await, Ok(Reply::Once(response)) if matches!(response.outcome, Outcome::Result(_)))
    );
}
