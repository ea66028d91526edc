//! The members of every request, and retries.

use crate::support::{Does, done, refuse, refuse_with, serving, serving_with, text};
use carryall_client::{Client, ClientError, VersionError};
use carryall_proto::{CallError, key};
use carryall_types::{Implementation, JsonObject, PromptReference, RequestId, SubscriptionFilter};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::future::IntoFuture;
use std::time::Duration;

/// Sends one request of each method.
async fn send_every_method(client: &Client) {
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
async fn every_request_carries_version_capabilities_and_client_info() {
    let (client, log) = serving(|_| refuse(-32601));
    send_every_method(&client).await;
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
async fn client_info_is_optional() {
    let (client, log) = serving_with(
        |builder| builder.info(None::<Implementation>),
        |_| refuse(-32601),
    );
    let _ = client.discover().await;
    assert!(log.all()[0].meta(key::CLIENT_INFO).is_null());
}

// spec: base-jsonrpc-03, base-jsonrpc-04, base-jsonrpc-05
#[tokio::test]
async fn ids_are_integers_and_unique() {
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
async fn every_request_is_accepted_by_the_servers_validation() {
    // `Loopback` encodes each call and validates it as a server does.
    let (server, log) = crate::support::Server::logged(|_| refuse(-32601));
    let client = Client::builder()
        .service(carryall_transport::Loopback::new(server))
        .build()
        .unwrap();
    send_every_method(&client).await;
    assert_eq!(log.len(), 11);
}

// spec: meta-18, meta-19, discover-05
#[tokio::test]
async fn server_info_does_not_change_behaviour() {
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
        send_every_method(&client).await;
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
async fn parameters_match_the_schema_of_the_specification() {
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
async fn arguments_that_are_not_an_object_are_not_sent() {
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
async fn trace_context_is_sent_and_must_be_well_formed() {
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
async fn an_unsupported_version_is_replaced_by_a_common_one() {
    let supported = json!({"supported": ["2099-01-01", "2026-07-28"], "requested": "2026-07-28"});
    let (client, log) = serving(move |seen| {
        if seen.n == 0 {
            refuse_with(-32022, supported.clone())
        } else {
            Does::Result(text("5"))
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
async fn without_a_common_version_the_error_has_both_lists() {
    let (client, log) = serving(|_| {
        refuse_with(
            -32022,
            json!({"supported": ["2025-11-25"], "requested": "2026-07-28"}),
        )
    });
    let error = client.discover().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Version(VersionError::NoneInCommon { ours, theirs, .. }) if *ours == ["2026-07-28"] && *theirs == ["2025-11-25"])
    );
    assert!(error.to_string().contains("2026-07-28") && error.to_string().contains("2025-11-25"));
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn version_negotiation_is_attempted_once() {
    let (client, log) = serving(|_| refuse_with(-32022, json!({"supported": ["2026-07-28"]})));
    assert_eq!(client.discover().await.unwrap_err().code(), Some(-32022));
    assert_eq!(log.len(), 2);
}

// spec: versioning-04
#[tokio::test]
async fn no_request_is_sent_before_the_first_call() {
    let (client, log) = serving(|_| Does::Result(text("x")));
    client.call("t", ()).await.unwrap();
    assert_eq!(log.methods(), ["tools/call"]);
}

// spec: base-jsonrpc-25
#[tokio::test]
async fn client_errors_and_server_errors_are_distinct() {
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
async fn unsent_requests_are_retried_up_to_the_limit() {
    let (client, log) = serving(|seen| match seen.n {
        0 | 1 => Does::Fail(CallError::unreachable("refused")),
        _ => Does::Result(text("5")),
    });
    assert_eq!(client.call("t", ()).typed::<i64>().await.unwrap(), 5);
    assert_eq!(log.len(), 3);
    let (client, log) = serving(|_| Does::Fail(CallError::unreachable("refused")));
    assert!(client.call("t", ()).await.unwrap_err().is_unsent());
    assert_eq!(log.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_broken_connection_reads_are_retried_and_tool_calls_are_not() {
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
