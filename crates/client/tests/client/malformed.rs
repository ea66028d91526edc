//! Answers with something malformed in them: the part is left out with a warning, and the rest is
//! used.

use crate::support::{Does, Seen, complete, done, serving, serving_with, text};
use carryall_client::{CallOptions, Client, ClientBuilder, ClientError, ResponseWarning};
use carryall_types::{ContentBlock, JsonValue};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// The warnings given, as text.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn options(&self) -> CallOptions {
        let heard = self.clone();
        CallOptions::new()
            .on_warning(move |warning| heard.0.lock().unwrap().push(warning.to_string()))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn answering(answer: JsonValue) -> Client {
    serving(move |_| done(answer.clone())).0
}

fn fresh(mut members: JsonValue) -> JsonValue {
    members["ttlMs"] = 0.into();
    members["cacheScope"] = "private".into();
    members
}

#[tokio::test]
async fn one_malformed_entry_does_not_cost_the_list() {
    let schema = || json!({"type": "object"});
    let page = fresh(json!({"tools": [
        {"name": "good", "inputSchema": schema()},
        {"name": "no schema"},
        {"name": 5, "inputSchema": schema()},
        "not even an object",
        {"name": "ico\u{1b}n", "inputSchema": schema(), "title": "Kept", "icons": [{"src": 1}], "annotations": "none"},
        {"name": "last", "inputSchema": schema()},
    ]}));
    let (client, heard) = (answering(page), Heard::default());
    let tools = client.list_tools().with(heard.options()).await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["good", "ico\u{1b}n", "last"]);
    assert_eq!(
        (tools[1].title.as_deref(), &tools[1].icons),
        (Some("Kept"), &None)
    );
    let heard = heard.all();
    assert_eq!(heard.len(), 5, "{heard:?}");
    let about = |n: usize, what: &str| assert!(heard[n].contains(what), "{what} in {}", heard[n]);
    about(0, "tools[1] \"no schema\": missing field `inputSchema`");
    about(1, "tools[2]: ");
    about(2, "tools[3]: ");
    about(3, r#"tools[4] "ico\u{1b}n".icons"#);
    about(4, "annotations");
    assert!(
        heard.iter().all(|warning| !warning.contains('\u{1b}')),
        "{heard:?}"
    );
}

#[tokio::test]
async fn every_list_loses_its_malformed_entries_alone() {
    let prompts = answering(fresh(
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
    let resources = answering(fresh(
        json!({"resources": [{"uri": "x:a", "name": "a", "size": -1}, {"uri": "x:b"}]}),
    ));
    let resources = resources.list_resources().await.unwrap();
    assert_eq!((resources.len(), resources[0].size), (1, None));
    let templates = answering(fresh(
        json!({"resourceTemplates": [null, {"uriTemplate": "x:{a}", "name": "t"}]}),
    ));
    assert_eq!(templates.list_resource_templates().await.unwrap().len(), 1);
    let contents = fresh(json!({"contents": [{"uri": "x:a", "text": "t"}, {"uri": "x:b"}]}));
    assert_eq!(
        answering(contents)
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
    let prompt = answering(said).get_prompt("p", ()).await.unwrap();
    assert_eq!((prompt.messages.len(), prompt.description), (1, None));
    // A list that is no list is still an error, and `null` is what languages write for an empty
    // one.
    assert!(
        answering(fresh(json!({"tools": "none"})))
            .list_tools()
            .await
            .is_err()
    );
    assert!(answering(fresh(json!({}))).list_tools().await.is_err());
    assert!(
        answering(fresh(json!({"tools": null})))
            .list_tools()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_malformed_capability_does_not_cost_the_discovery() {
    let found = answering(fresh(json!({
        "supportedVersions": ["2026-07-28"], "capabilities": {"tools": true, "prompts": {"listChanged": true}},
        "instructions": 5,
    })));
    let heard = Heard::default();
    let found = found.discover().with(heard.options()).await.unwrap();
    assert!(found.capabilities.tools.is_none() && found.capabilities.prompts.is_some());
    assert_eq!(heard.all().len(), 2, "{:?}", heard.all());
    let none = fresh(json!({"supportedVersions": ["2026-07-28"], "capabilities": []}));
    assert!(
        answering(none)
            .discover()
            .await
            .unwrap()
            .capabilities
            .tools
            .is_none()
    );
    assert!(
        answering(fresh(json!({"supportedVersions": ["2026-07-28"]})))
            .discover()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_executed_call_keeps_its_result() {
    let heard = Heard::default();
    let result = json!({"content": [
        {"type": "text", "text": "done"}, {"type": "image", "data": "AAAA"}, {"text": "untyped"},
        {"type": "text", "text": "too", "annotations": 1},
    ]});
    let result = answering(result)
        .call("t", ())
        .with(heard.options())
        .await
        .unwrap();
    let texts: Vec<_> = result.content.iter().map(ContentBlock::as_text).collect();
    assert_eq!(texts, [Some("done"), Some("too")]);
    assert_eq!(heard.all().len(), 3, "{:?}", heard.all());
    // As Go writes an empty list, or not at all.
    for content in [
        json!({"content": null, "structuredContent": 5}),
        json!({"structuredContent": 5}),
    ] {
        assert!(
            answering(content.clone())
                .call("t", ())
                .await
                .unwrap()
                .content
                .is_empty()
        );
        assert_eq!(
            answering(content)
                .call("t", ())
                .typed::<i64>()
                .await
                .unwrap(),
            5
        );
    }
    // The value is there even if a block of the content is not.
    let odd = json!({"content": [7, {"type": "text", "text": "5"}]});
    assert_eq!(
        answering(odd).call("t", ()).typed::<i64>().await.unwrap(),
        5
    );
    // What may have failed has not succeeded.
    let failed = answering(json!({"content": [], "isError": "yes"}));
    assert!(failed.call("t", ()).await.unwrap().failed());
    assert!(matches!(
        failed.call("t", ()).typed::<i64>().await,
        Err(ClientError::Tool(_))
    ));
}

#[tokio::test]
async fn members_that_occur_twice_are_never_chosen_between() {
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
    let heard = Heard::default();
    let tools = answering(fresh(json!({"tools": bad})))
        .list_tools()
        .with(heard.options())
        .await
        .unwrap();
    let heard = heard.all();
    assert!(tools.is_empty() && heard.len() == 9, "{}", heard.len());
    assert!(
        heard.iter().all(|warning| warning.len() < 1000) && heard[8].starts_with("92 more"),
        "{}",
        heard[8]
    );
}

#[tokio::test]
async fn half_an_emoji_does_not_cost_a_value() {
    // JSON in a text, in which the lone surrogate is an escape of the inner JSON.
    let result = json!({"content": [{"type": "text", "text": r#"{"a":"b\ud83d"}"#}]});
    let value: JsonValue = answering(result).call("t", ()).typed().await.unwrap();
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
            Does::FromResult(complete(result))
        }
    }
}

// spec: tools-21
#[tokio::test]
async fn output_that_misses_its_schema_is_a_warning_unless_it_is_required() {
    let (client, _) = serving(weather);
    client.list_tools().await.unwrap();
    let told: Arc<Mutex<Vec<ResponseWarning>>> = Arc::default();
    let heard = Arc::clone(&told);
    let result = client
        .call("w", ())
        .on_warning(move |warning| heard.lock().unwrap().push(warning.clone()))
        .await;
    assert_eq!(
        result.unwrap().structured_content,
        Some(json!({"celsius": "warm"}))
    );
    let told = told.lock().unwrap().clone();
    assert!(
        matches!(&told[..], [ResponseWarning::OutputSchema { tool, .. }] if tool == "w"),
        "{told:?}"
    );
    assert_eq!(
        told[0].to_string(),
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
    assert!(matches!(error, ClientError::Decode { .. }), "{error}");

    let (strict, _) = serving_with(
        |builder: ClientBuilder| builder.require_valid_output(true),
        weather,
    );
    strict.list_tools().await.unwrap();
    let error = strict.call("w", ()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Schema { tool, .. } if tool == "w"),
        "{error}"
    );
    assert!(!error.to_string().contains("validate_output"), "{error}");
}
