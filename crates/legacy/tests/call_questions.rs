//! Questions of legacy servers, answered by an input handler or by the callers in rounds.

#![cfg(unix)]

mod call_common;

use call_common::{CAPABILITIES, FakeServer, by, quick};
use carryall_legacy::call::{DualEraOptions, InputCallback};
use carryall_proto::Call;
use carryall_testkit as testkit;
use carryall_types::{ErrorObject, InputRequest, RawJson};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const FORM: &str = r#"{"message":"Name?","requestedSchema":{"type":"object","properties":{"n":{"type":"string"}}}}"#;

/// A server whose tools ask and record the answer.
fn asking(method: &str, params: &str) -> FakeServer {
    let ask =
        format!(r#"say '{{"jsonrpc":"2.0","id":"q1","method":"{method}","params":{params}}}'"#);
    FakeServer::new(
        "",
        &format!("*'\"method\":\"tools/call\"'*) call=$id; {ask} ;;\n{THANKS}"),
    )
}

/// Ends the call after any answer.
const THANKS: &str =
    r#"*'"id":"q1"'*) id=$call; reply '{"content":[{"type":"text","text":"thanks"}]}' ;;"#;

fn declaring(capabilities: &Value, params: Value) -> Call {
    let mut params = params;
    params["name"] = "x".into();
    params["_meta"] = testkit::meta_with(&json!({CAPABILITIES: capabilities}));
    testkit::call("tools/call", params)
}

fn able(params: Value) -> Call {
    declaring(
        &json!({"elicitation": {}, "roots": {}, "sampling": {}}),
        params,
    )
}

/// The key of the only question, and the `requestState`.
fn asked(answered: &testkit::TestReply) -> (String, String) {
    let result = answered.result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    let questions = result["inputRequests"].as_object().unwrap();
    assert_eq!(questions.len(), 1);
    (
        questions.keys().next().unwrap().clone(),
        result["requestState"].as_str().unwrap().to_owned(),
    )
}

fn retry(answered: &testkit::TestReply, answer: &Value) -> Value {
    let (key, state) = asked(answered);
    json!({"inputResponses": {key: answer}, "requestState": state})
}

async fn answer_of(server: &FakeServer) -> Value {
    server
        .wait_for(|message| message["id"] == "q1" && message.get("method").is_none())
        .await
}

fn handler(
    answer: impl Fn(&InputRequest) -> Option<Result<Value, ErrorObject>> + Send + Sync + 'static,
) -> DualEraOptions {
    let answers: InputCallback = Arc::new(move |question| {
        let answer = answer(&question)?.map(|answer| RawJson::from(&answer));
        Some(Box::pin(async move { answer }))
    });
    quick().input_handler(answers)
}

#[tokio::test]
async fn an_input_handler_answers_while_the_call_is_in_flight() {
    let questions = [
        (
            "elicitation/create",
            FORM,
            json!({"action": "accept", "content": {"n": "Ann"}}),
        ),
        (
            "sampling/createMessage",
            r#"{"messages":[],"maxTokens":5}"#,
            json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}),
        ),
        ("roots/list", "{}", json!({"roots": [{"uri": "file:///a"}]})),
    ];
    for (method, params, answer) in questions {
        let server = asking(method, params);
        let given = answer.clone();
        let client = server
            .spawn(handler(move |question| {
                (question.method() == method).then(|| Ok(given.clone()))
            }))
            .await
            .unwrap();
        assert_eq!(
            testkit::answer(&client, able(json!({}))).await.text(),
            "thanks",
            "{method}"
        );
        assert_eq!(answer_of(&server).await["result"], answer);
        client.shutdown().await;
    }
    let server = asking("elicitation/create", FORM);
    let client = server
        .spawn(handler(|_| {
            Some(Err(ErrorObject::new(-7, "Nobody is there")))
        }))
        .await
        .unwrap();
    assert_eq!(
        testkit::answer(&client, able(json!({}))).await.text(),
        "thanks"
    );
    assert_eq!(
        answer_of(&server).await["error"],
        json!({"code": -7, "message": "Nobody is there"})
    );
    client.shutdown().await;
}

// spec: mrtr-01, mrtr-15
#[tokio::test]
async fn without_a_handler_the_caller_answers_in_the_next_round() {
    let server = asking("elicitation/create", FORM);
    let client = server.start().await;
    let first = testkit::answer(&client, able(json!({}))).await;
    let (key, state) = asked(&first);
    let question = &first.result()["inputRequests"][&key];
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("Name?"))
    );
    assert!(state.len() > 32, "it cannot be guessed: {state}");

    let answer = json!({"action": "accept", "content": {"n": "Ann"}});
    let params = retry(&first, &answer);
    let mut again = able(params.clone());
    again.replace_id("second".into());
    let second = testkit::answer(&client, again).await;
    assert_eq!(
        (second.text(), &second.response["id"]),
        ("thanks", &json!("second"))
    );
    assert_eq!(answer_of(&server).await["result"], answer);
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "tools/call")
            .count(),
        1,
        "the call was made once"
    );
    // An answer can be given once.
    assert_eq!(testkit::answer(&client, able(params)).await.code(), -32602);
    client.shutdown().await;
}

#[tokio::test]
async fn questions_that_the_handler_leaves_are_for_the_caller() {
    let server = asking("elicitation/create", FORM);
    let client = server.spawn(handler(|_| None)).await.unwrap();
    asked(&testkit::answer(&client, able(json!({}))).await);
    client.shutdown().await;
}

// spec: mrtr-12, elicitation-18, elicitation-25
#[tokio::test]
async fn a_suspended_call_is_resumed_by_its_principal_only() {
    let server = asking("elicitation/create", FORM);
    let client = server.start().await;
    let first = testkit::answer(&client, by("ann", able(json!({})))).await;
    let params = retry(&first, &json!({"action": "decline"}));
    for stranger in [by("bob", able(params.clone())), able(params.clone())] {
        assert_eq!(testkit::answer(&client, stranger).await.code(), -32602);
    }
    assert!(
        server
            .messages()
            .iter()
            .all(|message| message["id"] != "q1"),
        "a stranger's answer was sent"
    );
    assert_eq!(
        testkit::answer(&client, by("ann", able(params)))
            .await
            .text(),
        "thanks"
    );
    client.shutdown().await;
}

// spec: mrtr-28, mrtr-29
#[tokio::test]
async fn a_missing_answer_is_asked_for_again() {
    let server = asking("elicitation/create", FORM);
    let client = server.start().await;
    let first = testkit::answer(&client, able(json!({}))).await;
    let (_, state) = asked(&first);
    let second = testkit::answer(
        &client,
        able(json!({"inputResponses": {"other": {}}, "requestState": state})),
    )
    .await;
    let last = retry(&second, &json!({"action": "cancel"}));
    assert_eq!(testkit::answer(&client, able(last)).await.text(), "thanks");
    client.shutdown().await;
}

#[tokio::test]
async fn consecutive_questions_are_consecutive_rounds() {
    let ask = |id: &str| {
        format!(
            r#"say '{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{FORM}}}'"#
        )
    };
    let cases = format!(
        "*'\"method\":\"tools/call\"'*) call=$id; {} ;;\n*'\"id\":\"q0\"'*) {} ;;\n{THANKS}",
        ask("q0"),
        ask("q1")
    );
    let server = FakeServer::new("", &cases);
    let client = server.start().await;
    let mut answered = testkit::answer(&client, able(json!({}))).await;
    for _ in 0..2 {
        answered = testkit::answer(
            &client,
            able(retry(&answered, &json!({"action": "decline"}))),
        )
        .await;
    }
    assert_eq!(answered.text(), "thanks");
    client.shutdown().await;
}

// spec: mrtr-13, mrtr-18
#[tokio::test]
async fn suspended_calls_are_bounded_in_time_and_number() {
    let server = asking("elicitation/create", FORM);
    let client = server
        .spawn(quick().suspension_timeout(Duration::from_millis(200)))
        .await
        .unwrap();
    let first = testkit::answer(&client, able(json!({}))).await;
    let call = server.wait_for_method("tools/call").await;
    let cancelled = server.wait_for_method("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    assert_eq!(
        testkit::answer(&client, able(retry(&first, &json!({"action": "accept"}))))
            .await
            .code(),
        -32602
    );
    client.shutdown().await;

    let server = asking("elicitation/create", FORM);
    let client = server.spawn(quick().max_suspended_calls(1)).await.unwrap();
    asked(&testkit::answer(&client, able(json!({}))).await);
    let refused = testkit::answer(&client, able(json!({}))).await;
    assert_eq!(refused.code(), -32603);
    // The suspended call stays. The question of the other is answered with an error, and its call
    // cancelled.
    let second = server
        .messages()
        .into_iter()
        .filter(|message| message["method"] == "tools/call")
        .nth(1)
        .unwrap();
    let cancelled = server.wait_for_method("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], second["id"]);
    assert!(
        answer_of(&server).await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("too many calls wait")
    );
    client.shutdown().await;
}

// spec: meta-14, mrtr-17
#[tokio::test]
async fn a_question_that_no_caller_supports_is_refused() {
    // One process for all: it was told of no capabilities, and asks nevertheless.
    for (method, params) in [
        ("elicitation/create", FORM),
        ("sampling/createMessage", r#"{"messages":[],"maxTokens":5}"#),
        ("roots/list", "{}"),
    ] {
        let server = asking(method, params);
        let client = server.start().await;
        assert_eq!(
            testkit::answer(&client, declaring(&json!({}), json!({})))
                .await
                .text(),
            "thanks"
        );
        let refused = answer_of(&server).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
        assert!(
            refused["error"]["message"]
                .as_str()
                .is_some_and(|why| !why.is_empty())
        );
        client.shutdown().await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_unknown_requests_refused() {
    for (method, wanted) in [
        ("ping", json!({"jsonrpc": "2.0", "id": "q1", "result": {}})),
        ("vendor/what", Value::Null),
    ] {
        let server = asking(method, "{}");
        let client = server.start().await;
        assert_eq!(
            testkit::answer(&client, able(json!({}))).await.text(),
            "thanks"
        );
        let answer = answer_of(&server).await;
        if wanted.is_null() {
            assert_eq!(answer["error"]["code"], -32601);
        } else {
            assert_eq!(answer, wanted);
        }
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_malformed_question_is_answered_with_an_error() {
    let server = asking("elicitation/create", r#"{"message":5}"#);
    let client = server.start().await;
    assert_eq!(
        testkit::answer(&client, able(json!({}))).await.text(),
        "thanks"
    );
    assert_eq!(answer_of(&server).await["error"]["code"], -32602);
    client.shutdown().await;
}

#[tokio::test]
async fn the_result_of_a_call_that_ends_while_suspended_is_kept() {
    let ask = format!(
        r#"say '{{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{FORM}}}'"#
    );
    let server = FakeServer::new(
        "",
        &format!(
            "*'\"method\":\"tools/call\"'*) {ask}; reply '{{\"content\":[{{\"type\":\"text\",\"text\":\"gave up\"}}]}}' ;;\n*'\"id\":\"q1\"'*) ;;"
        ),
    );
    let client = server.start().await;
    let first = testkit::answer(&client, able(json!({}))).await;
    assert_eq!(
        testkit::answer(&client, able(retry(&first, &json!({"action": "accept"}))))
            .await
            .text(),
        "gave up"
    );
    client.shutdown().await;
}

// spec: base-jsonrpc-23
#[tokio::test]
async fn a_url_elicitation_error_becomes_a_round() {
    let error = r#"{"code":-32042,"message":"Sign in","data":{"elicitations":[{"mode":"url","elicitationId":"e1","url":"https://example.com/in","message":"Sign in, please"}]}}"#;
    let refuse = format!(r#"printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}'"#);
    let server = FakeServer::new(
        "",
        &format!(
            "*'\"method\":\"tools/call\"'*) if [ \"$before\" ]; then reply '{{\"content\":[]}}'; else before=1; {refuse}; fi ;;"
        ),
    );
    let client = server.start().await;
    let able = |params| declaring(&json!({"elicitation": {"url": {}}}), params);
    let first = testkit::answer(&client, able(json!({}))).await;
    let question = &first.result()["inputRequests"]["page-1"];
    assert_eq!(
        (&question["method"], &question["params"]["url"]),
        (
            &json!("elicitation/create"),
            &json!("https://example.com/in")
        )
    );
    let again = json!({"inputResponses": {"page-1": {"action": "accept"}}});
    assert_eq!(
        testkit::answer(&client, able(again)).await.result()["content"],
        json!([])
    );
    client.shutdown().await;

    // A caller that cannot show pages gets the error.
    let server = FakeServer::new("", &format!("*'\"method\":\"tools/call\"'*) {refuse} ;;"));
    let client = server.start().await;
    let refused = testkit::answer(&client, declaring(&json!({}), json!({}))).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("Sign in")
    );
    client.shutdown().await;
}

// spec: mrtr-14
#[tokio::test]
async fn an_answer_resumes_only_a_call_with_the_same_arguments() {
    let server = asking("elicitation/create", FORM);
    let client = server.start().await;
    let first = testkit::answer(&client, able(json!({}))).await;
    let params = retry(&first, &json!({"action": "accept"}));
    for (member, value) in [("name", json!("y")), ("arguments", json!({"a": 1}))] {
        let mut other = able(params.clone());
        other.set_param(member, &RawJson::from(&value));
        assert_eq!(
            testkit::answer(&client, other).await.code(),
            -32602,
            "{member}"
        );
    }
    assert_eq!(
        testkit::answer(&client, able(params)).await.text(),
        "thanks"
    );
    client.shutdown().await;
}
