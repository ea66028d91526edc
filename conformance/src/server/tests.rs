//! Tests of behaviour that the suite does not check: partial answers, users who decline, and log
//! levels.

use crate::server;
use carryall::Client;
use carryall::client::{ClientBuilder, ClientError, InputRequired, RoundOutcome, text_of};
use carryall::types::{
    CallToolResult, ClientCapabilities, ElicitRequestFormParams, ElicitResult,
    ElicitationCapability, InputResponses, JsonObject, JsonValue, LoggingLevel, SamplingCapability,
};
use serde_json::json;
use std::sync::{Arc, Mutex};

fn client() -> ClientBuilder {
    Client::builder().service(server().unwrap())
}

/// Returns a client without input handlers: the test answers the rounds.
#[allow(deprecated)]
fn client_without_handlers() -> Client {
    let capabilities = ClientCapabilities::new()
        .with_elicitation(ElicitationCapability::new())
        .with_sampling(SamplingCapability::new())
        .with_roots(JsonObject::new());
    client().capabilities(capabilities).build().unwrap()
}

fn answers(answers: JsonValue) -> InputResponses {
    serde_json::from_value(answers).unwrap()
}

fn input_required(outcome: RoundOutcome<CallToolResult>) -> Box<InputRequired<CallToolResult>> {
    match outcome {
        RoundOutcome::InputRequired(input) => input,
        other => panic!("no input required: {other:?}"),
    }
}

fn keys(input: &InputRequired<CallToolResult>) -> Vec<String> {
    input
        .requests()
        .iter()
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[tokio::test]
async fn the_first_listed_tool_needs_no_arguments() {
    let client = client().build().unwrap();
    let tools = client.list_tools().await.unwrap();
    let result = client.call(&tools[0].name, json!({})).await.unwrap();
    assert!(!result.failed(), "{}: {result:?}", tools[0].name);
}

#[tokio::test]
async fn answered_requests_are_not_repeated() {
    let tool = "test_input_required_result_multiple_inputs";
    let first = input_required(
        client_without_handlers()
            .call(tool, ())
            .once()
            .await
            .unwrap(),
    );
    let [name, greeting, roots] = <[String; 3]>::try_from(keys(&first)).unwrap();
    let named = answers(json!({name: {"action": "accept", "content": {"name": "Alice"}}}));
    let second = input_required(first.answer(named).once().await.unwrap());
    assert_eq!(keys(&second), [greeting.clone(), roots.clone()]);
    let rest = answers(json!({
        greeting: {"role": "assistant", "content": {"type": "text", "text": "Good day,"}, "model": "m"},
        roots: {"roots": [{"uri": "file:///a"}, {"uri": "file:///b"}]},
    }));
    match second.answer(rest).once().await.unwrap() {
        RoundOutcome::Done(result) => assert_eq!(text_of(&result), "Good day, Alice has 2 roots"),
        other => panic!("asked again: {other:?}"),
    }
}

#[tokio::test]
async fn an_invalid_answer_is_rejected_and_a_missing_one_requested_again() {
    let first = async || {
        input_required(
            client_without_handlers()
                .call("test_input_required_result_elicitation", ())
                .once()
                .await
                .unwrap(),
        )
    };
    let invalid = [
        json!({"user_name": {"action": "accept", "content": {"name": 5}}}),
        json!({"user_name": {"action": "accept"}}),
        json!({"user_name": {"action": "maybe"}}),
        json!({"user_name": 12345}),
    ];
    for invalid in invalid {
        let refused = first()
            .await
            .answer(answers(invalid.clone()))
            .once()
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("user_name"),
            "{invalid}: {refused}"
        );
    }
    let unrelated = json!({"unrelated": {"action": "accept", "content": {"name": "Alice"}}});
    let again = input_required(
        first()
            .await
            .answer(answers(unrelated))
            .once()
            .await
            .unwrap(),
    );
    assert_eq!(keys(&again), ["user_name"]);
}

#[tokio::test]
async fn the_tool_fails_if_the_user_declines_or_cancels() {
    for answer in [ElicitResult::decline(), ElicitResult::cancel()] {
        let client = client()
            .on_elicit(move |_| std::future::ready(answer.clone()))
            .build()
            .unwrap();
        let result = client
            .call("test_input_required_result_multi_round", ())
            .await
            .unwrap();
        assert!(result.failed(), "{result:?}");
    }
}

#[tokio::test]
async fn answers_of_successive_rounds_are_combined() {
    let fill_in = async |form: ElicitRequestFormParams| {
        let [(field, _)] = form.requested_schema.properties.as_slice() else {
            return Err("more than one field");
        };
        Ok(ElicitResult::accept(JsonObject::from_iter([(
            field.clone(),
            format!("a {field}").into(),
        )])))
    };
    let client = client().on_elicit(fill_in).build().unwrap();
    let result = client
        .call("test_input_required_result_multi_round", ())
        .await
        .unwrap();
    assert_eq!(text_of(&result), "a name likes a color");
}

#[tokio::test]
#[allow(deprecated)]
async fn log_messages_are_sent_from_the_requested_level() {
    let client = client().build().unwrap();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&messages);
    let call = client.call("test_logging_tool", ());
    call.on_log(LoggingLevel::Info, move |message| {
        log.lock().unwrap().push(message.data.to_string())
    })
    .await
    .unwrap();
    assert_eq!(*messages.lock().unwrap(), ["\"worked\""]);
}

/// Accepts every form, with the name Ada.
async fn accept_all(question: ElicitRequestFormParams) -> ElicitResult {
    let properties = &question.requested_schema.properties;
    let answer = |name: &str| {
        if name == "confirm" {
            json!(true)
        } else {
            json!("Ada")
        }
    };
    ElicitResult::accept(
        properties
            .iter()
            .map(|(name, _)| (name.clone(), answer(name)))
            .collect(),
    )
}

#[tokio::test]
async fn a_client_with_task_support_gets_results_whether_or_not_calls_become_tasks() {
    let client = client().tasks().on_elicit(accept_all).build().unwrap();
    let call = async |tool: &str, arguments: JsonValue| {
        text_of(&client.call(tool, arguments).await.unwrap())
    };
    assert_eq!(call("greet", json!({"name": "Ada"})).await, "Hello, Ada!");
    assert_eq!(
        call("slow_compute", json!({"seconds": 0.2, "label": "x"})).await,
        "Computed x in 0.2 s"
    );
    assert_eq!(
        call("confirm_delete", json!({"filename": "f"})).await,
        "Deleted f"
    );
    assert!(call("multi_input", json!({})).await.contains("Ada"));
    assert_eq!(call("test_tool_with_task", json!({})).await, "Hello, Ada!");
    assert!(client.call("failing_job", ()).await.unwrap().failed());
    assert_eq!(
        client
            .call("protocol_error_job", ())
            .await
            .unwrap_err()
            .code(),
        Some(-32603)
    );
    let RoundOutcome::Task(task) = client
        .call("slow_compute", json!({"seconds": 60}))
        .once()
        .await
        .unwrap()
    else {
        panic!("not a task")
    };
    task.cancel().await.unwrap();
    assert!(matches!(
        task.wait().await,
        Err(ClientError::TaskCancelled { .. })
    ));
}
