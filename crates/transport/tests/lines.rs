//! The engine of stdio and sockets, over memory and sockets.

mod common;

use carryall_proto::{CallError, Message, Outcome, Reply};
use carryall_transport::lines::{
    Channel, ChannelOptions, LineOptions, serve_lines, serve_lines_until,
};
use carryall_transport::{Loopback, SocketClient, SocketServer};
use common::{META, Seen, Tools, call, eventually, tool_call, within};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tower_service::Service as _;

struct Wire {
    lines: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    writer: Option<tokio::io::WriteHalf<DuplexStream>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn open(tools: Tools, options: LineOptions) -> Wire {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(far);
    let served = tokio::spawn(serve_lines(reader, writer, tools, options));
    let (reader, writer) = tokio::io::split(near);
    Wire {
        lines: BufReader::new(reader).lines(),
        writer: Some(writer),
        served,
    }
}

impl Wire {
    async fn send(&mut self, line: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = within(self.lines.next_line())
            .await
            .unwrap()
            .expect("closed");
        serde_json::from_str(&line).unwrap()
    }

    async fn end(mut self) -> Vec<Value> {
        let mut writer = self.writer.take().unwrap();
        writer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        within(self.served).await.unwrap().unwrap();
        rest
    }
}

fn cancel(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"bored"}}}}"#
    )
}

fn listen(id: &str) -> String {
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"notifications":{{}},{META}}}}}"#
    );
    call.replace("\"_meta\"", "\"name\":\"listen\",\"_meta\"")
}

// spec: stdio-01, stdio-09, base-jsonrpc-06
#[tokio::test]
async fn each_message_is_a_line() {
    let mut wire = open(Tools::default(), LineOptions::default());
    for (id, tool) in [("1", "a"), ("\"x\"", "b"), ("2", "pretty")] {
        wire.send(&tool_call(id, tool)).await;
        let answer = wire.next().await;
        assert_eq!(answer["id"].to_string(), id);
        assert_eq!(answer["result"]["resultType"], "complete");
    }
    wire.send(&tool_call("3", "stream")).await;
    for progress in [1, 2] {
        assert_eq!(wire.next().await["params"]["progress"], progress);
    }
    assert_eq!(wire.next().await["result"]["text"], "streamed");
    assert!(wire.end().await.is_empty());
}

#[tokio::test]
async fn a_slow_call_does_not_hold_up_others() {
    let mut wire = open(Tools::default(), LineOptions::default());
    wire.send(&format!(
        "{}\n{}",
        tool_call("1", "slow"),
        tool_call("2", "fast")
    ))
    .await;
    assert_eq!(wire.next().await["id"], 2);
    assert_eq!(wire.next().await["id"], 1);
}

// spec: stdio-11, stdio-12, cancellation-13, cancellation-14, cancellation-19
#[tokio::test]
async fn after_a_cancellation_nothing_more_is_sent() {
    let seen = Arc::new(Seen::default());
    let mut wire = open(Tools(Arc::clone(&seen)), LineOptions::default());
    wire.send(&tool_call("1", "slow")).await;
    wire.send(&tool_call("\"l\"", "listen")).await;
    assert_eq!(wire.next().await["method"], "notifications/progress");
    for id in ["1", "\"l\"", "1", "99", "null", "{}"] {
        wire.send(&cancel(id)).await;
    }
    eventually("both are dropped", || seen.dropped() == 2).await;
    wire.send(&tool_call("1", "again")).await;
    assert_eq!(wire.next().await["result"]["text"], "again");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(wire.end().await.is_empty());
}

#[tokio::test]
async fn an_id_in_use_is_refused_and_the_first_goes_on() {
    let mut wire = open(Tools::default(), LineOptions::default());
    wire.send(&tool_call("1", "slow")).await;
    wire.send(&tool_call("1", "a")).await;
    assert_eq!(wire.next().await["error"]["code"], -32600);
    assert_eq!(wire.next().await["result"]["text"], "slow");
}

#[tokio::test]
async fn the_number_in_flight_is_bounded() {
    let mut options = LineOptions::default();
    options.max_in_flight = 2;
    let mut wire = open(Tools::default(), options);
    for id in ["1", "2", "3"] {
        wire.send(&tool_call(id, "hang")).await;
    }
    let refused = wire.next().await;
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(3), &json!(-32603))
    );
    wire.send(&cancel("1")).await;
    wire.send(&tool_call("4", "a")).await;
    assert_eq!(wire.next().await["id"], 4);
}

#[tokio::test]
async fn a_line_that_is_too_long_or_not_json_costs_only_itself() {
    let mut options = LineOptions::default();
    options.max_line = 1000;
    let mut wire = open(Tools::default(), options);
    wire.send(&"x".repeat(200_000)).await;
    let refused = wire.next().await;
    assert!(
        refused.get("id").is_none() && refused["error"]["code"] == -32600,
        "{refused}"
    );
    for (line, code) in [
        ("{", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
    ] {
        wire.send(line).await;
        assert_eq!(wire.next().await["error"]["code"], code);
    }
    wire.send(&tool_call("1", "a")).await;
    assert_eq!(wire.next().await["result"]["text"], "a");
}

// spec: stdio-14
#[tokio::test]
async fn it_ends_when_its_input_ends() {
    let mut options = LineOptions::default();
    options.grace = Duration::from_millis(50);
    let seen = Arc::new(Seen::default());
    let mut wire = open(Tools(Arc::clone(&seen)), options);
    wire.send(&tool_call("1", "hang")).await;
    assert!(wire.end().await.is_empty());
    assert_eq!(seen.dropped(), 1);
}

#[tokio::test]
async fn what_is_under_way_when_the_input_ends_is_still_answered() {
    let mut wire = open(Tools::default(), LineOptions::default());
    wire.send(&tool_call("1", "slow")).await;
    // The last line may lack its line feed.
    wire.writer
        .as_mut()
        .unwrap()
        .write_all(tool_call("2", "a").as_bytes())
        .await
        .unwrap();
    let rest = wire.end().await;
    assert_eq!(
        rest.iter()
            .map(|answer| answer["id"].as_i64().unwrap())
            .collect::<Vec<_>>(),
        [2, 1]
    );
}

// spec: cancellation-02, subscriptions-09
#[tokio::test]
async fn a_shutdown_closes_subscriptions_with_both_messages() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(far);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = serve_lines_until(reader, writer, Subscribing, LineOptions::default(), async {
        _ = stopped.await
    });
    let served = tokio::spawn(served);
    let (reader, mut writer) = tokio::io::split(near);
    let mut lines = BufReader::new(reader).lines();
    writer
        .write_all(format!("{}\n", listen("\"l\"")).as_bytes())
        .await
        .unwrap();
    let mut next = async || -> Value {
        serde_json::from_str(&within(lines.next_line()).await.unwrap().unwrap()).unwrap()
    };
    assert_eq!(
        next().await["method"],
        "notifications/subscriptions/acknowledged"
    );
    stop.send(()).unwrap();
    let cancelled = next().await;
    assert_eq!(
        (&cancelled["method"], &cancelled["params"]["requestId"]),
        (&json!("notifications/cancelled"), &json!("l"))
    );
    let closing = next().await;
    assert_eq!(closing["id"], "l");
    assert_eq!(
        closing["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "l"
    );
    within(served).await.unwrap().unwrap();
}

/// Acknowledges, reports a change, and then stays silent.
#[derive(Clone)]
struct Subscribing;

impl tower_service::Service<carryall_proto::Call> for Subscribing {
    type Response = Reply;
    type Error = CallError;
    type Future = std::future::Ready<Result<Reply, CallError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), CallError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: carryall_proto::Call) -> Self::Future {
        let ack = carryall_proto::listen::acknowledged(call.id(), &Default::default());
        let first = futures_util::stream::iter([Ok(Message::Notification(ack))]);
        std::future::ready(Ok(Reply::Stream(Box::pin(
            first.chain(futures_util::stream::pending()),
        ))))
    }
}

/// A client's channel and the server's end of it.
fn channel() -> (Channel, Wire) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(near);
    let channel = Channel::open(reader, writer, ChannelOptions::default());
    let (reader, writer) = tokio::io::split(far);
    let served = tokio::spawn(async { Ok(()) });
    (
        channel,
        Wire {
            lines: BufReader::new(reader).lines(),
            writer: Some(writer),
            served,
        },
    )
}

fn outcome(reply: Reply) -> Value {
    let Reply::Once(response) = reply else {
        panic!("{reply:?}")
    };
    let Outcome::Result(result) = response.outcome else {
        panic!("{response:?}")
    };
    result.decode().unwrap()
}

// spec: base-jsonrpc-05, stdio-07
#[tokio::test]
async fn calls_with_the_same_id_do_not_meet_on_a_channel() {
    let (channel, mut server) = channel();
    let answer = async {
        let (first, second) = (server.next().await, server.next().await);
        assert_ne!(first["id"], second["id"]);
        for request in [second, first] {
            let result = json!({"jsonrpc": "2.0", "id": request["id"], "result": {"name": request["params"]["name"]}});
            server.send(&result.to_string()).await;
        }
    };
    let (one, two, ()) = tokio::join!(
        channel.call(call("7", "one")),
        channel.call(call("7", "two")),
        answer
    );
    for (reply, name) in [(one, "one"), (two, "two")] {
        let Reply::Once(response) = reply.unwrap() else {
            panic!()
        };
        assert_eq!(response.id, 7.into());
        assert!(
            matches!(response.outcome, Outcome::Result(result) if result.as_str().contains(name))
        );
    }
}

// spec: stdio-06, stdio-10, cancellation-01, cancellation-05, cancellation-11, cancellation-15
#[tokio::test]
async fn dropping_a_call_cancels_it_once() {
    let (channel, mut server) = channel();
    let asked = tokio::spawn({
        let channel = channel.clone();
        async move { channel.call(call("7", "hang")).await }
    });
    let id = server.next().await["id"].clone();
    asked.abort();
    let cancelled = server.next().await;
    assert_eq!(
        (&cancelled["method"], &cancelled["params"]["requestId"]),
        (&json!("notifications/cancelled"), &id)
    );
    assert!(cancelled.get("id").is_none());
    // A response that crossed it is ignored, and a call that has its answer is not cancelled.
    server
        .send(&json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string())
        .await;
    let (reply, ()) = tokio::join!(channel.call(call("8", "a")), async {
        let id = server.next().await["id"].clone();
        server
            .send(&json!({"jsonrpc": "2.0", "id": id, "result": {"x": 1}}).to_string())
            .await;
    });
    assert_eq!(outcome(reply.unwrap()), json!({"x": 1}));
    channel.close().await;
    assert!(
        within(server.lines.next_line()).await.unwrap().is_none(),
        "nothing else was written"
    );
}

// spec: stdio-08, subscriptions-07
#[tokio::test]
async fn a_subscription_is_known_to_its_caller_by_the_callers_id() {
    let (channel, mut server) = channel();
    let carryall_proto::decode::ClientMessage::Call(call) =
        carryall_proto::decode::decode_frame(listen("\"mine\"").into()).unwrap()
    else {
        panic!()
    };
    let id_key = "io.modelcontextprotocol/subscriptionId";
    let (reply, id) = tokio::join!(channel.call(call), async {
        let id = server.next().await["id"].clone();
        assert_ne!(id, "mine");
        let ack = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"_meta": {id_key: id}, "notifications": {}}});
        server.send(&ack.to_string()).await;
        id
    });
    let Reply::Stream(mut stream) = reply.unwrap() else {
        panic!()
    };
    let Some(Ok(Message::Notification(ack))) = within(stream.next()).await else {
        panic!()
    };
    assert_eq!(
        ack.params.unwrap().decode::<Value>().unwrap()["_meta"][id_key],
        "mine"
    );
    // Either message ends it; what comes second is ignored.
    server.send(&cancel(&id.to_string())).await;
    server
        .send(&json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string())
        .await;
    let Some(Ok(Message::Response(closing))) = within(stream.next()).await else {
        panic!()
    };
    assert_eq!(closing.id, "mine".into());
    assert!(
        matches!(closing.outcome, Outcome::Result(result) if result.as_str().contains("\"mine\""))
    );
    assert!(within(stream.next()).await.is_none());
}

// spec: progress-03
#[tokio::test]
async fn a_progress_token_used_twice_is_translated() {
    let (channel, mut server) = channel();
    let with_token = |name: &str| {
        let text =
            tool_call("1", name).replace("\"_meta\":{", "\"_meta\":{\"progressToken\":\"t\",");
        match carryall_proto::decode::decode_frame(text.into()) {
            Ok(carryall_proto::decode::ClientMessage::Call(call)) => call,
            other => panic!("{other:?}"),
        }
    };
    let (one, two, ()) = tokio::join!(
        channel.call(with_token("a")),
        channel.call(with_token("b")),
        async {
            let requests = [server.next().await, server.next().await];
            let tokens = requests
                .each_ref()
                .map(|request| request["params"]["_meta"]["progressToken"].clone());
            assert_ne!(tokens[0], tokens[1]);
            for (n, token) in tokens.iter().enumerate() {
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": n}});
                server.send(&progress.to_string()).await;
            }
        }
    );
    for (n, reply) in [one, two].into_iter().enumerate() {
        let Reply::Stream(mut stream) = reply.unwrap() else {
            panic!()
        };
        let Some(Ok(Message::Notification(progress))) = within(stream.next()).await else {
            panic!()
        };
        assert_eq!(
            progress.params.unwrap().decode::<Value>().unwrap(),
            json!({"progressToken": "t", "progress": n})
        );
    }
}

#[tokio::test]
async fn what_a_server_must_not_send_is_ignored() {
    let (channel, mut server) = channel();
    let (reply, ()) = tokio::join!(channel.call(call("1", "a")), async {
        let id = server.next().await["id"].clone();
        server.send("a stray print").await;
        server
            .send(&json!({"jsonrpc": "2.0", "id": 5, "method": "roots/list"}).to_string())
            .await;
        server
            .send(&json!({"jsonrpc": "2.0", "id": format!("x{id}"), "result": {}}).to_string())
            .await;
        server
            .send(&json!({"jsonrpc": "2.0", "id": id, "result": {"right": true}}).to_string())
            .await;
    });
    assert_eq!(outcome(reply.unwrap()), json!({"right": true}));
}

#[tokio::test]
async fn a_lost_channel_breaks_the_calls_on_it() {
    let (channel, mut server) = channel();
    let (reply, ()) = tokio::join!(channel.call(call("1", "a")), async {
        server.next().await;
        drop(server);
    });
    assert!(matches!(reply.unwrap_err(), CallError::Broken(_)));
    assert!(channel.lost().is_some());
    assert!(channel.call(call("2", "a")).await.unwrap_err().is_unsent());
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told() {
    let (channel, mut server) = channel();
    let carryall_proto::decode::ClientMessage::Call(call) =
        carryall_proto::decode::decode_frame(listen("1").into()).unwrap()
    else {
        panic!()
    };
    let change = |id: &Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id}}}).to_string()
    };
    let (reply, id) = tokio::join!(channel.call(call), async {
        let id = server.next().await["id"].clone();
        server.send(&change(&id)).await;
        id
    });
    let Reply::Stream(stream) = reply.unwrap() else {
        panic!()
    };
    for _ in 0..1100 {
        server.send(&change(&id)).await;
    }
    assert_eq!(server.next().await["method"], "notifications/cancelled");
    let messages: Vec<_> = within(stream.collect::<Vec<_>>()).await;
    assert!(matches!(messages.last(), Some(Err(CallError::Broken(_)))));
    assert!(messages.len() <= 1026, "{}", messages.len());
}

fn socket_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("carryall-{name}-{}.sock", std::process::id()))
}

// spec: transport-general-06
#[tokio::test]
async fn the_same_lines_work_over_a_unix_socket() {
    let path = socket_path("unix");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = SocketServer::bind_unix(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        SocketServer::bind_unix(&path).is_err(),
        "somebody serves it"
    );
    let served = tokio::spawn(server.run_until(Tools::default(), async { _ = stopped.await }));
    let mut client = SocketClient::unix(&path);
    assert_eq!(
        outcome(within(client.call(call("1", "a"))).await.unwrap())["text"],
        "a"
    );
    stop.send(()).unwrap();
    within(served).await.unwrap();
    assert!(!path.exists());
    assert!(within(client.call(call("1", "a"))).await.is_err());
    // A new server on the same path is found again.
    let server = SocketServer::bind_unix(&path).unwrap();
    tokio::spawn(server.run(Tools::default()));
    assert_eq!(
        outcome(within(client.call(call("1", "b"))).await.unwrap())["text"],
        "b"
    );
    std::fs::remove_file(path).unwrap();
}

// spec: transport-general-04
#[tokio::test]
async fn a_socket_carries_the_same_messages_and_asks_for_the_same_metadata() {
    let path = socket_path("format");
    tokio::spawn(
        SocketServer::bind_unix(&path)
            .unwrap()
            .run(Tools::default()),
    );
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let bare = r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"a"}}"#;
    for (line, id, member) in [
        (bare.to_owned(), json!("x"), "error"),
        (tool_call("7", "a"), json!(7), "result"),
    ] {
        writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let answer: Value =
            serde_json::from_str(&within(lines.next_line()).await.unwrap().unwrap()).unwrap();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &id));
        assert!(answer.get(member).is_some(), "{answer}");
    }
    std::fs::remove_file(path).unwrap();
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<String>>);

impl tracing::field::Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        write!(self.0.lock().unwrap(), "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

// spec: cancellation-17
#[tokio::test]
async fn the_reason_of_a_cancellation_is_logged() {
    let log = Log::default();
    let _on_this_thread = tracing::subscriber::set_default(log.clone());
    let mut wire = open(Tools::default(), LineOptions::default());
    wire.send(&tool_call("1", "hang")).await;
    wire.send(&cancel("1")).await;
    wire.end().await;
    let log = log.0.lock().unwrap();
    assert!(log.contains("bored"), "{log}");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let path = socket_path("stale");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(SocketServer::bind_unix(&path).unwrap());
    std::fs::write(&path, "precious").unwrap();
    assert!(SocketServer::bind_unix(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn the_same_lines_work_over_tcp_and_web_pages_are_hung_up_on() {
    let server = SocketServer::bind_tcp("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    tokio::spawn(server.run(Tools(Arc::clone(&seen))));
    let mut client = SocketClient::tcp(address.to_string());
    let large = outcome(within(client.call(call("1", "large"))).await.unwrap());
    assert_eq!(large["text"].as_str().unwrap().len(), 300_000);
    assert_eq!(seen.started(), 1);
    let mut page = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n{}\n",
        tool_call("1", "a")
    );
    page.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(page).lines();
    while let Ok(Some(_)) = within(lines.next_line()).await {}
    assert_eq!(seen.started(), 1, "the page's request was not executed");
}

#[tokio::test]
async fn loopback_sends_everything_through_the_wire_form() {
    let mut client = Loopback::new(Tools::default());
    assert_eq!(
        outcome(client.call(call("1", "a")).await.unwrap())["text"],
        "a"
    );
    let Reply::Stream(stream) = client.call(call("1", "stream")).await.unwrap() else {
        panic!()
    };
    assert_eq!(stream.collect::<Vec<_>>().await.len(), 3);
    let initialize = call("1", "a").derive(
        1.into(),
        "initialize".into(),
        carryall_proto::Params::empty(),
    );
    let Reply::Once(refused) = client.call(initialize).await.unwrap() else {
        panic!()
    };
    assert!(matches!(refused.outcome, Outcome::Error(error) if error.code == -32601));
}
