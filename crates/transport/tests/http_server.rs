//! The HTTP endpoint, on the wire.

mod common;

use carryall_proto::Principal;
use carryall_transport::http::{Endpoint, HttpServer, OriginPolicy};
use common::{HEADERS, Seen, Tools, eventually, http, post_tool, read_answer, send, serve, tool_call, within};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

// spec: http-security-01, http-send-08, base-jsonrpc-06
#[tokio::test]
async fn a_call_is_answered_with_one_json_object() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("hello")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), serde_json::json!({"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","text":"hello"}}));
}

#[tokio::test]
async fn a_large_answer_and_a_large_request_arrive_whole() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("large")).await;
    assert_eq!(answer.json()["result"]["text"].as_str().unwrap().len(), 300_000);
    let answer = send(address, &post_tool("large-stream")).await;
    assert_eq!(answer.events()[0]["result"]["text"].as_str().unwrap().len(), 300_000);
    let body = tool_call("1", "params").replace("\"name\"", &format!("\"pad\":\"{}\",\"name\"", "y".repeat(2_000_000)));
    let answer = send(address, &http("POST", &format!("{HEADERS}Mcp-Name: params\r\n"), &body)).await;
    assert_eq!(answer.json()["result"]["pad"].as_str().unwrap().len(), 2_000_000);
}

// spec: http-receive-01, http-receive-04, http-receive-06, http-send-08
#[tokio::test]
async fn notifications_make_it_an_event_stream_that_ends_with_the_response() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("stream")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let events = answer.events();
    assert_eq!(events.len(), 3);
    assert_eq!((&events[0]["params"]["progress"], &events[1]["params"]["progress"]), (&1.into(), &2.into()));
    assert_eq!(events[2]["result"]["text"], "streamed");
}

// spec: http-receive-04, progress-11
#[tokio::test]
async fn nothing_follows_the_response() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let events = send(address, &post_tool("after-response")).await.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["result"]["text"], "last");
}

#[tokio::test]
async fn line_breaks_in_a_result_do_not_break_an_event() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let events = send(address, &post_tool("pretty-stream")).await.events();
    assert_eq!(events[0]["result"]["resultType"], "complete");
}

// spec: http-receive-07
#[tokio::test]
async fn a_silent_call_turns_into_a_stream_with_comments() {
    let endpoint = Endpoint::new(Tools::default())
        .sse_after(Duration::from_millis(30))
        .keep_alive(Duration::from_millis(50));
    let address = serve(endpoint).await;
    let answer = send(address, &post_tool("slow")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.body.starts_with(":\n\n:\n\n"), "{:?}", answer.body);
    assert_eq!(answer.events()[0]["result"]["text"], "slow");
}

// spec: http-send-08
#[tokio::test]
async fn a_call_that_is_faster_than_the_delay_is_plain_json() {
    let address = serve(Endpoint::new(Tools::default()).sse_after(Duration::from_secs(30))).await;
    let answer = send(address, &post_tool("slow")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

// spec: http-receive-10, http-receive-11, cancellation-04, cancellation-13
#[tokio::test]
async fn a_client_that_leaves_cancels_its_call() {
    for (tool, endpoint) in [
        ("hang", Endpoint::new(Tools::default())),
        ("hang", Endpoint::new(Tools::default()).sse_after(Duration::from_millis(1))),
        ("listen", Endpoint::new(Tools::default())),
    ] {
        let _ = endpoint;
        let seen = Arc::new(Seen::default());
        let delay = if tool == "hang" { Duration::from_millis(20) } else { Duration::from_secs(5) };
        let address = serve(Endpoint::new(Tools(Arc::clone(&seen))).sse_after(delay)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(post_tool(tool).as_bytes()).await.unwrap();
        eventually("the call starts", || seen.started() == 1).await;
        assert_eq!(seen.dropped(), 0);
        drop(stream);
        eventually("the call is dropped", || seen.dropped() == 1).await;
    }
}
