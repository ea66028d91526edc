//! The response cache: what is stored, for how long, and for whom.

use crate::support::{Does, Log, Says, done, refuse, serving, serving_with};
use carryall_client::{Client, ResponseCache};
use carryall_types::{JsonValue, SubscriptionFilter};
use serde_json::json;
use std::time::Duration;

fn contents(n: usize, hints: JsonValue) -> Does {
    let mut result = json!({"contents": [{"uri": "r:", "text": n.to_string()}]});
    result
        .as_object_mut()
        .unwrap()
        .extend(hints.as_object().unwrap().clone());
    done(result)
}

/// Returns a client of a server whose `resources/read` results carry `hints` and the number of the call.
fn reading(hints: JsonValue) -> (Client, Log) {
    serving(move |seen| contents(seen.n, hints.clone()))
}

fn fresh(ms: u64, scope: &str) -> JsonValue {
    json!({"ttlMs": ms, "cacheScope": scope})
}

async fn read(client: &Client, uri: &str) {
    client.read_resource(uri).await.unwrap();
}

// spec: caching-06, caching-11, caching-12
#[tokio::test(start_paused = true)]
async fn a_response_is_reused_while_fresh() {
    let (client, log) = reading(fresh(1000, "private"));
    read(&client, "r:").await;
    tokio::time::advance(Duration::from_millis(999)).await;
    read(&client, "r:").await;
    assert_eq!(log.len(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(log.len(), 1, "fetched without a request");
    read(&client, "r:").await;
    assert_eq!(log.len(), 2);
}

// spec: caching-05, caching-07, caching-08
#[tokio::test]
async fn zero_missing_and_negative_ttls_are_stale_immediately() {
    for hints in [
        fresh(0, "public"),
        json!({"ttlMs": -5, "cacheScope": "public"}),
        json!({"cacheScope": "public"}),
        json!({}),
    ] {
        let (client, log) = reading(hints.clone());
        read(&client, "r:").await;
        read(&client, "r:").await;
        assert_eq!(log.len(), 2, "{hints}");
    }
}

// spec: caching-03
#[tokio::test]
async fn the_key_is_the_method_and_its_parameters() {
    let page = |seen: &crate::support::Seen| {
        let mut result = json!({"ttlMs": 10_000, "cacheScope": "public", "contents": [], "tools": [], "prompts": [], "resources": []});
        result["resourceTemplates"] = json!([]);
        result["supportedVersions"] = json!([]);
        result["capabilities"] = json!({"experimental": {"n": {"n": seen.n}}});
        done(result)
    };
    let (client, log) = serving(page);
    for _ in 0..2 {
        read(&client, "a:").await;
        read(&client, "b:").await;
        client.tools_page(None).await.unwrap();
        client.tools_page(Some("")).await.unwrap();
        client.tools_page(Some("x")).await.unwrap();
        client.prompts_page(None).await.unwrap();
        client.resources_page(None).await.unwrap();
        client.resource_templates_page(None).await.unwrap();
        client.discover().await.unwrap();
    }
    assert_eq!(log.len(), 9);
    client.discover().no_cache().await.unwrap();
    assert_eq!(log.len(), 10);
    client.discover().await.unwrap();
    assert_eq!(log.len(), 10);
}

#[tokio::test]
async fn responses_without_hints_are_not_cached() {
    let (client, log) = serving(|_| {
        done(
            json!({"content": [], "messages": [], "completion": {"values": []}, "ttlMs": 10_000, "cacheScope": "public"}),
        )
    });
    for _ in 0..2 {
        client.call("t", ()).await.unwrap();
        client.get_prompt("p", ()).await.unwrap();
    }
    assert_eq!(log.len(), 4);
}

// spec: caching-04
#[tokio::test]
async fn neither_input_requests_nor_the_results_of_rounds_are_cached() {
    let (client, log) = serving(|seen| {
        let round = seen.params.get("requestState").is_some();
        if round {
            contents(seen.n, fresh(10_000, "public"))
        } else {
            Does::Result(
                json!({"resultType": "input_required", "requestState": "s", "ttlMs": 10_000, "cacheScope": "public"}),
            )
        }
    });
    read(&client, "r:").await;
    read(&client, "r:").await;
    assert_eq!(log.len(), 4);
    assert!(client.cache().unwrap().is_empty());
}

// spec: caching-17
#[tokio::test]
async fn private_responses_are_not_shared_between_authorization_contexts() {
    for (scope, asked) in [("private", 2), ("public", 1), ("Public", 2), ("", 2)] {
        let cache = ResponseCache::default();
        let (ann, log) = serving_with(
            |builder| builder.cache(cache).context("ann").server_id("s"),
            move |seen| contents(seen.n, fresh(10_000, scope)),
        );
        let bob = ann.for_context("bob");
        read(&ann, "r:").await;
        read(&bob, "r:").await;
        read(&ann, "r:").await;
        read(&bob, "r:").await;
        assert_eq!(log.len(), asked, "{scope:?}");
    }
}

#[tokio::test]
async fn servers_sharing_a_cache_are_kept_apart() {
    let cache = ResponseCache::default();
    let with = |id: &'static str| {
        let cache = cache.clone();
        serving_with(
            move |builder| builder.cache(cache).server_id(id),
            |seen| contents(seen.n, fresh(10_000, "public")),
        )
    };
    let ((a, seen_a), (b, seen_b), (again, seen_again)) = (with("a"), with("b"), with("a"));
    for client in [&a, &b, &again] {
        read(client, "r:").await;
    }
    assert_eq!((seen_a.len(), seen_b.len(), seen_again.len()), (1, 1, 0));
}

#[tokio::test]
async fn errors_are_not_cached_and_caching_can_be_disabled() {
    let (client, log) = serving(|seen| {
        if seen.n == 0 {
            refuse(-32603)
        } else {
            contents(seen.n, fresh(10_000, "public"))
        }
    });
    assert!(client.read_resource("r:").await.is_err());
    read(&client, "r:").await;
    assert_eq!(log.len(), 2);
    let (client, log) = serving_with(
        |builder| builder.cache(None),
        |seen| contents(seen.n, fresh(10_000, "public")),
    );
    read(&client, "r:").await;
    read(&client, "r:").await;
    assert_eq!(log.len(), 2);
}

// spec: caching-19
#[tokio::test]
async fn a_change_notification_invalidates_the_responses_it_concerns() {
    for (method, params, kept) in [
        (
            "notifications/tools/list_changed",
            json!({}),
            [false, true, true, true, true, true],
        ),
        (
            "notifications/prompts/list_changed",
            json!({}),
            [true, false, true, true, true, true],
        ),
        (
            "notifications/resources/list_changed",
            json!({}),
            [true, true, false, false, true, true],
        ),
        (
            "notifications/resources/updated",
            json!({"uri": "a:"}),
            [true, true, true, true, false, true],
        ),
    ] {
        let (client, log) = serving(move |seen| match seen.method.as_str() {
            "subscriptions/listen" => Does::Say(vec![
                Says::Note(
                    "notifications/subscriptions/acknowledged",
                    json!({"notifications": seen.params["notifications"]}),
                ),
                Says::Note(method, params.clone()),
                Says::Result(json!({"resultType": "complete"})),
            ]),
            _ => {
                let mut result = fresh(10_000, "public");
                for member in [
                    "contents",
                    "tools",
                    "prompts",
                    "resources",
                    "resourceTemplates",
                ] {
                    result[member] = json!([]);
                }
                done(result)
            }
        });
        let ask = async || {
            let mut sent = Vec::new();
            for n in 0..6 {
                let before = log.len();
                match n {
                    0 => drop(client.list_tools().await.unwrap()),
                    1 => drop(client.list_prompts().await.unwrap()),
                    2 => drop(client.list_resources().await.unwrap()),
                    3 => drop(client.list_resource_templates().await.unwrap()),
                    4 => drop(client.read_resource("a:").await.unwrap()),
                    _ => drop(client.read_resource("b:").await.unwrap()),
                }
                sent.push(log.len() == before);
            }
            sent
        };
        ask().await;
        assert_eq!(ask().await, [true; 6]);
        let filter = SubscriptionFilter::new()
            .with_tools_list_changed(true)
            .with_prompts_list_changed(true)
            .with_resources_list_changed(true)
            .with_resource_subscriptions(vec!["a:".to_owned()]);
        let mut listener = client.listen(filter).await.unwrap();
        while let Some(change) = listener.next().await {
            change.unwrap();
        }
        assert_eq!(ask().await, kept, "{method}");
    }
}

// spec: caching-20
#[tokio::test(start_paused = true)]
async fn pages_expire_independently_and_are_refetched_by_cursor() {
    let (client, log) = serving(|seen| {
        let (cursor, ttl) = (
            seen.params["cursor"].as_str(),
            if seen.params["cursor"].is_null() {
                10_000
            } else {
                1_000
            },
        );
        let mut page = json!({"prompts": [], "ttlMs": ttl, "cacheScope": "public"});
        if cursor.is_none() {
            page["nextCursor"] = "2".into();
        }
        done(page)
    });
    client.list_prompts().await.unwrap();
    client.list_prompts().await.unwrap();
    assert_eq!(log.len(), 2);
    tokio::time::advance(Duration::from_secs(5)).await;
    client.list_prompts().await.unwrap();
    let seen = log.all();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].params["cursor"], "2");
}

// spec: caching-22
#[tokio::test]
async fn no_cache_fetches_every_page_of_a_list() {
    let (client, log) = serving(|seen| {
        let mut page = json!({"prompts": [], "ttlMs": 10_000, "cacheScope": "public"});
        if seen.params["cursor"].is_null() {
            page["nextCursor"] = "2".into();
        }
        done(page)
    });
    client.list_prompts().await.unwrap();
    client.list_prompts().no_cache().await.unwrap();
    let cursors: Vec<_> = log
        .all()
        .iter()
        .map(|seen| seen.params["cursor"].clone())
        .collect();
    assert_eq!(
        cursors,
        [JsonValue::Null, "2".into(), JsonValue::Null, "2".into()]
    );
}

// spec: caching-23
#[tokio::test(start_paused = true)]
async fn an_invalid_cursor_drops_all_pages_and_restarts_the_list() {
    let (client, log) = serving(|seen| {
        // After the restart the cursors have other names.
        let page = |next: Option<&str>| {
            let mut page = json!({"prompts": [{"name": format!("p{}", seen.n)}], "ttlMs": if next.is_some() { 60_000 } else { 1 }, "cacheScope": "public"});
            if let Some(next) = next {
                page["nextCursor"] = next.into();
            }
            done(page)
        };
        match (seen.n, seen.params["cursor"].as_str()) {
            (0, None) => page(Some("old")),
            (1, Some("old")) => page(None),
            (_, None) => page(Some("new")),
            (_, Some("new")) => page(None),
            _ => refuse(-32602),
        }
    });
    client.list_prompts().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let names: Vec<_> = client
        .list_prompts()
        .await
        .unwrap()
        .into_iter()
        .map(|prompt| prompt.name)
        .collect();
    // The first page is cached and its cursor is refused, so all pages are fetched again.
    assert_eq!(names, ["p3", "p4"]);
    assert_eq!(log.len(), 5);
}
