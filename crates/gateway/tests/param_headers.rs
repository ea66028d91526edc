//! `Mcp-Param-*` headers of calls that arrive without them.

mod common;

use carryall_gateway::{Gateway, Upstream};
use carryall_proto::{Call, Reply};
use carryall_testkit::{answer, call, call_over_http};
use common::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A server over HTTP whose tool `query` mirrors its argument `region` into the header that
/// `header` numbers.
#[derive(Clone)]
struct Mirroring {
    fake: Fake,
    header: Arc<AtomicUsize>,
}

impl Mirroring {
    fn new() -> Self {
        let header = Arc::<AtomicUsize>::default();
        let now = Arc::clone(&header);
        let fake = Fake::at_once(move |call| {
            let header = format!("Region{}", now.load(Ordering::SeqCst));
            Ok(match call.method().as_str() {
                "tools/list" => list(call, &header),
                _ => query(call, &header),
            })
        });
        Self { fake, header }
    }

    fn count(&self, method: &str) -> usize {
        self.fake
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.method().as_str() == method)
            .count()
    }

    /// The headers of the last call.
    fn last_headers(&self) -> Vec<(String, String)> {
        let seen = self.fake.seen.lock().unwrap();
        let headers = seen.last().unwrap().headers().cloned().unwrap_or_default();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }
}

fn list(call: &Call, header: &str) -> Reply {
    let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": header}}});
    let plain = json!({"name": "plain", "inputSchema": {"type": "object"}});
    match call.params().get_str("cursor") {
        None => result(call, json!({"tools": [plain], "nextCursor": "2"})),
        Some(_) => result(
            call,
            json!({"tools": [{"name": "query", "inputSchema": schema}]}),
        ),
    }
}

fn query(call: &Call, header: &str) -> Reply {
    let params: Value = call.params().raw().decode().unwrap();
    let expected = params["arguments"]["region"]
        .as_str()
        .filter(|_| params["name"] == "query");
    let name = format!("mcp-param-{}", header.to_lowercase());
    let given = call
        .headers()
        .as_ref()
        .and_then(|headers| headers.get(&name))
        .map(|value| value.to_str().unwrap());
    if given == expected {
        said(call, "done")
    } else {
        error(call, -32020, "Header mismatch")
    }
}

fn query_in(region: &str) -> Call {
    call(
        "tools/call",
        json!({"name": "query", "arguments": {"region": region}}),
    )
}

async fn text(gateway: &Gateway, call: Call) -> String {
    answer(gateway, call).await.text().to_owned()
}

#[tokio::test]
async fn a_call_without_headers_gets_those_that_a_list_has_shown() {
    let server = Mirroring::new();
    let gateway = one(&[&server.fake]);
    answer(&gateway, call("tools/list", json!({"cursor": "x"}))).await;
    assert_eq!(text(&gateway, query_in("eu")).await, "done");
    assert_eq!(
        server.last_headers(),
        [("mcp-param-region0".into(), "eu".into())]
    );
    assert_eq!(
        (server.count("tools/list"), server.count("tools/call")),
        (1, 1),
        "at the first attempt"
    );
    assert_eq!(
        text(&gateway, call("tools/call", json!({"name": "plain"}))).await,
        "done"
    );
    assert!(server.last_headers().is_empty());
    assert_eq!(
        text(
            &gateway,
            call("tools/call", json!({"name": "query", "arguments": {}}))
        )
        .await,
        "done"
    );
    assert!(server.last_headers().is_empty(), "no value, no header");
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_sent_once_more_with_the_headers_of_the_current_schema() {
    let server = Mirroring::new();
    let (gateway, b) = (two_with(&server), "a__query");
    let ask = async |region: &str| {
        let asked = call(
            "tools/call",
            json!({"name": b, "arguments": {"region": region}}),
        );
        text(&gateway, asked).await
    };
    assert_eq!(ask("eu").await, "done");
    assert_eq!(
        (server.count("tools/list"), server.count("tools/call")),
        (2, 2),
        "both pages, then again"
    );
    assert_eq!(ask("us").await, "done");
    assert_eq!(
        (server.count("tools/list"), server.count("tools/call")),
        (2, 3),
        "known from then on"
    );
    server.header.store(1, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(ask("us").await, "done");
    assert_eq!(
        server.last_headers(),
        [("mcp-param-region1".into(), "us".into())],
        "the old one is gone"
    );
}

fn two_with(server: &Mirroring) -> Gateway {
    gateway([
        upstream("a", &[&server.fake]),
        upstream("b", &[&Fake::saying("b")]),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_everything_is_not_listed_again_each_time() {
    let fake = Fake::at_once(|call| {
        Ok(match call.method().as_str() {
            "tools/list" => list(call, "Region"),
            _ => error(call, -32020, "Header mismatch"),
        })
    });
    let gateway = one(&[&fake]);
    for _ in 0..50 {
        assert_eq!(answer(&gateway, query_in("eu")).await.code(), -32020);
    }
    let calls = |method: &str| {
        fake.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.method().as_str() == method)
            .count()
    };
    assert_eq!((calls("tools/list"), calls("tools/call")), (2, 51));
}

#[tokio::test]
async fn what_a_client_on_http_sends_is_not_repaired() {
    let server = Mirroring::new();
    let gateway = one(&[&server.fake]);
    answer(&gateway, call("tools/list", json!({"cursor": "x"}))).await;
    let params = json!({"name": "query", "arguments": {"region": "eu"}});
    for (headers, code) in [
        (vec![], -32020),
        (vec![("mcp-param-region0", "us")], -32020),
    ] {
        let answered = answer(
            &gateway,
            call_over_http(&headers, "tools/call", params.clone()),
        )
        .await;
        assert_eq!(answered.code(), code, "{headers:?}");
    }
    assert_eq!(server.count("tools/list"), 1);
    let own = call_over_http(&[("mcp-param-region0", "eu")], "tools/call", params);
    assert_eq!(text(&gateway, own).await, "done");
}

#[tokio::test]
async fn an_argument_that_no_header_can_carry_is_refused_with_its_reason() {
    let server = Mirroring::new();
    let gateway = one(&[&server.fake]);
    answer(&gateway, call("tools/list", json!({"cursor": "x"}))).await;
    let asked = call(
        "tools/call",
        json!({"name": "query", "arguments": {"region": ["eu"]}}),
    );
    let answered = answer(&gateway, asked).await;
    assert_eq!(answered.code(), -32602);
    assert!(
        answered.error()["message"]
            .as_str()
            .unwrap()
            .contains("Mcp-Param-Region0"),
        "{:?}",
        answered.error()
    );
    assert_eq!(server.count("tools/call"), 0);
}

#[tokio::test]
async fn on_a_channel_of_lines_there_are_no_headers() {
    let server = Mirroring::new();
    let local = Upstream::new("local")
        .unwrap()
        .shared_channel()
        .with_replica("child", server.fake.service());
    let gateway = gateway([local]);
    answer(&gateway, call("tools/list", json!({"cursor": "x"}))).await;
    answer(&gateway, query_in("eu")).await;
    assert!(server.last_headers().is_empty());
    assert_eq!(
        (server.count("tools/list"), server.count("tools/call")),
        (1, 1)
    );
}

#[tokio::test]
async fn tools_are_listed_for_their_headers_in_a_bounded_number_of_bytes() {
    let (page, padding) = (AtomicUsize::new(0), "x".repeat(4 << 20));
    let fake = Fake::at_once(move |call| {
        Ok(match call.method().as_str() {
            "tools/list" => {
                let cursor = page.fetch_add(1, Ordering::SeqCst).to_string();
                result(
                    call,
                    json!({"tools": [], "description": padding, "nextCursor": cursor}),
                )
            }
            _ => error(call, -32020, "Header mismatch"),
        })
    });
    assert_eq!(answer(&one(&[&fake]), query_in("eu")).await.code(), -32020);
    assert!(
        (8..=11).contains(&fake.count()),
        "{} pages of 4 MiB",
        fake.count()
    );
}

/// Tools of which some have annotations that break a rule.
const TOOLS: &str = r#"[{"name":"good","n":1.50,"inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"}}}},
    {"name":"number","inputSchema":{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}},
    {"name":"twice","inputSchema":{"type":"object","properties":{
        "a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}},
    {"name":"empty","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":""}}}},
    {"name":"plain","description":"no x-mcp-header","inputSchema":{"type":"object"}}]"#;

/// Lists them in one answer, or at the end of a stream.
fn some_invalid(streams: bool) -> Fake {
    Fake::at_once(move |call| {
        let tools: Value = serde_json::from_str(TOOLS).unwrap();
        let list = json!({"tools": tools, "acme/x": 1});
        Ok(match (call.method().as_str(), streams) {
            ("tools/list", false) => result(call, list),
            ("tools/list", true) => {
                let log = notification(
                    "notifications/message",
                    json!({"level": "error", "data": "x"}),
                );
                stream(vec![Ok(log), Ok(response(call, list))])
            }
            _ => query(call, "A"),
        })
    })
}

async fn listed(gateway: &Gateway, call: Call) -> Vec<String> {
    let answered = answer(gateway, call).await;
    let tools = answered.result()["tools"].as_array().unwrap().clone();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

// spec: http-headers-22, http-headers-24
#[tokio::test]
async fn tools_whose_headers_nobody_can_make_are_left_out_where_the_headers_are_made_here() {
    for streams in [false, true] {
        let fake = some_invalid(streams);
        let single = one(&[&fake]);
        assert_eq!(
            listed(&single, call("tools/list", json!({}))).await,
            ["good", "plain"]
        );
        let answered = answer(&single, call("tools/list", json!({}))).await;
        assert_eq!(
            answered.result()["acme/x"],
            1,
            "the rest of the answer stays"
        );
        let several = gateway([
            upstream("a", &[&fake]),
            upstream("b", &[&Fake::saying("b")]),
        ]);
        assert_eq!(
            listed(&several, call("tools/list", json!({}))).await,
            ["a__good", "a__plain"]
        );
        assert_eq!(
            listed(&single, call_over_http(&[], "tools/list", json!({})))
                .await
                .len(),
            5,
            "theirs to leave out"
        );
        let local = Upstream::new("local")
            .unwrap()
            .shared_channel()
            .with_replica("child", fake.service());
        let local = gateway([local]);
        assert_eq!(
            listed(&local, call("tools/list", json!({}))).await.len(),
            5,
            "no headers, no rules"
        );
    }
}
