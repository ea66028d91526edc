//! Cache hints on every cacheable result, and on no other.

use carryall_server::{HandlerError, Prompt, Resource, Server, Tool};
use carryall_testkit::{TestReply, answer, call, call_as};
use carryall_types::InputRequiredResult;
use serde_json::{Value, json};
use std::time::Duration;

const CACHEABLE: [(&str, &str); 6] = [
    ("server/discover", ""),
    ("tools/list", ""),
    ("prompts/list", ""),
    ("resources/list", ""),
    ("resources/templates/list", ""),
    ("resources/read", "x:plain"),
];

fn builder() -> carryall_server::ServerBuilder {
    Server::new("cache", "1")
        .tool(Tool::new("a", async || "ok"))
        .tool(Tool::new("b", async || "ok"))
        .prompt(Prompt::new("p", async || "ok").argument("a", "", false))
        .resource(Resource::new("x:plain", "r", async || "text"))
        .resource(
            Resource::new("x:public", "r", async || "text")
                .public()
                .ttl(Duration::from_secs(2)),
        )
        .resource(
            Resource::new("x:mixed", "r", async || "text")
                .public()
                .requires_scope("s"),
        )
        .resource(Resource::new("x:ask", "r", async || {
            Err::<String, _>(HandlerError::input_required(
                InputRequiredResult::new().with_request_state("s"),
            ))
        }))
        .resource(Resource::template("y:{v}", "t", async || ""))
        .complete_prompt("p", "a", async || vec!["v"])
}

fn hints(answered: &TestReply) -> (Option<&Value>, Option<&Value>) {
    (
        answered.result().get("ttlMs"),
        answered.result().get("cacheScope"),
    )
}

fn params(uri: &str) -> Value {
    if uri.is_empty() {
        json!({})
    } else {
        json!({"uri": uri})
    }
}

// spec: caching-01, caching-09, caching-25, discover-02
#[tokio::test]
async fn cacheable_results_are_private_and_not_fresh_by_default() {
    let server = builder().build().unwrap();
    for (method, uri) in CACHEABLE {
        let answered = answer(&server, call(method, params(uri))).await;
        assert_eq!(
            hints(&answered),
            (Some(&json!(0)), Some(&json!("private"))),
            "{method}"
        );
    }
}

// spec: caching-09, caching-18, caching-25
#[tokio::test]
async fn hints_are_those_of_the_author() {
    let server = builder()
        .list_ttl(Duration::from_millis(1500))
        .public_lists()
        .build()
        .unwrap();
    for (method, uri) in &CACHEABLE[..3] {
        let answered = answer(&server, call(method, params(uri))).await;
        assert_eq!(
            hints(&answered),
            (Some(&json!(1500)), Some(&json!("public"))),
            "{method}"
        );
    }
    let public = answer(&server, call("resources/read", params("x:public"))).await;
    assert_eq!(hints(&public), (Some(&json!(2000)), Some(&json!("public"))));
    let plain = answer(&server, call("resources/read", params("x:plain"))).await;
    assert_eq!(
        hints(&plain),
        (Some(&json!(0)), Some(&json!("private"))),
        "hints of lists do not apply to contents"
    );
    let longest = builder().list_ttl(Duration::MAX).build().unwrap();
    let answered = answer(&longest, call("tools/list", json!({}))).await;
    assert!(
        answered.result()["ttlMs"].is_u64(),
        "an integer, however long"
    );
}

// spec: caching-25, caching-26
#[tokio::test]
async fn results_with_restricted_entries_are_never_public() {
    let server = builder().public_lists().build().unwrap();
    let list = answer(&server, call("resources/list", json!({}))).await;
    assert_eq!(
        list.result()["cacheScope"],
        json!("private"),
        "x:mixed is in some callers' lists"
    );
    let read = answer(
        &server,
        call_as("ann", &["s"], "resources/read", params("x:mixed")),
    )
    .await;
    assert_eq!(read.result()["cacheScope"], json!("private"));
    assert_eq!(
        answer(&server, call("resources/read", params("x:mixed")))
            .await
            .code(),
        -32602
    );
}

// spec: caching-24
#[tokio::test]
async fn all_pages_of_a_list_have_the_same_scope() {
    for (server, scope) in [
        (builder().page_size(1).public_lists(), "public"),
        (builder().page_size(1), "private"),
    ] {
        let server = server.build().unwrap();
        let first = answer(&server, call("tools/list", json!({}))).await;
        let next = json!({"cursor": first.result()["nextCursor"]});
        let second = answer(&server, call("tools/list", next)).await;
        assert_eq!(
            [&first, &second].map(|page| page.result()["cacheScope"].clone()),
            [json!(scope), json!(scope)]
        );
        assert_eq!(second.result()["tools"][0]["name"], json!("b"));
    }
}

// spec: caching-02
#[tokio::test]
async fn nothing_else_carries_hints() {
    let server = builder().build().unwrap();
    let complete =
        json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}});
    for (method, params) in [
        ("resources/read", params("x:ask")),
        ("tools/call", json!({"name": "a"})),
        ("prompts/get", json!({"name": "p"})),
        ("completion/complete", complete),
    ] {
        assert_eq!(
            hints(&answer(&server, call(method, params)).await),
            (None, None),
            "{method}"
        );
    }
}
