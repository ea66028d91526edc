//! What every request carries, and when one is sent again.

use crate::support::{Does, done, refuse, refuse_with, serving, serving_with, text};
use carryall_client::{Client, ClientError};
use carryall_proto::{CallError, key};
use carryall_types::{Implementation, JsonObject, PromptReference, RequestId, SubscriptionFilter};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::future::IntoFuture;
use std::time::Duration;

/// One request of each method.
async fn ask_everything(client: &Client) {
    let none = BTreeMap::new();
    let _ = client.discover().await;
    let _ = client.list_tools().await;
    let _ = client.call("t", json!({})).await;
    let _ = client.list_prompts().await;
    let _ = client.get_prompt("p", ()).await;
    let _ = client.list_resources().await;
    let _ = client.list_resource_templates().await;
    let _ = client.read_resource("r:").await;
    let _ = client
        .complete(PromptReference::new("p"), "a", "", &none)
        .await;
    let _ = client.listen(SubscriptionFilter::new()).await;
    let _ = client.request("x/y", ()).await;
}

// spec: meta-08, meta-09, meta-12
#[tokio::test]
async fn every_request_says_version_capabilities_and_client() {
    let (client, log) = serving(|_| refuse(-32601));
    ask_everything(&client).await;
    let seen = log.all();
    let methods: HashSet<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!((seen.len(), methods.len()), (11, 11));
    for seen in &seen {
        assert_eq!(
            seen.meta(key::PROTOCOL_VERSION),
            "2026-07-28",
            "{}",
            seen.method
        );
        assert_eq!(
            *seen.meta(key::CLIENT_CAPABILITIES),
            json!({}),
            "{}",
            seen.method
        );
        assert_eq!(
            *seen.meta(key::CLIENT_INFO),
            json!({"name": "test", "version": "0"}),
            "{}",
            seen.method
        );
        assert!(seen.meta(key::LOG_LEVEL).is_null() && seen.meta(key::PROGRESS_TOKEN).is_null());
    }
}

#[tokio::test]
async fn a_client_may_keep_its_name_to_itself() {
    let (client, log) = serving_with(
        |builder| builder.info(None::<Implementation>),
        |_| refuse(-32601),
    );
    let _ = client.discover().await;
    assert!(log.all()[0].meta(key::CLIENT_INFO).is_null());
}

// spec: base-jsonrpc-03, base-jsonrpc-04, base-jsonrpc-05
#[tokio::test]
async fn ids_are_integers_and_never_come_twice() {
    let (client, log) = serving(|_| done(json!({"content": []})));
    let clone = client.clone();
    let calls = (0..50).map(|n| {
        if n % 2 == 0 {
            client.call("t", ())
        } else {
            clone.call("t", ())
        }
    });
    futures_util::future::join_all(calls.map(IntoFuture::into_future)).await;
    let ids: HashSet<RequestId> = log.all().into_iter().map(|seen| seen.id).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| matches!(id, RequestId::Number(_))));
}

// spec: base-jsonrpc-02
#[tokio::test]
async fn every_request_passes_the_door_of_a_server() {
    // The loopback writes each call out and admits it as a server does.
    let (server, log) = crate::support::Server::logged(|_| refuse(-32601));
    let client = Client::builder()
        .service(carryall_transport::Loopback::new(server))
        .build()
        .unwrap();
    ask_everything(&client).await;
    assert_eq!(log.len(), 11);
}

// spec: meta-18, meta-19, discover-05
#[tokio::test]
async fn what_a_server_calls_itself_changes_nothing() {
    let asked_of = async |info: serde_json::Value| {
        let (client, log) = serving(move |seen| {
            let mut result = json!({"content": [{"type": "text", "text": seen.n.to_string()}]});
            result["_meta"] = json!({key::SERVER_INFO: info});
            for member in [
                "contents",
                "tools",
                "prompts",
                "resources",
                "resourceTemplates",
                "messages",
                "supportedVersions",
            ] {
                result[member] = json!([]);
            }
            result["capabilities"] = json!({});
            result["completion"] = json!({"values": []});
            done(result)
        });
        ask_everything(&client).await;
        log.all()
            .into_iter()
            .map(|seen| (seen.id, seen.method, seen.params))
            .collect::<Vec<_>>()
    };
    let known = asked_of(json!({"name": "trusted-server", "version": "9"})).await;
    assert_eq!(known.len(), 11);
    for other in [
        json!({"name": "evil", "version": "0"}),
        json!("nonsense"),
        json!(null),
    ] {
        assert_eq!(asked_of(other).await, known);
    }
}

#[tokio::test]
async fn parameters_are_those_of_the_schema() {
    let (client, log) = serving(|_| refuse(-32601));
    let resolved = BTreeMap::from([("lang".to_owned(), "py".to_owned())]);
    let _ = client.call("t", json!({"a": [1, "x"]})).await;
    let _ = client.call("t", ()).await;
    let _ = client.call("t", None::<JsonObject>).await;
    let _ = client.get_prompt("p", json!({"a": "b"})).await;
    let _ = client.read_resource("file:///a").await;
    let _ = client
        .complete(PromptReference::new("p"), "framework", "fla", &resolved)
        .await;
    let _ = client
        .request("x/y", json!({"k": null, "_meta": {"x": 1}}))
        .await;
    let params: Vec<_> = log.all().iter().map(|seen| seen.own_params()).collect();
    assert_eq!(
        params,
        [
            json!({"name": "t", "arguments": {"a": [1, "x"]}}),
            json!({"name": "t"}),
            json!({"name": "t"}),
            json!({"name": "p", "arguments": {"a": "b"}}),
            json!({"uri": "file:///a"}),
            json!({
                "ref": {"type": "ref/prompt", "name": "p"},
                "argument": {"name": "framework", "value": "fla"},
                "context": {"arguments": {"lang": "py"}}
            }),
            json!({"k": null}),
        ]
    );
}

#[tokio::test]
async fn arguments_that_are_no_object_are_never_sent() {
    let (client, log) = serving(|_| done(json!({})));
    for error in [
        client.call("t", 5).await.unwrap_err(),
        client.call("t", "null").await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, ClientError::Request(why) if why.contains("object")),
            "{error}"
        );
        assert!(error.is_unsent());
    }
    assert!(matches!(
        client.request("x/y", [1]).await,
        Err(ClientError::Request(_))
    ));
    assert_eq!(log.len(), 0);
}

// spec: meta-21
#[tokio::test]
async fn trace_context_passes_through_and_must_be_well_formed() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ambient = || {
        JsonObject::from_iter([
            ("traceparent".to_owned(), PARENT.into()),
            ("tracestate".to_owned(), 5.into()),
        ])
    };
    let (client, log) = serving_with(
        |builder| builder.ambient_meta(ambient),
        |_| done(json!({"content": []})),
    );
    client.call("t", ()).await.unwrap();
    client
        .call("t", ())
        .meta("traceparent", PARENT.replace("-01", "-00"))
        .meta("com.example/k", 7)
        .await
        .unwrap();
    let refused = client
        .call("t", ())
        .meta("traceparent", "nonsense")
        .await
        .unwrap_err();
    assert!(matches!(refused, ClientError::Request(_)));
    let seen = log.all();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].meta("traceparent"), PARENT);
    assert!(
        seen[0].meta("tracestate").is_null(),
        "malformed context is left out"
    );
    assert!(
        seen[1]
            .meta("traceparent")
            .as_str()
            .unwrap()
            .ends_with("-00")
    );
    assert_eq!(*seen[1].meta("com.example/k"), 7);
    assert_eq!(seen[1].meta(key::PROTOCOL_VERSION), "2026-07-28");
}

// spec: versioning-05
#[test]
fn extension_identifiers_need_a_prefix() {
    let build = |id| {
        Client::builder()
            .service(crate::support::Server::silent())
            .extension(id, JsonObject::new())
            .build()
    };
    let client = build("com.example/thing").unwrap();
    assert!(client.capabilities().has_extension("com.example/thing"));
    for bad in ["thing", "1x/thing", "com.example/-"] {
        assert!(build(bad).is_err(), "{bad}");
    }
}

// spec: versioning-02
#[tokio::test]
async fn an_unsupported_version_is_answered_with_one_that_both_speak() {
    let supported = json!({"supported": ["2099-01-01", "2026-07-28"], "requested": "2026-07-28"});
    let (client, log) = serving(move |seen| {
        if seen.n == 0 {
            refuse_with(-32022, supported.clone())
        } else {
            Does::FromResult(text("5"))
        }
    });
    let five: i64 = client.call("t", json!({"a": 1})).typed().await.unwrap();
    let seen = log.all();
    assert_eq!((five, seen.len()), (5, 2));
    assert_eq!(seen[1].params, seen[0].params);
    assert_ne!(seen[1].id, seen[0].id);
}

// spec: versioning-02
#[tokio::test]
async fn without_a_version_in_common_the_error_names_both_lists() {
    let (client, log) = serving(|_| {
        refuse_with(
            -32022,
            json!({"supported": ["2025-11-25"], "requested": "2026-07-28"}),
        )
    });
    let error = client.discover().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Versions { ours, theirs } if *ours == ["2026-07-28"] && *theirs == ["2025-11-25"])
    );
    assert!(error.to_string().contains("2026-07-28") && error.to_string().contains("2025-11-25"));
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_the_version_it_offers_is_asked_twice_at_most() {
    let (client, log) = serving(|_| refuse_with(-32022, json!({"supported": ["2026-07-28"]})));
    assert_eq!(client.discover().await.unwrap_err().code(), Some(-32022));
    assert_eq!(log.len(), 2);
}

// spec: versioning-04
#[tokio::test]
async fn no_request_comes_before_the_first_one() {
    let (client, log) = serving(|_| Does::FromResult(text("x")));
    client.call("t", ()).await.unwrap();
    assert_eq!(log.methods(), ["tools/call"]);
}

// spec: base-jsonrpc-25
#[tokio::test]
async fn what_happened_here_is_told_from_what_the_server_said() {
    let (client, _) = serving_with(
        |builder| builder.timeout(Duration::from_millis(5)).max_retries(0),
        |seen| match seen.n {
            0 => Does::Hang,
            1 => Does::Fail(CallError::broken("cut")),
            _ => refuse(-32603),
        },
    );
    let timeout = client.discover().await.unwrap_err();
    let broken = client.discover().await.unwrap_err();
    let refused = client.discover().await.unwrap_err();
    assert!(timeout.is_timeout() && timeout.server().is_none() && timeout.code().is_none());
    assert!(matches!(broken, ClientError::Call(CallError::Broken(_))) && broken.code().is_none());
    assert_eq!(refused.code(), Some(-32603));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_again_a_few_times() {
    let (client, log) = serving(|seen| match seen.n {
        0 | 1 => Does::Fail(CallError::unreachable("refused")),
        _ => Does::FromResult(text("5")),
    });
    assert_eq!(client.call("t", ()).typed::<i64>().await.unwrap(), 5);
    assert_eq!(log.len(), 3);
    let (client, log) = serving(|_| Does::Fail(CallError::unreachable("refused")));
    assert!(client.call("t", ()).await.unwrap_err().is_unsent());
    assert_eq!(log.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_after_a_break_and_tool_calls_are_not() {
    let (client, log) = serving(|seen| match seen.n {
        0 => Does::Fail(CallError::broken("cut")),
        1 => done(json!({"contents": [], "ttlMs": 0, "cacheScope": "private"})),
        _ => Does::Fail(CallError::broken("cut")),
    });
    client.read_resource("r:").await.unwrap();
    assert_ne!(log.all()[0].id, log.all()[1].id);
    assert!(matches!(
        client.call("t", ()).await.unwrap_err(),
        ClientError::Call(CallError::Broken(_))
    ));
    assert_eq!(
        log.len(),
        3,
        "a tool call that may have been executed went out again"
    );
}
