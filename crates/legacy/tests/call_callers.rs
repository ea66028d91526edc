//! Several callers on one server of an earlier revision on stdio: nothing crosses from one to
//! another, and none can use up what they share.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{SessionScope, Stdio};
use carryall_proto::Call;
use carryall_testkit as testkit;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const FORM: &str =
    r#"{"message":"Delete all your files?","requestedSchema":{"type":"object","properties":{}}}"#;
const QUESTIONS: [(&str, &str); 3] = [
    ("elicitation/create", FORM),
    ("sampling/createMessage", r#"{"messages":[],"maxTokens":5}"#),
    ("roots/list", "{}"),
];

/// `ask` asks and waits for the answer, `later` does so once `slow` is called, which is never
/// answered unless it is cancelled where the server answers that.
fn asking(method: &str, params: &str, cancelled: &str) -> Fake {
    let ask =
        format!(r#"say '{{"jsonrpc":"2.0","id":"q1","method":"{method}","params":{params}}}'"#);
    let thanks = r#"id=$call; reply '{"content":[{"type":"text","text":"thanks"}]}'"#;
    let cases = [
        format!(r#"*'"name":"ask"'*) call=$id; {ask} ;;"#),
        r#"*'"name":"later"'*) call=$id ;;"#.to_owned(),
        format!(r#"*'"name":"slow"'*) slow=$id; if [ "$call" ]; then {ask}; fi ;;"#),
        format!(r#"*'"method":"notifications/cancelled"'*) {cancelled} ;;"#),
        format!(r#"*'"id":"q1"'*) {thanks} ;;"#),
    ];
    Fake::new("", &cases.join("\n"))
}

/// Says whose a call is.
type Made = fn(Call) -> Call;

fn start(way: &Stdio, call: Call) -> JoinHandle<testkit::TestReply> {
    let way = way.clone();
    tokio::spawn(async move { testkit::answer(&way, call).await })
}

async fn told_tool(fake: &Fake, name: &str) {
    fake.told(|message| message["params"]["name"] == name).await;
}

async fn answer_of(fake: &Fake) -> Value {
    fake.told(|message| message["id"] == "q1" && message.get("method").is_none())
        .await
}

fn is_asked(answered: &testkit::TestReply) -> bool {
    answered.result()["resultType"] == "input_required"
}

fn accept(asked: &testkit::TestReply, name: &str) -> Call {
    let result = asked.result();
    let key = result["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let mut call = able(name);
    for (member, value) in [
        ("requestState", result["requestState"].clone()),
        (
            "inputResponses",
            json!({key: {"action": "accept", "content": {}}}),
        ),
    ] {
        call.set_param(member, &carryall_types::RawJson::from(&value));
    }
    call
}

#[tokio::test]
async fn a_question_never_goes_to_another_callers_call() {
    for (method, params) in QUESTIONS {
        let owners: [(SessionScope, Made, Made); 2] = [
            (
                SessionScope::Principal,
                |call| from(1, call),
                |call| from(2, call),
            ),
            (
                SessionScope::Shared,
                |call| by("ann", call),
                |call| by("bob", call),
            ),
        ];
        for (scope, ann, bob) in owners {
            let fake = asking(method, params, ":");
            let way = fake.spawn(quick().session_scope(scope)).await.unwrap();
            let hers = start(&way, ann(able("later")));
            told_tool(&fake, "later").await;
            let his = start(&way, bob(able("slow")));
            let refused = answer_of(&fake).await;
            assert_eq!(refused["error"]["code"], -32600, "{method} {refused}");
            assert_eq!(
                hers.await.unwrap().text(),
                "thanks",
                "{method}: the server could go on"
            );
            assert!(!his.is_finished(), "{method}: a stranger was asked");
            his.abort();
            way.shutdown().await;
        }
    }
}

#[tokio::test]
async fn among_calls_of_one_caller_the_latest_is_asked() {
    for (method, params) in QUESTIONS {
        let fake = asking(method, params, ":");
        let way = fake.start().await;
        let first = start(&way, from(1, able("later")));
        told_tool(&fake, "later").await;
        assert!(
            is_asked(&testkit::answer(&way, from(1, able("slow"))).await),
            "{method}"
        );
        assert!(!first.is_finished());
        first.abort();
        way.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_of_another_that_was_cancelled_counts_until_it_is_answered() {
    let answer = r#"id=$slow; reply '{"content":[]}'"#;
    let fake = asking("elicitation/create", FORM, answer);
    let way = fake.start().await;
    let his = start(&way, from(2, able("slow")));
    told_tool(&fake, "slow").await;
    his.abort();
    fake.told_method("notifications/cancelled").await;
    // The late answer is on its way before anything that comes of this call.
    assert!(is_asked(&testkit::answer(&way, from(1, able("ask"))).await));
    way.shutdown().await;

    // Most servers do not answer what was cancelled.
    let fake = asking("elicitation/create", FORM, ":");
    let way = fake.start().await;
    let his = start(&way, from(2, able("slow")));
    told_tool(&fake, "slow").await;
    his.abort();
    fake.told_method("notifications/cancelled").await;
    assert_eq!(
        testkit::answer(&way, from(1, able("ask"))).await.text(),
        "thanks"
    );
    assert_eq!(answer_of(&fake).await["error"]["code"], -32600);
    // Later calls are made where nothing is left of it.
    assert!(is_asked(&testkit::answer(&way, from(1, able("ask"))).await));
    way.shutdown().await;
}

#[tokio::test]
async fn log_messages_do_not_cross_between_callers() {
    let log = r#"say '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"secret"}}'"#;
    let cases = [
        format!(r#"*'"name":"log"'*) {log}; reply '{{"content":[]}}' ;;"#),
        r#"*'"name":"slow"'*) slow=$id ;;"#.to_owned(),
        r#"*'"name":"release"'*) reply '{"content":[]}'; id=$slow; reply '{"content":[]}' ;;"#
            .to_owned(),
    ];
    let fake = Fake::new("", &cases.join("\n"));
    let way = fake.start().await;
    let logged = || {
        let meta = testkit::meta_with(&json!({LOG_LEVEL: "debug"}));
        testkit::call("tools/call", json!({"name": "log", "_meta": meta}))
    };
    let count = |answered: testkit::TestReply| answered.params_of("notifications/message").len();
    assert_eq!(count(testkit::answer(&way, from(1, logged())).await), 1);
    let his = start(&way, from(2, tool("slow")));
    told_tool(&fake, "slow").await;
    assert_eq!(
        count(testkit::answer(&way, from(1, logged())).await),
        0,
        "it may be about his call"
    );
    testkit::answer(&way, from(2, tool("release"))).await;
    his.await.unwrap();
    assert_eq!(count(testkit::answer(&way, from(1, logged())).await), 1);
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut changes =
        testkit::stream(&way, from(2, testkit::call("subscriptions/listen", filter))).await;
    testkit::next_notification(&mut changes).await;
    assert_eq!(
        count(testkit::answer(&way, from(1, logged())).await),
        0,
        "it may be about what he listens to"
    );
    drop(changes);
    assert_eq!(count(testkit::answer(&way, from(1, logged())).await), 1);
    way.shutdown().await;
}

#[tokio::test]
async fn questions_of_a_stranger_do_not_cancel_a_call_that_waits_for_its_answer() {
    let fake = asking("elicitation/create", FORM, ":");
    let way = fake
        .spawn(quick().session_scope(SessionScope::Client))
        .await
        .unwrap();
    let hers = testkit::answer(&way, from(1, able("ask"))).await;
    assert!(is_asked(&hers));
    let (mut asked, mut refused) = (0, 0);
    for _ in 0..262 {
        let answered = testkit::answer(&way, from(2, able("ask"))).await;
        if answered.response["error"].is_object() {
            refused += 1;
            assert!(
                answered.error()["message"]
                    .as_str()
                    .unwrap()
                    .contains("this caller"),
                "{:?}",
                answered.error()
            );
        } else {
            asked += usize::from(is_asked(&answered));
        }
    }
    assert_eq!((asked, refused), (64, 198));
    let third = testkit::answer(&way, from(3, able("ask"))).await;
    assert!(is_asked(&third), "there is room for others");
    assert_eq!(
        testkit::answer(&way, from(1, accept(&hers, "ask")))
            .await
            .text(),
        "thanks"
    );
    way.shutdown().await;
}

#[tokio::test]
async fn parked_calls_are_bounded_by_their_size() {
    let fake = asking("elicitation/create", FORM, ":");
    let way = fake.spawn(quick().max_suspended_bytes(8000)).await.unwrap();
    assert!(is_asked(&testkit::answer(&way, from(1, able("ask"))).await));
    let mut large = able("ask");
    let arguments = json!({"text": "x".repeat(2000)});
    large.set_param("arguments", &carryall_types::RawJson::from(&arguments));
    let refused = testkit::answer(&way, from(1, large)).await;
    assert_eq!(refused.code(), -32603);
    // The server knows that nobody answers, and that nobody waits.
    let answer = answer_of(&fake).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    fake.told_method("notifications/cancelled").await;
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_that_never_sets_the_level_holds_nobody_up() {
    let fake = Fake::new("", r#"*'"method":"logging/setLevel"'*) ;;"#);
    let way = fake.start().await;
    let start_of = Instant::now();
    let logged = |level: &str| tool_with(json!({LOG_LEVEL: level}));
    let calls: Vec<_> = ["debug", "info", "warning", "error"]
        .map(|level| start(&way, logged(level)))
        .into();
    for call in calls {
        assert_eq!(call.await.unwrap().text(), "done");
    }
    for _ in 0..4 {
        assert_eq!(testkit::answer(&way, logged("debug")).await.text(), "done");
    }
    // One after the other they would have waited 10 s each.
    assert!(
        start_of.elapsed() < Duration::from_secs(8),
        "{:?}",
        start_of.elapsed()
    );
    assert_eq!(
        fake.methods()
            .iter()
            .filter(|method| *method == "logging/setLevel")
            .count(),
        1
    );
    way.shutdown().await;
}
