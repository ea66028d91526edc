//! Several upstreams as one server.

mod common;

use carryall_gateway::{Gateway, code};
use carryall_proto::{Call, CallError, Reply};
use carryall_testkit::{TestReply, answer, call, meta_with};
use common::*;
use serde_json::{Value, json};
use std::time::Duration;

/// A server with these tools on pages of `size`.
fn tools(names: &'static [&'static str], size: usize) -> Fake {
    Fake::at_once(move |call| {
        Ok(match call.method().as_str() {
            "tools/list" => page(
                call,
                "tools",
                names,
                size,
                |name| json!({"name": name, "inputSchema": {"type": "object"}}),
            ),
            "tools/call" => said(call, &format!("called {}", name_of(call))),
            _ => error(call, -32601, "Method not found"),
        })
    })
}

fn name_of(call: &Call) -> String {
    call.name().unwrap().to_owned()
}

fn page(
    call: &Call,
    member: &str,
    all: &[&str],
    size: usize,
    item: impl Fn(&str) -> Value,
) -> Reply {
    let cursor: Option<String> = call
        .params()
        .get("cursor")
        .map(|cursor| cursor.decode().unwrap());
    let start = match cursor.as_deref() {
        None => 0,
        Some(cursor) => match cursor
            .strip_prefix("at:")
            .and_then(|at| at.parse::<usize>().ok())
        {
            Some(at) => at,
            None => return error(call, -32602, "Invalid cursor"),
        },
    };
    let end = (start + size).min(all.len());
    let items: Vec<Value> = all[start..end].iter().map(|name| item(name)).collect();
    let mut value =
        json!({"resultType": "complete", member: items, "ttlMs": 60_000, "cacheScope": "public"});
    if end < all.len() {
        value["nextCursor"] = json!(format!("at:{end}"));
    }
    result(call, value)
}

fn broken() -> Fake {
    Fake::at_once(|_| Err(dead()))
}

fn stalled() -> Fake {
    Fake::new(|_| Box::pin(std::future::pending()))
}

fn two(a: &Fake, b: &Fake) -> Gateway {
    gateway([upstream("a", &[a]), upstream("b", &[b])])
}

async fn pages(gateway: &Gateway, method: &str) -> Vec<Value> {
    let mut pages: Vec<Value> = Vec::new();
    let mut params = json!({});
    while pages.len() < 20 {
        let answered = answer(gateway, call(method, params)).await;
        pages.push(answered.result().clone());
        let Some(cursor) = answered.result().get("nextCursor") else {
            return pages;
        };
        params = json!({"cursor": cursor});
    }
    panic!("no end");
}

fn names(pages: &[Value], member: &str) -> Vec<String> {
    let items = pages
        .iter()
        .flat_map(|page| page[member].as_array().unwrap());
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn call_tool(gateway: &Gateway, name: &str) -> TestReply {
    answer(
        gateway,
        call("tools/call", json!({"name": name, "arguments": {"x": 1}})),
    )
    .await
}

// spec: tools-15, tools-16, gateway-derived-06
#[tokio::test]
async fn all_pages_of_all_upstreams_are_there_each_name_once() {
    let (a, b) = (
        tools(&["one", "same", "three", "four", "five"], 2),
        tools(&["same"], 10),
    );
    let gateway = two(&a, &b);
    let pages = pages(&gateway, "tools/list").await;
    assert_eq!(
        names(&pages, "tools"),
        [
            "a__one", "a__same", "b__same", "a__three", "a__four", "a__five"
        ]
    );
    assert_eq!(
        pages.len(),
        3,
        "the first page holds something of everybody"
    );
    assert_eq!(
        (a.count(), b.count()),
        (3, 1),
        "nobody is asked for what is not there"
    );
    assert_eq!(call_tool(&gateway, "b__same").await.text(), "called same");
    assert_eq!(b.last_params()["arguments"], json!({"x": 1}));
}

// spec: tools-15
#[tokio::test]
async fn names_with_the_separator_in_them_resolve() {
    let (a, b) = (tools(&["x__y", "__init__"], 10), tools(&["a__x__y"], 10));
    let gateway = two(&a, &b);
    for (name, text) in [
        ("a__x__y", "called x__y"),
        ("a____init__", "called __init__"),
        ("b__a__x__y", "called a__x__y"),
    ] {
        assert_eq!(call_tool(&gateway, name).await.text(), text);
    }
}

// spec: tools-22
#[tokio::test]
async fn an_unknown_name_is_invalid_params_and_nobody_is_asked() {
    let (a, b) = (tools(&["x"], 10), tools(&["x"], 10));
    let gateway = two(&a, &b);
    for name in ["x", "c__x", "", "a_x"] {
        let answered = call_tool(&gateway, name).await;
        assert_eq!(answered.code(), -32602);
        let message = answered.error()["message"].as_str().unwrap();
        assert!(
            message.contains("a__") && message.contains("b__"),
            "{message}"
        );
    }
    assert_eq!((a.count(), b.count()), (0, 0));
    assert_eq!(
        answer(&gateway, call("acme/x", json!({}))).await.code(),
        -32601
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_or_stalled_upstream_is_left_out_and_the_list_is_stale_at_once() {
    for absent in [
        broken(),
        stalled(),
        Fake::at_once(|_| Err(CallError::Malformed("x".into()))),
    ] {
        let a = tools(&["x"], 10);
        let gateway = two(&a, &absent);
        let start = tokio::time::Instant::now();
        let pages = pages(&gateway, "tools/list").await;
        assert!(
            start.elapsed() <= Duration::from_secs(6),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(names(&pages, "tools"), ["a__x"]);
        assert_eq!(
            (&pages[0]["ttlMs"], &pages[0]["cacheScope"]),
            (&json!(0), &json!("public"))
        );
    }
}

#[tokio::test]
async fn a_result_that_is_no_list_costs_only_its_upstream() {
    for odd in [
        json!({"tools": 5}),
        json!({}),
        json!([]),
        json!({"resultType": "input_required"}),
    ] {
        let odd = Fake::at_once(move |call| Ok(result(call, odd.clone())));
        let pages = pages(&two(&odd, &tools(&["x"], 10)), "tools/list").await;
        assert_eq!(names(&pages, "tools"), ["b__x"]);
        assert_eq!(pages[0]["ttlMs"], 0);
    }
}

#[tokio::test]
async fn when_nobody_answers_the_list_is_an_error() {
    let answered = answer(&two(&broken(), &broken()), call("tools/list", json!({}))).await;
    assert_eq!(answered.code(), code::UPSTREAM_UNREACHABLE);
    let none = Fake::at_once(|call| Ok(error(call, -32601, "Method not found")));
    assert_eq!(
        answer(&two(&none, &none), call("prompts/list", json!({})))
            .await
            .code(),
        -32601
    );
}

// spec: gateway-derived-07, caching-01, caching-09
#[tokio::test]
async fn a_merged_list_is_as_fresh_as_its_stalest_part_and_private_if_any_is() {
    let with = |ttl: Value, scope: &'static str| {
        Fake::at_once(move |call| {
            Ok(result(
                call,
                json!({"resultType": "complete", "tools": [], "ttlMs": ttl, "cacheScope": scope}),
            ))
        })
    };
    let public = with(json!(5000), "public");
    for (other, ttl, scope) in [
        (with(json!(3000), "public"), 3000, "public"),
        (with(json!(9000), "private"), 5000, "private"),
        (with(json!(-1), "public"), 0, "public"),
        (with(json!("x"), "shared"), 0, "private"),
    ] {
        let answered = answer(&two(&public, &other), call("tools/list", json!({}))).await;
        assert_eq!(
            (
                &answered.result()["ttlMs"],
                &answered.result()["cacheScope"]
            ),
            (&json!(ttl), &json!(scope))
        );
    }
}

// spec: caching-24
#[tokio::test]
async fn all_pages_of_a_list_have_the_same_scope() {
    let private = Fake::at_once(|call| {
        Ok(result(
            call,
            json!({"tools": [], "ttlMs": 5, "cacheScope": "private"}),
        ))
    });
    let pages = pages(&two(&private, &tools(&["x", "y", "z"], 1)), "tools/list").await;
    let scopes: Vec<_> = pages
        .iter()
        .map(|page| page["cacheScope"].as_str().unwrap())
        .collect();
    assert_eq!(
        scopes, ["private"; 3],
        "the later pages are of the public upstream alone"
    );
}

// spec: pagination-04
#[tokio::test]
async fn an_empty_cursor_of_an_upstream_is_a_cursor() {
    let odd = Fake::at_once(|call| {
        Ok(match call.params().get_str("cursor") {
            None => result(call, json!({"tools": [{"name": "one"}], "nextCursor": ""})),
            Some("\"\"") => result(call, json!({"tools": [{"name": "two"}]})),
            Some(_) => error(call, -32602, "Invalid cursor"),
        })
    });
    let pages = pages(&two(&odd, &tools(&["x"], 1)), "tools/list").await;
    assert_eq!(names(&pages, "tools"), ["a__one", "b__x", "a__two"]);
}

// spec: pagination-05
#[tokio::test]
async fn a_cursor_that_was_not_made_here_is_invalid_params() {
    let (a, b) = (tools(&["x", "y"], 1), tools(&["x"], 1));
    let gateway = two(&a, &b);
    let first = answer(&gateway, call("tools/list", json!({}))).await;
    let cursor = first.result()["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(
        answer(&gateway, call("prompts/list", json!({"cursor": cursor})))
            .await
            .code(),
        -32602
    );
    for bad in [json!("x"), json!(5), json!("")] {
        assert_eq!(
            answer(&gateway, call("tools/list", json!({"cursor": bad})))
                .await
                .code(),
            -32602
        );
    }
    let renamed = gateway_without_a(&b);
    assert_eq!(
        answer(&renamed, call("tools/list", json!({"cursor": cursor})))
            .await
            .code(),
        -32602
    );
}

fn gateway_without_a(b: &Fake) -> Gateway {
    gateway([upstream("b", &[b]), upstream("c", &[b])])
}

#[tokio::test]
async fn an_upstream_that_forgot_its_cursor_makes_the_client_begin_anew() {
    let forgetful = Fake::at_once(|call| {
        Ok(match call.params().get("cursor") {
            None => result(
                call,
                json!({"tools": [{"name": "x"}], "nextCursor": "gone"}),
            ),
            Some(_) => error(call, -32602, "Invalid cursor"),
        })
    });
    let gateway = two(&forgetful, &tools(&["x", "y"], 1));
    let first = answer(&gateway, call("tools/list", json!({}))).await;
    let next = json!({"cursor": first.result()["nextCursor"]});
    assert_eq!(
        answer(&gateway, call("tools/list", next)).await.code(),
        -32602
    );
}

#[tokio::test]
async fn an_upstream_that_goes_in_circles_ends() {
    let circle = Fake::at_once(|call| {
        Ok(result(
            call,
            json!({"tools": [{"name": "x"}], "nextCursor": "same"}),
        ))
    });
    let pages = pages(&two(&circle, &tools(&["x"], 1)), "tools/list").await;
    assert_eq!(pages.len(), 2);
}

#[tokio::test]
async fn what_a_list_says_about_an_item_stays_as_it_stands() {
    const ITEM: &str = r#"{"title":"T","name":"x","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}},"n":1.50}"#;
    let fake = Fake::at_once(|call| {
        let text = format!(r#"{{"resultType":"complete","tools":[{ITEM}]}}"#);
        let list = carryall_types::RawJson::parse(text).unwrap();
        Ok(Reply::Once(carryall_proto::Response::result(
            call.id().clone(),
            list,
        )))
    });
    use tower_service::Service as _;
    let reply = two(&fake, &broken())
        .call(call("tools/list", json!({})))
        .await
        .unwrap();
    let Reply::Once(response) = reply else {
        panic!()
    };
    let text = String::from_utf8(response.encode().into_bytes().to_vec()).unwrap();
    assert!(
        text.contains(&ITEM.replace(r#""name":"x""#, r#""name":"a__x""#)),
        "{text}"
    );
}

// spec: gateway-derived-01, gateway-derived-02
#[tokio::test]
async fn discovery_joins_what_all_can_do_and_says_who_it_is() {
    let server = |capabilities: Value, instructions: Value| {
        Fake::at_once(move |call| {
            let mut found = json!({"resultType": "complete", "supportedVersions": ["2026-07-28", "2099-01-01"],
                "capabilities": capabilities, "ttlMs": 1000, "cacheScope": "public",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "x", "version": "1"}}});
            if !instructions.is_null() {
                found["instructions"] = instructions.clone();
            }
            Ok(result(call, found))
        })
    };
    let a = server(
        json!({"tools": {"listChanged": false}, "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {"a": 1}}}),
        json!("Use x."),
    );
    let b = server(
        json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "completions": {}}),
        Value::Null,
    );
    let answered = answer(&two(&a, &b), call("server/discover", json!({}))).await;
    let found = answered.result();
    let united = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "completions": {},
        "extensions": {"io.modelcontextprotocol/ui": {"a": 1}}});
    assert_eq!(
        found["capabilities"], united,
        "no extension whose methods could not be routed"
    );
    assert_eq!(
        found["supportedVersions"],
        json!(["2026-07-28"]),
        "what the gateway itself speaks"
    );
    assert_eq!(
        found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "edge"
    );
    let instructions = found["instructions"].as_str().unwrap();
    assert!(
        instructions.contains("Use x.") && instructions.contains("`a__`"),
        "{instructions}"
    );
    assert_eq!(
        (&found["ttlMs"], &found["cacheScope"]),
        (&json!(1000), &json!("public"))
    );
    let answered = answer(&two(&broken(), &b), call("server/discover", json!({}))).await;
    assert_eq!(
        (
            &answered.result()["ttlMs"],
            &answered.result()["resultType"]
        ),
        (&json!(0), &json!("complete"))
    );
}

// spec: gateway-derived-01, gateway-derived-02
#[tokio::test]
async fn an_upstream_hears_of_no_extension_whose_answers_would_lead_nowhere() {
    let (a, b) = (tools(&["x"], 1), tools(&["x"], 1));
    let gateway = two(&a, &b);
    let capabilities = |extensions: Value| {
        let declared = json!({"elicitation": {}, "extensions": extensions});
        meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": declared, "acme/x": 1}))
    };
    let ui = json!({"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}});
    let mut all = ui.clone();
    all["io.modelcontextprotocol/tasks"] = json!({});
    all["acme/x"] = json!({});
    for (declared, upstream) in [
        (all, ui.clone()),
        (ui.clone(), ui),
        (json!({"acme/x": {}}), json!({})),
    ] {
        let params = json!({"name": "a__x", "_meta": capabilities(declared)});
        assert_eq!(
            answer(&gateway, call("tools/call", params)).await.text(),
            "called x"
        );
        assert_eq!(a.last_params()["_meta"], capabilities(upstream));
        let seen = a.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen.meta().raw().decode::<Value>().unwrap(), a_meta(&seen));
        assert!(!seen.meta().client_capabilities().has_extension("acme/x"));
    }
}

fn a_meta(call: &Call) -> Value {
    call.params().get("_meta").unwrap().decode().unwrap()
}

// spec: http-headers-edge-11
#[tokio::test]
async fn the_body_says_where_a_call_goes_and_headers_say_nothing() {
    let (a, b) = (tools(&["x"], 1), tools(&["x"], 1));
    let mut asked = call("tools/call", json!({"name": "a__x"}));
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("mcp-name", "b__x"),
        ("mcp-method", "prompts/get"),
        ("mcp-param-upstream", "b"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    *asked.headers_mut() = Some(headers);
    assert_eq!(answer(&two(&a, &b), asked).await.text(), "called x");
    assert_eq!((a.count(), b.count()), (1, 0));
}

/// A server with these resources.
fn resources(uris: &'static [&'static str], template: &'static str) -> Fake {
    Fake::at_once(move |call| {
        Ok(match call.method().as_str() {
            "resources/list" => page(
                call,
                "resources",
                uris,
                10,
                |uri| json!({"uri": uri, "name": uri}),
            ),
            "resources/templates/list" => page(
                call,
                "resourceTemplates",
                &[template],
                10,
                |uri| json!({"uriTemplate": uri, "name": uri}),
            ),
            "resources/read" if uris.contains(&&*name_of(call)) => result(
                call,
                json!({"resultType": "complete", "contents": [{"uri": name_of(call), "text": uris[0]}]}),
            ),
            "resources/read" => error(call, -32602, "Resource not found"),
            "completion/complete" => {
                let reference: Value = call.params().get("ref").unwrap().decode().unwrap();
                let known = reference["uri"] == template || reference["type"] == "ref/prompt";
                if known {
                    result(call, json!({"completion": {"values": [reference["name"]]}}))
                } else {
                    error(call, -32602, "Unknown reference")
                }
            }
            _ => error(call, -32601, "Method not found"),
        })
    })
}

async fn read(gateway: &Gateway, uri: &str) -> TestReply {
    answer(gateway, call("resources/read", json!({"uri": uri}))).await
}

fn reads(fake: &Fake) -> usize {
    fake.seen
        .lock()
        .unwrap()
        .iter()
        .filter(|call| call.method().as_str() == "resources/read")
        .count()
}

#[tokio::test]
async fn a_resource_is_read_where_it_is_listed_and_nowhere_else() {
    let (a, b) = (
        resources(&["a:1", "x:moved"], "a:{x}"),
        resources(&["b:1"], "b:{x}"),
    );
    let gateway = two(&a, &b);
    for _ in 0..2 {
        assert_eq!(
            read(&gateway, "b:1").await.result()["contents"][0]["text"],
            "b:1"
        );
    }
    assert_eq!((reads(&a), reads(&b)), (0, 2));
    let listed = pages(&gateway, "resources/list").await;
    assert_eq!(
        names(&listed, "resources"),
        ["a:1", "x:moved", "b:1"],
        "URIs stay as they are"
    );
    assert_eq!(
        read(&gateway, "b:other").await.code(),
        -32602,
        "its template claims it, and it does not have it"
    );
    assert_eq!((reads(&a), reads(&b)), (0, 3));
}

/// Answers every read with its own name, and lists nothing but what it is given.
fn greedy(lists: Value) -> Fake {
    Fake::at_once(move |call| {
        Ok(match call.method().as_str() {
            "resources/list" => result(call, json!({"resources": lists["resources"]})),
            "resources/templates/list" => {
                result(call, json!({"resourceTemplates": lists["templates"]}))
            }
            "resources/read" => result(
                call,
                json!({"contents": [{"uri": name_of(call), "text": "greedy"}]}),
            ),
            "completion/complete" => result(call, json!({"completion": {"values": ["greedy"]}})),
            _ => error(call, -32601, "Method not found"),
        })
    })
}

#[tokio::test]
async fn an_upstream_that_answers_for_every_uri_gets_none_that_it_does_not_list() {
    for lists in [
        json!({"resources": [], "templates": []}),
        json!({"resources": [{"uri": "g:1"}], "templates": [{"uriTemplate": "{+uri}"}, {"uriTemplate": "{s}:{+rest}"}]}),
    ] {
        let (greedy, b) = (greedy(lists), resources(&["b:1"], "b:{x}"));
        let gateway = two(&greedy, &b);
        assert_eq!(
            read(&gateway, "b:1").await.result()["contents"][0]["text"],
            "b:1"
        );
        for unlisted in ["b:2", "c:1", "https://example.com/", "not a uri"] {
            let answered = read(&gateway, unlisted).await;
            assert_eq!(answered.code(), -32602, "{unlisted}");
        }
        assert_eq!(
            read(&gateway, "c:1").await.error()["data"],
            json!({"uri": "c:1"})
        );
        let params = json!({"ref": {"type": "ref/resource", "uri": "c:{x}"}, "argument": {"name": "x", "value": ""}});
        assert_eq!(
            answer(&gateway, call("completion/complete", params))
                .await
                .code(),
            -32602
        );
        assert_eq!(reads(&greedy), 0);
        assert!(
            greedy
                .seen
                .lock()
                .unwrap()
                .iter()
                .all(|call| call.method().as_str() != "completion/complete")
        );
    }
}

#[tokio::test]
async fn a_scheme_that_one_upstream_alone_lists_is_its_own() {
    let (greedy, b) = (
        greedy(json!({"resources": [{"uri": "g:1"}], "templates": []})),
        resources(&["b:1"], "b:{x}"),
    );
    assert_eq!(
        read(&two(&greedy, &b), "g:unlisted").await.result()["contents"][0]["text"],
        "greedy"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_appears_later_is_found_and_made_up_ones_do_not_list_again_each_time() {
    let there = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = there.clone();
    let a = Fake::at_once(move |call| {
        let uris: &[&str] = if seen.load(std::sync::atomic::Ordering::SeqCst) {
            &["a:1"]
        } else {
            &[]
        };
        Ok(match call.method().as_str() {
            "resources/list" => page(
                call,
                "resources",
                uris,
                10,
                |uri| json!({"uri": uri, "name": uri}),
            ),
            "resources/read" => result(call, json!({"contents": [{"uri": "a:1", "text": "late"}]})),
            _ => error(call, -32601, "Method not found"),
        })
    });
    let gateway = two(&a, &resources(&["b:1"], "b:{x}"));
    for number in 0..50 {
        assert_eq!(
            read(&gateway, &format!("made-up:{number}")).await.code(),
            -32602
        );
    }
    assert_eq!(a.count(), 2, "one list of resources, one of templates");
    there.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(
        read(&gateway, "a:1").await.result()["contents"][0]["text"],
        "late"
    );
}

#[tokio::test]
async fn all_pages_of_an_upstream_are_looked_through_and_one_that_goes_in_circles_ends() {
    const MANY: [&str; 5] = ["a:1", "a:2", "a:3", "a:4", "x:5"];
    let a = Fake::at_once(|call| {
        Ok(match call.method().as_str() {
            "resources/list" => page(
                call,
                "resources",
                &MANY,
                2,
                |uri| json!({"uri": uri, "name": uri}),
            ),
            "resources/read" => result(
                call,
                json!({"contents": [{"uri": name_of(call), "text": name_of(call)}]}),
            ),
            _ => error(call, -32601, "Method not found"),
        })
    });
    let circle = Fake::at_once(|call| {
        Ok(match call.method().as_str() {
            "resources/list" => result(
                call,
                json!({"resources": [{"uri": "c:1"}], "nextCursor": "again"}),
            ),
            _ => error(call, -32601, "Method not found"),
        })
    });
    let gateway = two(&a, &circle);
    assert_eq!(
        read(&gateway, "x:5").await.result()["contents"][0]["text"],
        "x:5"
    );
    assert!(circle.count() <= 4, "{}", circle.count());
}

/// Lists pages of 4 MiB without end.
fn endless() -> Fake {
    let (page, padding) = (std::sync::atomic::AtomicUsize::new(0), "x".repeat(4 << 20));
    Fake::at_once(move |call| {
        let cursor = page
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            .to_string();
        let uri = format!("endless:{cursor}");
        let page = |member: &str, entry: Value| json!({member: [entry], "description": padding, "nextCursor": cursor});
        Ok(match call.method().as_str() {
            "resources/list" => result(call, page("resources", json!({ "uri": uri }))),
            "resources/templates/list" => result(
                call,
                page("resourceTemplates", json!({ "uriTemplate": uri })),
            ),
            "resources/read" => result(
                call,
                json!({"contents": [{"uri": name_of(call), "text": "first page"}]}),
            ),
            _ => error(call, -32020, "Header mismatch"),
        })
    })
}

#[tokio::test]
async fn resources_are_looked_for_in_a_bounded_number_of_bytes_and_what_was_found_is_used() {
    let endless = endless();
    let gateway = two(&endless, &resources(&["b:1"], "b:{x}"));
    assert_eq!(read(&gateway, "b:other").await.code(), -32602);
    assert!(
        (8..=12).contains(&endless.count()),
        "{} pages of 4 MiB",
        endless.count()
    );
    assert_eq!(
        read(&gateway, "endless:1").await.result()["contents"][0]["text"],
        "first page"
    );
}

#[tokio::test(start_paused = true)]
async fn resources_are_looked_for_within_the_fan_out_time_however_many_pages_there_are() {
    let slow = Fake::new(|call| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let next = format!("{}+", call.params().string("cursor").unwrap_or_default());
            let more = json!({"resources": [], "nextCursor": next});
            Ok(result(&call, more))
        })
    });
    let gateway = two(&slow, &resources(&["b:1"], "b:{x}"));
    let start = tokio::time::Instant::now();
    assert_eq!(read(&gateway, "c:1").await.code(), code::UPSTREAM_TIMEOUT);
    assert!(
        start.elapsed() <= Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert!(slow.count() <= 6, "{}", slow.count());
}

#[tokio::test]
async fn a_uri_that_two_upstreams_list_is_there_once_and_the_first_ones() {
    let (a, b) = (
        resources(&["a:1", "same"], "t:{x}"),
        resources(&["b:1", "same"], "t:{x}"),
    );
    let gateway = two(&a, &b);
    assert_eq!(
        names(&pages(&gateway, "resources/list").await, "resources"),
        ["a:1", "same", "b:1"]
    );
    assert_eq!(
        names(
            &pages(&gateway, "resources/templates/list").await,
            "resourceTemplates"
        ),
        ["t:{x}"]
    );
    assert_eq!(
        read(&gateway, "same").await.result()["contents"][0]["text"],
        "a:1"
    );
}

#[tokio::test]
async fn a_resource_whose_owner_may_be_dead_is_not_declared_missing() {
    let a = resources(&["a:1"], "a:{x}");
    assert_eq!(
        read(&two(&a, &broken()), "a:1").await.result()["contents"][0]["text"],
        "a:1"
    );
    assert_eq!(
        read(&two(&a, &broken()), "b:1").await.code(),
        code::UPSTREAM_UNREACHABLE
    );
}

#[tokio::test]
async fn a_resource_of_a_dead_upstream_is_not_read_from_another_that_lists_it_too() {
    let dead = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = dead.clone();
    let first = resources(&["same"], "t:{x}");
    let first = Fake::new(move |call| {
        let (mut first, dead) = (
            first.service(),
            seen.load(std::sync::atomic::Ordering::SeqCst),
        );
        Box::pin(async move {
            use tower_service::Service as _;
            if dead {
                Err(common::dead())
            } else {
                first.call(call).await
            }
        })
    });
    let second = resources(&["same"], "t:{x}");
    let gateway = two(&first, &second);
    assert!(
        read(&gateway, "same")
            .await
            .response
            .get("result")
            .is_some()
    );
    dead.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        read(&gateway, "same").await.code(),
        code::UPSTREAM_UNREACHABLE
    );
    assert_eq!(reads(&second), 0);
}

#[tokio::test]
async fn completion_goes_where_its_prompt_or_template_is() {
    let (a, b) = (resources(&["a:1"], "a:{x}"), resources(&["b:1"], "b:{x}"));
    let gateway = two(&a, &b);
    let complete = async |reference: Value| {
        let argument = json!({"name": "x", "value": ""});
        answer(
            &gateway,
            call(
                "completion/complete",
                json!({"ref": reference, "argument": argument}),
            ),
        )
        .await
    };
    let answered = complete(json!({"type": "ref/prompt", "name": "b__greet", "title": "T"})).await;
    assert_eq!(answered.result()["completion"]["values"], json!(["greet"]));
    assert_eq!(
        b.last_params()["ref"],
        json!({"type": "ref/prompt", "name": "greet", "title": "T"})
    );
    assert_eq!(
        complete(json!({"type": "ref/resource", "uri": "b:{x}"}))
            .await
            .result()["completion"]["values"],
        json!([null])
    );
    for bad in [
        json!({"type": "ref/prompt", "name": "greet"}),
        json!({"type": "ref/x"}),
        json!(5),
    ] {
        assert_eq!(complete(bad).await.code(), -32602);
    }
}

#[tokio::test]
async fn prompts_are_named_like_tools() {
    let fake = Fake::at_once(|call| {
        Ok(match call.method().as_str() {
            "prompts/list" => result(
                call,
                json!({"prompts": [{"name": "greet"}], "ttlMs": 1, "cacheScope": "public"}),
            ),
            _ => result(call, json!({"description": name_of(call), "messages": []})),
        })
    });
    let gateway = two(&tools(&["x"], 1), &fake);
    let listed = pages(&gateway, "prompts/list").await;
    assert_eq!(names(&listed, "prompts"), ["b__greet"]);
    assert_eq!(
        listed[0]["ttlMs"], 1,
        "an upstream without prompts does not make the list stale"
    );
    let got = answer(&gateway, call("prompts/get", json!({"name": "b__greet"}))).await;
    assert_eq!(got.result()["description"], "greet");
}
