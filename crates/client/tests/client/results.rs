//! Decoding of results.

use crate::support::{Does, done, refuse, refuse_with, serving, serving_with, text};
use carryall_client::{Client, ClientError, ResponseError};
use carryall_proto::{CallError, Reply, Response};
use carryall_types::{ErrorObject, JsonObject, PromptReference, RawJson, RequestId};
use serde_json::json;
use std::collections::BTreeMap;

// spec: base-jsonrpc-13
#[tokio::test]
async fn a_result_without_a_type_is_complete() {
    let (client, _) =
        serving(|_| Does::Result(json!({"content": [{"type": "text", "text": "5"}]})));
    assert_eq!(client.call("t", ()).typed::<i64>().await.unwrap(), 5);
}

// spec: base-jsonrpc-12, base-jsonrpc-11
#[tokio::test]
async fn an_unknown_result_type_is_an_invalid_response() {
    for kind in [json!("task"), json!("COMPLETE"), json!(""), json!(7)] {
        let (client, _) =
            serving(move |_| Does::Result(json!({"content": [], "resultType": kind})));
        let error = client.call("t", ()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Response(ResponseError::Protocol { reason, .. }) if reason.contains("resultType")),
            "{error}"
        );
    }
}

// spec: base-jsonrpc-12
#[tokio::test]
async fn only_three_methods_may_require_input() {
    let (client, log) =
        serving(|_| Does::Result(json!({"resultType": "input_required", "requestState": "s"})));
    for error in [
        client.list_tools().await.unwrap_err(),
        client.discover().await.unwrap_err(),
        client
            .complete(PromptReference::new("p"), "a", "", &BTreeMap::new())
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                &error,
                ClientError::Response(ResponseError::Protocol { .. })
            ),
            "{error}"
        );
    }
    assert_eq!(log.len(), 3);
}

// spec: base-jsonrpc-11
#[tokio::test]
async fn a_declared_extension_may_add_a_result_type_for_raw_requests() {
    let task =
        |_: &crate::support::Seen| Does::Result(json!({"content": [], "resultType": "task"}));
    let (client, _) = serving_with(
        |builder| {
            builder
                .extension("com.example/tasks", JsonObject::new())
                .result_type("task")
        },
        task,
    );
    assert!(
        client
            .request("tools/call", json!({"name": "t"}))
            .await
            .unwrap()
            .as_str()
            .contains("\"task\"")
    );
    assert!(matches!(
        client.call("t", ()).await,
        Err(ClientError::Response(ResponseError::Protocol { .. }))
    ));
    let undeclared = Client::builder()
        .service(crate::support::Server::new(task))
        .result_type("task")
        .build();
    assert!(matches!(undeclared, Err(ClientError::Request(_))));
}

#[tokio::test]
async fn results_are_decoded_by_method_not_by_shape() {
    // Each of these would also decode as another result.
    let (client, _) = serving(|_| {
        done(json!({"contents": [], "tools": [], "ttlMs": 0, "cacheScope": "private"}))
    });
    assert!(matches!(
        client.call("t", ()).await,
        Err(ClientError::Response(ResponseError::Decode { .. }))
    ));
    assert!(matches!(
        client.get_prompt("p", ()).await,
        Err(ClientError::Response(ResponseError::Decode { .. }))
    ));
    assert!(
        client
            .read_resource("r:")
            .await
            .unwrap()
            .contents
            .is_empty()
    );
    assert!(client.tools_page(None).await.unwrap().tools.is_empty());
    let error = client
        .request("tools/call", json!({"name": "t"}))
        .await
        .unwrap();
    assert!(error.as_str().contains("contents"));
}

#[tokio::test]
async fn a_result_that_is_not_an_object_is_an_invalid_response() {
    let (client, _) = serving(|seen| {
        Does::Reply(Response::result(seen.id.clone(), RawJson::from(&json!([1]))).into())
    });
    assert!(matches!(
        client.call("t", ()).await,
        Err(ClientError::Response(ResponseError::Protocol { .. }))
    ));
}

// spec: base-jsonrpc-24, resources-12, base-jsonrpc-21
#[tokio::test]
async fn the_legacy_code_for_a_missing_resource_is_recognised_and_no_other_of_its_range() {
    for code in -32019..=-32000 {
        let (client, _) = serving(move |_| refuse(code));
        let error = client.read_resource("r:").await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.is_not_found(), code == -32002, "{code}");
        assert!(!error.is_method_not_found() && !error.is_invalid_params());
    }
    let (client, _) = serving(|_| refuse_with(-32602, json!({"uri": "r:"})));
    assert!(client.read_resource("r:").await.unwrap_err().is_not_found());
    let (client, _) = serving(|_| refuse(-32602));
    assert!(!client.call("t", ()).await.unwrap_err().is_not_found());
}

// spec: tools-24, tools-25
#[tokio::test]
async fn a_tool_failure_is_a_result_and_a_refusal_is_an_error() {
    let (client, _) = serving(|seen| match seen.n {
        0 | 1 => {
            done(json!({"content": [{"type": "text", "text": "no such city"}], "isError": true}))
        }
        _ => Does::Refuse(ErrorObject::new(-32602, "Unknown tool: t")),
    });
    let result = client.call("t", ()).await.unwrap();
    assert!(result.failed());
    assert_eq!(carryall_client::text_of(&result), "no such city");
    let error = client.call("t", ()).typed::<i64>().await.unwrap_err();
    assert!(matches!(&error, ClientError::Tool(_)) && error.to_string().contains("no such city"));
    let error = client.call("t", ()).await.unwrap_err();
    assert!(error.server().is_some() && error.to_string().contains("Unknown tool: t"));
}

#[tokio::test]
async fn required_capabilities_are_named_in_the_error() {
    let (client, _) = serving(|_| {
        refuse_with(
            -32021,
            json!({"requiredCapabilities": {"elicitation": {"form": {}}}}),
        )
    });
    let error = client.call("t", ()).await.unwrap_err();
    assert!(
        error
            .required_capabilities()
            .unwrap()
            .contains_key("elicitation")
    );
    assert!(error.to_string().contains("elicitation"), "{error}");
}

#[tokio::test]
async fn a_response_with_another_id_is_an_error() {
    let (client, _) = serving(|_| {
        Does::Reply(Reply::Once(Response::result(
            RequestId::from("x"),
            RawJson::from(&text("5")),
        )))
    });
    let error = client.call("t", ()).await.unwrap_err();
    assert!(matches!(error, ClientError::Call(CallError::Malformed(_))));
}

// spec: completion-05
#[tokio::test]
async fn a_completion_sends_the_resolved_arguments_and_may_be_partial() {
    let (client, log) = serving(|_| {
        done(json!({"completion": {"values": ["flask"], "total": 300, "hasMore": true}}))
    });
    let resolved = BTreeMap::from([("lang".to_owned(), "python".to_owned())]);
    let completion = client
        .complete(PromptReference::new("p"), "framework", "fl", &resolved)
        .await
        .unwrap()
        .completion;
    assert_eq!(
        (
            completion.values.len(),
            completion.total,
            completion.has_more
        ),
        (1, Some(300), Some(true))
    );
    assert_eq!(
        log.all()[0].params["context"],
        json!({"arguments": {"lang": "python"}})
    );
}

#[tokio::test]
async fn server_info_is_read_from_results() {
    let info = json!({"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}});
    let (client, _) = serving(move |_| {
        let result = json!({"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "public", "_meta": info});
        done(result)
    });
    let discovered = client.discover().await.unwrap();
    assert_eq!(
        discovered.meta.unwrap()["io.modelcontextprotocol/serverInfo"]["name"],
        "s"
    );
}
