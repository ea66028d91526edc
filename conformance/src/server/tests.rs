//! What the suite does not look at: answers that come in pieces, users who say no, log messages
//! that were asked for.

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

/// A client whose rounds the test answers itself.
#[allow(deprecated)]
fn asked_by_hand() -> Client {
    let capabilities = ClientCapabilities::new()
        .with_elicitation(ElicitationCapability::new())
        .with_sampling(SamplingCapability::new())
        .with_roots(JsonObject::new());
    client().capabilities(capabilities).build().unwrap()
}

fn answers(answers: JsonValue) -> InputResponses {
    serde_json::from_value(answers).unwrap()
}

fn asking(step: RoundOutcome<CallToolResult>) -> Box<InputRequired<CallToolResult>> {
    match step {
        RoundOutcome::InputRequired(asking) => asking,
        other => panic!("nothing was asked: {other:?}"),
    }
}

fn keys(asking: &InputRequired<CallToolResult>) -> Vec<String> {
    asking
        .requests()
        .iter()
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[tokio::test]
async fn the_first_tool_of_the_list_can_do_without_arguments() {
    let client = client().build().unwrap();
    let tools = client.list_tools().await.unwrap();
    let result = client.call(&tools[0].name, json!({})).await.unwrap();
    assert!(!result.failed(), "{}: {result:?}", tools[0].name);
}

#[tokio::test]
async fn what_has_been_answered_is_not_asked_again() {
    let tool = "test_input_required_result_multiple_inputs";
    let first = asking(asked_by_hand().call(tool, ()).once().await.unwrap());
    let [name, greeting, roots] = <[String; 3]>::try_from(keys(&first)).unwrap();
    let named = answers(json!({name: {"action": "accept", "content": {"name": "Alice"}}}));
    let second = asking(first.answer(named).once().await.unwrap());
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
async fn an_answer_that_does_not_fit_is_refused_and_a_missing_one_asked_for_again() {
    let first = async || {
        asking(
            asked_by_hand()
                .call("test_input_required_result_elicitation", ())
                .once()
                .await
                .unwrap(),
        )
    };
    let unfit = [
        json!({"user_name": {"action": "accept", "content": {"name": 5}}}),
        json!({"user_name": {"action": "accept"}}),
        json!({"user_name": {"action": "maybe"}}),
        json!({"user_name": 12345}),
    ];
    for unfit in unfit {
        let refused = first()
            .await
            .answer(answers(unfit.clone()))
            .once()
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("user_name"),
            "{unfit}: {refused}"
        );
    }
    let somebody = json!({"somebody": {"action": "accept", "content": {"name": "Alice"}}});
    let again = asking(
        first()
            .await
            .answer(answers(somebody))
            .once()
            .await
            .unwrap(),
    );
    assert_eq!(keys(&again), ["user_name"]);
}

#[tokio::test]
async fn a_user_who_says_no_makes_the_tool_fail() {
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
async fn questions_one_after_the_other_add_up() {
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
async fn the_log_reaches_those_who_ask_for_it_from_the_level_they_name() {
    let client = client().build().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let call = client.call("test_logging_tool", ());
    call.on_log(LoggingLevel::Info, move |message| {
        log.lock().unwrap().push(message.data.to_string())
    })
    .await
    .unwrap();
    assert_eq!(*heard.lock().unwrap(), ["\"worked\""]);
}

/// A user who agrees to everything, and is called Ada.
async fn agreeable(question: ElicitRequestFormParams) -> ElicitResult {
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
async fn a_client_that_takes_tasks_gets_the_results_of_calls_whatever_becomes_of_them() {
    let client = client().tasks().on_elicit(agreeable).build().unwrap();
    let said = async |tool: &str, arguments: JsonValue| {
        text_of(&client.call(tool, arguments).await.unwrap())
    };
    assert_eq!(said("greet", json!({"name": "Ada"})).await, "Hello, Ada!");
    assert_eq!(
        said("slow_compute", json!({"seconds": 0.2, "label": "x"})).await,
        "Computed x in 0.2 s"
    );
    assert_eq!(
        said("confirm_delete", json!({"filename": "f"})).await,
        "Deleted f"
    );
    assert!(said("multi_input", json!({})).await.contains("Ada"));
    assert_eq!(said("test_tool_with_task", json!({})).await, "Hello, Ada!");
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
