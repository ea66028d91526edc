//! Questions of servers of earlier revisions: answered by handlers, or by the callers in rounds.

#![cfg(unix)]

mod call_common;

use call_common::{CAPABILITIES, Fake, by, quick};
use carryall_legacy::call::{Answers, Options};
use carryall_proto::Call;
use carryall_testkit as testkit;
use carryall_types::{ErrorObject, InputRequest, RawJson};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const FORM: &str = r#"{"message":"Name?","requestedSchema":{"type":"object","properties":{"n":{"type":"string"}}}}"#;

/// A tool that asks, and tells what it was answered in its log.
fn asking(method: &str, params: &str) -> Fake {
    let ask =
        format!(r#"say '{{"jsonrpc":"2.0","id":"q1","method":"{method}","params":{params}}}'"#);
    Fake::new(
        "",
        &format!("*'\"method\":\"tools/call\"'*) call=$id; {ask} ;;\n{THANKS}"),
    )
}

/// Whatever the answer, the call that was asked about is done.
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

/// The key of the one question and the state to bring back.
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

async fn answer_of(fake: &Fake) -> Value {
    fake.told(|message| message["id"] == "q1" && message.get("method").is_none())
        .await
}

fn handler(
    answer: impl Fn(&InputRequest) -> Option<Result<Value, ErrorObject>> + Send + Sync + 'static,
) -> Options {
    let answers: Answers = Arc::new(move |question| {
        let answer = answer(&question)?.map(|answer| RawJson::from(&answer));
        Some(Box::pin(async move { answer }))
    });
    quick().answers(answers)
}

#[tokio::test]
async fn a_question_is_answered_by_the_handlers_while_the_call_goes_on() {
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
        let fake = asking(method, params);
        let given = answer.clone();
        let way = fake
            .spawn(handler(move |question| {
                (question.method() == method).then(|| Ok(given.clone()))
            }))
            .await
            .unwrap();
        assert_eq!(
            testkit::answer(&way, able(json!({}))).await.text(),
            "thanks",
            "{method}"
        );
        assert_eq!(answer_of(&fake).await["result"], answer);
        way.shutdown().await;
    }
    let fake = asking("elicitation/create", FORM);
    let way = fake
        .spawn(handler(|_| {
            Some(Err(ErrorObject::new(-7, "Nobody is there")))
        }))
        .await
        .unwrap();
    assert_eq!(
        testkit::answer(&way, able(json!({}))).await.text(),
        "thanks"
    );
    assert_eq!(
        answer_of(&fake).await["error"],
        json!({"code": -7, "message": "Nobody is there"})
    );
    way.shutdown().await;
}

// spec: mrtr-01, mrtr-15
#[tokio::test]
async fn without_handlers_the_caller_is_asked_and_comes_back_with_the_answer() {
    let fake = asking("elicitation/create", FORM);
    let way = fake.start().await;
    let first = testkit::answer(&way, able(json!({}))).await;
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
    let second = testkit::answer(&way, again).await;
    assert_eq!(
        (second.text(), &second.response["id"]),
        ("thanks", &json!("second"))
    );
    assert_eq!(answer_of(&fake).await["result"], answer);
    assert_eq!(
        fake.methods()
            .iter()
            .filter(|method| *method == "tools/call")
            .count(),
        1,
        "the call was made once"
    );
    // An answer counts once.
    assert_eq!(testkit::answer(&way, able(params)).await.code(), -32602);
    way.shutdown().await;
}

#[tokio::test]
async fn what_handlers_leave_is_for_the_caller() {
    let fake = asking("elicitation/create", FORM);
    let way = fake.spawn(handler(|_| None)).await.unwrap();
    asked(&testkit::answer(&way, able(json!({}))).await);
    way.shutdown().await;
}

// spec: mrtr-12, elicitation-18, elicitation-25
#[tokio::test]
async fn a_parked_call_belongs_to_whom_it_was_made_for() {
    let fake = asking("elicitation/create", FORM);
    let way = fake.start().await;
    let first = testkit::answer(&way, by("ann", able(json!({})))).await;
    let params = retry(&first, &json!({"action": "decline"}));
    for stranger in [by("bob", able(params.clone())), able(params.clone())] {
        assert_eq!(testkit::answer(&way, stranger).await.code(), -32602);
    }
    assert!(
        fake.messages().iter().all(|message| message["id"] != "q1"),
        "a stranger's answer was sent"
    );
    assert_eq!(
        testkit::answer(&way, by("ann", able(params))).await.text(),
        "thanks"
    );
    way.shutdown().await;
}

// spec: mrtr-28, mrtr-29
#[tokio::test]
async fn a_round_without_the_answer_is_asked_again() {
    let fake = asking("elicitation/create", FORM);
    let way = fake.start().await;
    let first = testkit::answer(&way, able(json!({}))).await;
    let (_, state) = asked(&first);
    let second = testkit::answer(
        &way,
        able(json!({"inputResponses": {"other": {}}, "requestState": state})),
    )
    .await;
    let last = retry(&second, &json!({"action": "cancel"}));
    assert_eq!(testkit::answer(&way, able(last)).await.text(), "thanks");
    way.shutdown().await;
}

#[tokio::test]
async fn questions_one_after_the_other_are_rounds_one_after_the_other() {
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
    let fake = Fake::new("", &cases);
    let way = fake.start().await;
    let mut answered = testkit::answer(&way, able(json!({}))).await;
    for _ in 0..2 {
        answered =
            testkit::answer(&way, able(retry(&answered, &json!({"action": "decline"})))).await;
    }
    assert_eq!(answered.text(), "thanks");
    way.shutdown().await;
}

// spec: mrtr-13, mrtr-18
#[tokio::test]
async fn calls_are_parked_for_a_bounded_time_and_in_a_bounded_number() {
    let fake = asking("elicitation/create", FORM);
    let way = fake
        .spawn(quick().suspension_timeout(Duration::from_millis(200)))
        .await
        .unwrap();
    let first = testkit::answer(&way, able(json!({}))).await;
    let call = fake.told_method("tools/call").await;
    let cancelled = fake.told_method("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    assert_eq!(
        testkit::answer(&way, able(retry(&first, &json!({"action": "accept"}))))
            .await
            .code(),
        -32602
    );
    way.shutdown().await;

    let fake = asking("elicitation/create", FORM);
    let way = fake.spawn(quick().max_suspended_calls(1)).await.unwrap();
    asked(&testkit::answer(&way, able(json!({}))).await);
    let refused = testkit::answer(&way, able(json!({}))).await;
    assert_eq!(refused.code(), -32603);
    // The one that waits goes on waiting; of the other the server is told that nobody answers, and
    // nobody waits.
    let second = fake
        .messages()
        .into_iter()
        .filter(|message| message["method"] == "tools/call")
        .nth(1)
        .unwrap();
    let cancelled = fake.told_method("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], second["id"]);
    assert!(
        answer_of(&fake).await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("too many calls wait")
    );
    way.shutdown().await;
}

// spec: meta-14, mrtr-17
#[tokio::test]
async fn a_question_that_no_caller_can_take_is_refused() {
    // One process for all: it was told of nothing, and asks all the same.
    for (method, params) in [
        ("elicitation/create", FORM),
        ("sampling/createMessage", r#"{"messages":[],"maxTokens":5}"#),
        ("roots/list", "{}"),
    ] {
        let fake = asking(method, params);
        let way = fake.start().await;
        assert_eq!(
            testkit::answer(&way, declaring(&json!({}), json!({})))
                .await
                .text(),
            "thanks"
        );
        let refused = answer_of(&fake).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
        assert!(
            refused["error"]["message"]
                .as_str()
                .is_some_and(|why| !why.is_empty())
        );
        way.shutdown().await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_unknown_requests_refused() {
    for (method, wanted) in [
        ("ping", json!({"jsonrpc": "2.0", "id": "q1", "result": {}})),
        ("vendor/what", Value::Null),
    ] {
        let fake = asking(method, "{}");
        let way = fake.start().await;
        assert_eq!(
            testkit::answer(&way, able(json!({}))).await.text(),
            "thanks"
        );
        let answer = answer_of(&fake).await;
        if wanted.is_null() {
            assert_eq!(answer["error"]["code"], -32601);
        } else {
            assert_eq!(answer, wanted);
        }
        way.shutdown().await;
    }
}

#[tokio::test]
async fn an_ill_formed_question_is_sent_back() {
    let fake = asking("elicitation/create", r#"{"message":5}"#);
    let way = fake.start().await;
    assert_eq!(
        testkit::answer(&way, able(json!({}))).await.text(),
        "thanks"
    );
    assert_eq!(answer_of(&fake).await["error"]["code"], -32602);
    way.shutdown().await;
}

#[tokio::test]
async fn a_call_that_ends_while_it_is_parked_has_its_result_kept() {
    let ask = format!(
        r#"say '{{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{FORM}}}'"#
    );
    let fake = Fake::new(
        "",
        &format!(
            "*'\"method\":\"tools/call\"'*) {ask}; reply '{{\"content\":[{{\"type\":\"text\",\"text\":\"gave up\"}}]}}' ;;\n*'\"id\":\"q1\"'*) ;;"
        ),
    );
    let way = fake.start().await;
    let first = testkit::answer(&way, able(json!({}))).await;
    assert_eq!(
        testkit::answer(&way, able(retry(&first, &json!({"action": "accept"}))))
            .await
            .text(),
        "gave up"
    );
    way.shutdown().await;
}

// spec: base-jsonrpc-23
#[tokio::test]
async fn pages_that_must_be_visited_first_are_a_round() {
    let error = r#"{"code":-32042,"message":"Sign in","data":{"elicitations":[{"mode":"url","elicitationId":"e1","url":"https://example.com/in","message":"Sign in, please"}]}}"#;
    let refuse = format!(r#"printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}'"#);
    let fake = Fake::new(
        "",
        &format!(
            "*'\"method\":\"tools/call\"'*) if [ \"$before\" ]; then reply '{{\"content\":[]}}'; else before=1; {refuse}; fi ;;"
        ),
    );
    let way = fake.start().await;
    let able = |params| declaring(&json!({"elicitation": {"url": {}}}), params);
    let first = testkit::answer(&way, able(json!({}))).await;
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
        testkit::answer(&way, able(again)).await.result()["content"],
        json!([])
    );
    way.shutdown().await;

    // A caller that cannot show pages is told what is the matter.
    let fake = Fake::new("", &format!("*'\"method\":\"tools/call\"'*) {refuse} ;;"));
    let way = fake.start().await;
    let refused = testkit::answer(&way, declaring(&json!({}), json!({}))).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("Sign in")
    );
    way.shutdown().await;
}

// spec: mrtr-14
#[tokio::test]
async fn an_answer_is_for_the_call_that_asked() {
    let fake = asking("elicitation/create", FORM);
    let way = fake.start().await;
    let first = testkit::answer(&way, able(json!({}))).await;
    let params = retry(&first, &json!({"action": "accept"}));
    for (member, value) in [("name", json!("y")), ("arguments", json!({"a": 1}))] {
        let mut other = able(params.clone());
        other.set_param(member, &RawJson::from(&value));
        assert_eq!(
            testkit::answer(&way, other).await.code(),
            -32602,
            "{member}"
        );
    }
    assert_eq!(testkit::answer(&way, able(params)).await.text(), "thanks");
    way.shutdown().await;
}
