//! Clients on lines that stop taking what they have asked for, and servers that say too much.

mod common;

use carryall_proto::{Call, Response, SharedService};
use carryall_transport::lines::{Channel, ChannelOptions, LineOptions, serve_lines};
use carryall_types::RawJson;
use common::{Tools, call, tool_call, within};
use futures_util::{FutureExt as _, StreamExt as _};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

fn options(stalled: Duration) -> LineOptions {
    let mut options = LineOptions::default();
    options.grace = Duration::from_millis(20);
    options.stalled = stalled;
    options
}

/// Calls for so many answers of 300 kB, and the end of input.
async fn ask_and_leave(
    calls: usize,
    stalled: Duration,
) -> (tokio::task::JoinHandle<()>, impl tokio::io::AsyncRead) {
    let (mut input, server_input) = duplex(1 << 20);
    let (server_output, output) = duplex(1024);
    let served = tokio::spawn(async move {
        serve_lines(
            server_input,
            server_output,
            Tools::default(),
            options(stalled),
        )
        .await
        .unwrap();
    });
    for id in 0..calls {
        input
            .write_all(format!("{}\n", tool_call(&id.to_string(), "large")).as_bytes())
            .await
            .unwrap();
    }
    drop(input);
    (served, output)
}

#[tokio::test]
async fn a_client_that_has_left_and_takes_nothing_is_not_waited_for() {
    // Less output than makes the server stop reading: it has seen the end of its input.
    for calls in [1, 3] {
        let (served, _output) = ask_and_leave(calls, Duration::from_millis(50)).await;
        tokio::time::timeout(Duration::from_secs(5), served)
            .await
            .expect("it waits for ever")
            .unwrap();
    }
}

#[tokio::test]
async fn a_client_that_has_left_and_reads_slowly_gets_everything() {
    let (served, mut output) = ask_and_leave(3, Duration::from_secs(5)).await;
    // Longer than the grace time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut text = String::new();
    within(output.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text.lines().count(), 3);
    within(served).await.unwrap();
}

#[tokio::test]
async fn calls_of_a_client_that_reads_nothing_are_not_worked_on() {
    let (mut input, server_input) = duplex(1 << 20);
    let (server_output, mut output) = duplex(1024);
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let service = SharedService::from_fn(move |call: Call| {
        count.fetch_add(1, SeqCst);
        let text = RawJson::from(
            &serde_json::json!({"resultType": "complete", "text": "x".repeat(300_000)}),
        );
        Box::pin(std::future::ready(Ok(Response::result(
            call.id().clone(),
            text,
        )
        .into())))
    });
    for id in 0..64 {
        input
            .write_all(format!("{}\n", tool_call(&id.to_string(), "x")).as_bytes())
            .await
            .unwrap();
    }
    // No write timeout, as on standard streams.
    let mut served = pin!(serve_lines(
        server_input,
        server_output,
        service,
        LineOptions::default()
    ));
    for _ in 0..200 {
        assert!(served.as_mut().now_or_never().is_none());
    }
    assert_eq!(
        answered.load(SeqCst),
        4,
        "1 MiB, and the answer that went beyond it"
    );
    // Nothing is lost: it goes on where it has stopped.
    drop(input);
    let mut text = String::new();
    let both = async { tokio::join!(served, output.read_to_string(&mut text)) };
    let (served, read) = within(both).await;
    served.unwrap();
    read.unwrap();
    assert_eq!((text.lines().count(), answered.load(SeqCst)), (64, 64));
}

#[tokio::test]
async fn notifications_that_nobody_takes_are_bounded_in_bytes() {
    let (near, far) = duplex(1 << 20);
    let (reader, writer) = tokio::io::split(near);
    let channel = Channel::open(reader, writer, ChannelOptions::default());
    let server = tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(far);
        let mut line = vec![0; 4096];
        let _ = reader.read(&mut line).await.unwrap();
        let long = "x".repeat(4 << 20);
        for n in 0..20 {
            let progress = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":7,"progress":{n},"message":"{long}"}}}}"#
            );
            writer.write_all(progress.as_bytes()).await.unwrap();
            writer.write_all(b"\n").await.unwrap();
        }
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#;
        writer
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .unwrap();
        // The answer to the next call comes behind all of that.
        let _ = reader.read(&mut line).await.unwrap();
        writer
            .write_all(format!("{}\n", answer.replace(":1,", ":2,")).as_bytes())
            .await
            .unwrap();
        // Held open until the client has seen everything.
        let _ = reader.read(&mut line).await;
    });
    let mut asked = call("1", "a");
    let with_token = tool_call("1", "a").replace(r#""_meta":{"#, r#""_meta":{"progressToken":7,"#);
    if let Ok(carryall_proto::decode::ClientMessage::Call(call)) =
        carryall_proto::decode::decode_frame(with_token.into())
    {
        asked = call;
    }
    let carryall_proto::Reply::Stream(stream) = within(channel.call(asked)).await.unwrap() else {
        panic!("notifications come first")
    };
    // Nobody takes anything until all has been said and read.
    within(channel.call(call("2", "b"))).await.unwrap();
    let messages: Vec<_> = within(stream.collect()).await;
    assert!(messages.last().unwrap().is_ok(), "the response is not lost");
    // The first was taken, 16 MiB of further ones were kept, and the response.
    assert_eq!(messages.len(), 5, "messages of 4 MiB were kept");
    drop(channel);
    server.abort();
}
