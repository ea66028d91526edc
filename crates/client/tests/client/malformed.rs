//! Responses that are malformed in part: the part is left out with a warning, the rest is used.

use crate::support::{Does, Seen, complete, done, serving, serving_with, text};
use carryall_client::{
    CallOptions, Client, ClientBuilder, ClientError, ResponseError, ResponseWarning,
};
use carryall_types::{ContentBlock, JsonValue};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Collects warnings as text.
#[derive(Clone, Default)]
struct CollectedWarnings(Arc<Mutex<Vec<String>>>);

impl CollectedWarnings {
    fn options(&self) -> CallOptions {
        let received = self.clone();
        CallOptions::new()
            .on_warning(move |warning| received.0.lock().unwrap().push(warning.to_string()))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn client_of(answer: JsonValue) -> Client {
    serving(move |_| done(answer.clone())).0
}

fn fresh(mut members: JsonValue) -> JsonValue {
    members["ttlMs"] = 0.into();
    members["cacheScope"] = "private".into();
    members
}

#[tokio::test]
async fn a_malformed_entry_is_left_out_of_the_list() {
    let schema = || json!({"type": "object"});
    let page = fresh(json!({"tools": [
        {"name": "good", "inputSchema": schema()},
        {"name": "no schema"},
        {"name": 5, "inputSchema": schema()},
        "not even an object",
        {"name": "ico\u{1b}n", "inputSchema": schema(), "title": "Kept", "icons": [{"src": 1}], "annotations": "none"},
        {"name": "last", "inputSchema": schema()},
    ]}));
    let (client, received) = (client_of(page), CollectedWarnings::default());
    let tools = client.list_tools().with(received.options()).await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["good", "ico\u{1b}n", "last"]);
    assert_eq!(
        (tools[1].title.as_deref(), &tools[1].icons),
        (Some("Kept"), &None)
    );
    let received = received.all();
    assert_eq!(received.len(), 5, "{received:?}");
    let about =
        |n: usize, what: &str| assert!(received[n].contains(what), "{what} in {}", received[n]);
    about(0, "tools[1] \"no schema\": missing field `inputSchema`");
    about(1, "tools[2]: ");
    about(2, "tools[3]: ");
    about(3, r#"tools[4] "ico\u{1b}n".icons"#);
    about(4, "annotations");
    assert!(
        received.iter().all(|warning| !warning.contains('\u{1b}')),
        "{received:?}"
    );
}

#[tokio::test]
async fn every_kind_of_list_leaves_out_only_its_malformed_entries() {
    let prompts = client_of(fresh(
        json!({"prompts": [{"name": "a"}, {}, {"name": "b", "arguments": [1]}]}),
    ));
    let names: Vec<_> = prompts
        .list_prompts()
        .await
        .unwrap()
        .into_iter()
        .map(|prompt| prompt.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    let resources = client_of(fresh(
        json!({"resources": [{"uri": "x:a", "name": "a", "size": -1}, {"uri": "x:b"}]}),
    ));
    let resources = resources.list_resources().await.unwrap();
    assert_eq!((resources.len(), resources[0].size), (1, None));
    let templates = client_of(fresh(
        json!({"resourceTemplates": [null, {"uriTemplate": "x:{a}", "name": "t"}]}),
    ));
    assert_eq!(templates.list_resource_templates().await.unwrap().len(), 1);
    let contents = fresh(json!({"contents": [{"uri": "x:a", "text": "t"}, {"uri": "x:b"}]}));
    assert_eq!(
        client_of(contents)
            .read_resource("x:a")
            .await
            .unwrap()
            .contents
            .len(),
        1
    );
    let said = json!({"messages": [
        {"role": "user", "content": {"type": "text", "text": "hi"}}, {"role": "robot", "content": {"type": "text", "text": "x"}},
    ], "description": 7});
    let prompt = client_of(said).get_prompt("p", ()).await.unwrap();
    assert_eq!((prompt.messages.len(), prompt.description), (1, None));
    // A list of another type is still an error; `null` is how some languages write an empty list.
    assert!(
        client_of(fresh(json!({"tools": "none"})))
            .list_tools()
            .await
            .is_err()
    );
    assert!(client_of(fresh(json!({}))).list_tools().await.is_err());
    assert!(
        client_of(fresh(json!({"tools": null})))
            .list_tools()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_malformed_capability_is_left_out_of_the_discovery() {
    let found = client_of(fresh(json!({
        "supportedVersions": ["2026-07-28"], "capabilities": {"tools": true, "prompts": {"listChanged": true}},
        "instructions": 5,
    })));
    let received = CollectedWarnings::default();
    let found = found.discover().with(received.options()).await.unwrap();
    assert!(found.capabilities.tools.is_none() && found.capabilities.prompts.is_some());
    assert_eq!(received.all().len(), 2, "{:?}", received.all());
    let none = fresh(json!({"supportedVersions": ["2026-07-28"], "capabilities": []}));
    assert!(
        client_of(none)
            .discover()
            .await
            .unwrap()
            .capabilities
            .tools
            .is_none()
    );
    assert!(
        client_of(fresh(json!({"supportedVersions": ["2026-07-28"]})))
            .discover()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_result_of_an_executed_call_is_kept_if_parts_are_malformed() {
    let received = CollectedWarnings::default();
    let result = json!({"content": [
        {"type": "text", "text": "done"}, {"type": "image", "data": "AAAA"}, {"text": "untyped"},
        {"type": "text", "text": "too", "annotations": 1},
    ]});
    let result = client_of(result)
        .call("t", ())
        .with(received.options())
        .await
        .unwrap();
    let texts: Vec<_> = result.content.iter().map(ContentBlock::as_text).collect();
    assert_eq!(texts, [Some("done"), Some("too")]);
    assert_eq!(received.all().len(), 3, "{:?}", received.all());
    // Go writes an empty list as null or not at all.
    for content in [
        json!({"content": null, "structuredContent": 5}),
        json!({"structuredContent": 5}),
    ] {
        assert!(
            client_of(content.clone())
                .call("t", ())
                .await
                .unwrap()
                .content
                .is_empty()
        );
        assert_eq!(
            client_of(content)
                .call("t", ())
                .typed::<i64>()
                .await
                .unwrap(),
            5
        );
    }
    // The value is usable even if a content block is not.
    let odd = json!({"content": [7, {"type": "text", "text": "5"}]});
    assert_eq!(
        client_of(odd).call("t", ()).typed::<i64>().await.unwrap(),
        5
    );
    // An unreadable `isError` counts as a failure.
    let failed = client_of(json!({"content": [], "isError": "yes"}));
    assert!(failed.call("t", ()).await.unwrap().failed());
    assert!(matches!(
        failed.call("t", ()).typed::<i64>().await,
        Err(ClientError::Tool(_))
    ));
}

#[tokio::test]
async fn duplicate_members_are_an_error() {
    let twice = |text: &'static str| {
        serving(move |seen: &Seen| {
            let result = carryall_types::RawJson::parse(text).unwrap();
            let outcome = carryall_proto::Outcome::Result(result);
            Does::Reply(carryall_proto::Reply::Once(carryall_proto::Response {
                id: seen.id.clone(),
                outcome,
            }))
        })
        .0
    };
    let list = r#"{"tools":[{"name":"a","name":"b","inputSchema":{}},{"name":"c","inputSchema":{}}],"ttlMs":0}"#;
    let tools = twice(list).list_tools().await.unwrap();
    assert_eq!(
        tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>(),
        ["c"]
    );
    assert!(
        twice(r#"{"tools":[],"tools":[5]}"#)
            .list_tools()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn warnings_are_bounded() {
    let long = "x".repeat(2_000);
    let bad: Vec<_> = (0..100)
        .map(|_| json!({"name": long, "title": long, "inputSchema": long}))
        .collect();
    let received = CollectedWarnings::default();
    let tools = client_of(fresh(json!({"tools": bad})))
        .list_tools()
        .with(received.options())
        .await
        .unwrap();
    let received = received.all();
    assert!(
        tools.is_empty() && received.len() == 9,
        "{}",
        received.len()
    );
    assert!(
        received.iter().all(|warning| warning.len() < 1000) && received[8].starts_with("92 more"),
        "{}",
        received[8]
    );
}

#[tokio::test]
async fn a_lone_surrogate_does_not_prevent_decoding() {
    // JSON in a text block, with a lone surrogate escaped in the inner JSON.
    let result = json!({"content": [{"type": "text", "text": r#"{"a":"b\ud83d"}"#}]});
    let value: JsonValue = client_of(result).call("t", ()).typed().await.unwrap();
    assert_eq!(value, json!({"a": "b\u{fffd}"}));
}

fn weather(seen: &Seen) -> Does {
    let schema = json!({"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]});
    match seen.method.as_str() {
        "tools/list" => done(fresh(
            json!({"tools": [{"name": "w", "inputSchema": {"type": "object"}, "outputSchema": schema}]}),
        )),
        _ => {
            let mut result = text("warm");
            result["structuredContent"] = json!({"celsius": "warm"});
            Does::Result(complete(result))
        }
    }
}

// spec: tools-21
#[tokio::test]
async fn an_output_schema_mismatch_is_a_warning_unless_valid_output_is_required() {
    let (client, _) = serving(weather);
    client.list_tools().await.unwrap();
    let reported: Arc<Mutex<Vec<ResponseWarning>>> = Arc::default();
    let received = Arc::clone(&reported);
    let result = client
        .call("w", ())
        .on_warning(move |warning| received.lock().unwrap().push(warning.clone()))
        .await;
    assert_eq!(
        result.unwrap().structured_content,
        Some(json!({"celsius": "warm"}))
    );
    let reported = reported.lock().unwrap().clone();
    assert!(
        matches!(&reported[..], [ResponseWarning::OutputSchema { tool, .. }] if tool == "w"),
        "{reported:?}"
    );
    assert_eq!(
        reported[0].to_string(),
        r#"the output of tool "w" does not match its outputSchema: /celsius: "warm" is not of type "number""#
    );
    let typed: JsonValue = client.call("w", ()).typed().await.unwrap();
    assert_eq!(typed, json!({"celsius": "warm"}));
    #[derive(Debug, serde::Deserialize)]
    struct Weather {
        #[allow(dead_code)]
        celsius: f64,
    }
    let error = client.call("w", ()).typed::<Weather>().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Response(ResponseError::Decode { .. })),
        "{error}"
    );

    let (strict, _) = serving_with(
        |builder: ClientBuilder| builder.require_valid_output(true),
        weather,
    );
    strict.list_tools().await.unwrap();
    let error = strict.call("w", ()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Response(ResponseError::OutputSchema { tool, .. }) if tool == "w"),
        "{error}"
    );
    assert!(!error.to_string().contains("validate_output"), "{error}");
}
