//! Answers of upstreams with something malformed in them: the rest is used.

mod common;

use carryall_gateway::Gateway;
use carryall_testkit::{answer, call};
use common::*;
use serde_json::{Value, json};

/// Answers `method` like this, and has nothing else.
fn odd(method: &'static str, value: Value) -> Fake {
    Fake::at_once(move |call| {
        Ok(match call.method().as_str() {
            asked if asked == method => result(call, value.clone()),
            _ => error(call, -32601, "Method not found"),
        })
    })
}

/// `odd` beside one that answers in good order.
fn two(method: &'static str, value: Value, good: Value) -> Gateway {
    gateway([
        upstream("odd", &[&odd(method, value)]),
        upstream("good", &[&odd(method, good)]),
    ])
}

async fn listed(gateway: &Gateway, method: &str, member: &str, key: &str) -> Vec<Value> {
    let answered = answer(gateway, call(method, json!({}))).await;
    answered.result()[member]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item[key].clone())
        .collect()
}

#[tokio::test]
async fn a_list_that_is_null_is_empty_and_its_upstream_is_not_left_out() {
    let good = json!({"tools": [{"name": "x"}], "ttlMs": 5, "cacheScope": "public"});
    let gateway = two(
        "tools/list",
        json!({"tools": null, "ttlMs": 9, "cacheScope": "public"}),
        good,
    );
    let answered = answer(&gateway, call("tools/list", json!({}))).await;
    assert_eq!(answered.result()["tools"], json!([{"name": "good__x"}]));
    assert_eq!(
        answered.result()["ttlMs"],
        5,
        "nothing is missing, so it need not be asked for again at once"
    );
}

#[tokio::test]
async fn a_cursor_that_is_none_ends_the_list_and_costs_no_entries() {
    for cursor in [json!(5), json!({}), json!(true), Value::Null] {
        let tools = json!({"tools": [{"name": "x"}], "nextCursor": cursor});
        let gateway = two("tools/list", tools, json!({"tools": [{"name": "y"}]}));
        let answered = answer(&gateway, call("tools/list", json!({}))).await;
        assert_eq!(
            answered.result()["tools"],
            json!([{"name": "odd__x"}, {"name": "good__y"}])
        );
        assert!(answered.result().get("nextCursor").is_none());
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_addressed_costs_only_itself() {
    let entries = |key: &str| {
        let named =
            |name: &str| json!({"name": name, "uri": name, "uriTemplate": name, "title": 5});
        json!([5, null, {}, {key: 5}, named("a:{x}"), ["a"], named("b:{x}"), "x"])
    };
    for (method, member, key, prefix) in [
        ("tools/list", "tools", "name", "odd__"),
        ("prompts/list", "prompts", "name", "odd__"),
        ("resources/list", "resources", "uri", ""),
        (
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
            "",
        ),
    ] {
        let gateway = two(method, json!({member: entries(key)}), json!({member: []}));
        let expected = [format!("{prefix}a:{{x}}"), format!("{prefix}b:{{x}}")];
        assert_eq!(
            listed(&gateway, method, member, key).await,
            expected,
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_capability_that_cannot_be_read_costs_only_itself() {
    let good = json!({"supportedVersions": ["2026-07-28"], "capabilities": {"prompts": {}}});
    for (odd, capabilities, instructions) in [
        (
            json!({"capabilities": {"tools": {"listChanged": true}, "resources": 5}, "instructions": "Use x."}),
            json!({"tools": {"listChanged": true}, "prompts": {}}),
            true,
        ),
        (
            json!({"capabilities": {"tools": {}}, "instructions": 5}),
            json!({"tools": {}, "prompts": {}}),
            false,
        ),
        (
            json!({"capabilities": {"tools": {}}, "supportedVersions": "2026-07-28", "instructions": "Use x."}),
            json!({"tools": {}, "prompts": {}}),
            true,
        ),
        (
            json!({"capabilities": [], "supportedVersions": [], "instructions": "Use x."}),
            json!({"prompts": {}}),
            true,
        ),
    ] {
        let gateway = two("server/discover", odd.clone(), good.clone());
        let answered = answer(&gateway, call("server/discover", json!({}))).await;
        assert_eq!(answered.result()["capabilities"], capabilities, "{odd}");
        let said = answered.result()["instructions"]
            .as_str()
            .unwrap_or_default();
        assert_eq!(said.contains("Use x."), instructions, "{odd}");
    }
    let gateway = two("server/discover", json!({"tools": []}), json!([]));
    assert_eq!(
        answer(&gateway, call("server/discover", json!({})))
            .await
            .code(),
        -32601,
        "neither is a server's"
    );
}
