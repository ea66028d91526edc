//! What callers who share one channel may see and use up of each other.

mod common;

use carryall_proto::decode::{ClientMessage, decode_frame};
use carryall_proto::{Call, CallError, CallSource, ClientId, Message, Reply};
use carryall_transport::lines::{Channel, ChannelOptions};
use common::{call, eventually, within};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

struct Server {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
}

impl Server {
    async fn next(&mut self) -> Value {
        serde_json::from_str(
            &within(self.lines.next_line())
                .await
                .unwrap()
                .expect("closed"),
        )
        .unwrap()
    }

    async fn send(&mut self, message: Value) {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn log(&mut self, data: &str) {
        let params = json!({"level": "info", "data": data});
        self.send(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}))
            .await;
    }

    async fn answer(&mut self, id: &Value) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "result": {}}))
            .await;
    }
}

fn channel(options: ChannelOptions) -> (Channel, Server) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(near);
    let channel = Channel::open(reader, writer, options);
    let (reader, writer) = tokio::io::split(far);
    (
        channel,
        Server {
            lines: BufReader::new(reader).lines(),
            writer,
        },
    )
}

/// A call of the client with this legacy session.
fn of(session: u128, mut call: Call) -> Call {
    call.set_source(CallSource::new(Some(ClientId::Legacy(session)), None));
    call
}

fn logged(name: &str) -> Call {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
    });
    let params = json!({"name": name, "_meta": meta});
    let text =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    match decode_frame(text.into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

async fn texts(reply: Reply) -> Vec<Value> {
    let Reply::Stream(mut messages) = reply else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    while let Message::Notification(notification) =
        within(messages.next()).await.expect("a response").unwrap()
    {
        texts.push(notification.params.unwrap().decode::<Value>().unwrap()["data"].clone());
    }
    texts
}

#[tokio::test]
async fn log_messages_do_not_cross_between_callers_of_one_channel() {
    let (channel, mut server) = channel(ChannelOptions::default());
    let start = |call: Call| {
        let channel = channel.clone();
        tokio::spawn(async move { texts(channel.call(call).await.unwrap()).await })
    };
    let asking = start(of(1, logged("a")));
    let first = server.next().await["id"].clone();
    server.log("alone").await;
    let other = start(of(2, call("1", "b")));
    let second = server.next().await["id"].clone();
    server.log("beside another").await;
    other.abort();
    assert_eq!(server.next().await["method"], "notifications/cancelled");
    server.log("beside a cancelled one").await;
    server.answer(&second).await;
    server.log("alone again").await;
    let same = start(of(1, logged("c")));
    let third = server.next().await["id"].clone();
    server.log("beside one of the same").await;
    server.answer(&third).await;
    server.answer(&first).await;
    assert_eq!(
        within(asking).await.unwrap(),
        ["alone", "alone again", "beside one of the same"]
    );
    assert_eq!(within(same).await.unwrap(), ["beside one of the same"]);
}

#[tokio::test]
async fn a_caller_that_waits_for_many_answers_leaves_room_for_others() {
    let mut options = ChannelOptions::default();
    options.max_waiting = 5;
    let (channel, mut server) = channel(options);
    let start = |call: Call| {
        let channel = channel.clone();
        tokio::spawn(async move { channel.call(call).await.map(|_| ()) })
    };
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        start(of(1, call("1", name)));
        ids.push(server.next().await["id"].clone());
    }
    let refused = within(channel.call(of(1, call("1", "c"))))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, CallError::Busy(_)) && refused.is_unsent(),
        "{refused:?}"
    );
    for session in 2..5 {
        let waiting = start(of(session, call("1", "d")));
        ids.push(server.next().await["id"].clone());
        assert!(!waiting.is_finished());
    }
    let full = within(channel.call(of(9, call("1", "e"))))
        .await
        .unwrap_err();
    assert!(matches!(full, CallError::Busy(_)), "{full:?}");
    server.answer(&ids[0]).await;
    server.answer(&ids[2]).await;
    let again = start(of(1, call("1", "f")));
    let id = server.next().await["id"].clone();
    server.answer(&id).await;
    eventually("it is answered", || again.is_finished()).await;
    within(again).await.unwrap().unwrap();
}
