//! Which callers share a session with a legacy server on stdio, and how many sessions there are.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{DualEraStdio, Era, SessionScope};
use carryall_proto::{Call, CallError, CallSource};
use carryall_testkit as testkit;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A server that knows who has logged in to its session.
fn login() -> FakeServer {
    let text =
        |text: &str| format!(r#"reply '{{"content":[{{"type":"text","text":"'"{text}"'"}}]}}'"#);
    let cases = [
        format!(r#"*'"name":"login"'*) user=ann; {} ;;"#, text("ok")),
        format!(r#"*'"name":"whoami"'*) {} ;;"#, text("${user:-nobody}")),
    ];
    FakeServer::new("", &cases.join("\n"))
}

async fn text(client: &DualEraStdio, call: Call) -> String {
    testkit::answer(client, call).await.text().to_owned()
}

fn count(server: &FakeServer, what: &str) -> usize {
    server
        .methods()
        .iter()
        .filter(|method| *method == what)
        .count()
}

async fn eventually(what: &str, so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_login_is_not_shared_between_principals() {
    let server = login();
    let client = server.start().await;
    assert_eq!(text(&client, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&client, by("bob", tool("whoami"))).await, "nobody");
    assert_eq!(
        text(&client, tool("whoami")).await,
        "nobody",
        "nor of anybody without one"
    );
    assert_eq!(text(&client, from(1, tool("whoami"))).await, "nobody");
    assert_eq!(text(&client, by("ann", tool("whoami"))).await, "ann");
    assert_eq!(
        text(&client, from(7, by("ann", tool("whoami")))).await,
        "ann",
        "wherever she calls from"
    );
    assert_eq!(
        count(&server, "started"),
        3,
        "callers without a principal share a process"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn principals_do_not_share_sessions_with_anonymous_callers() {
    let server = login();
    let client = server.start().await;
    assert_eq!(text(&client, from(1, tool("login"))).await, "ok");
    assert_eq!(text(&client, from(2, tool("whoami"))).await, "ann");
    assert_eq!(text(&client, by("bob", tool("whoami"))).await, "nobody");
    client.shutdown().await;
}

#[tokio::test]
async fn sessions_per_client_and_shared_sessions() {
    let server = login();
    let client = server
        .spawn(quick().session_scope(SessionScope::Client))
        .await
        .unwrap();
    assert_eq!(text(&client, from(1, tool("login"))).await, "ok");
    assert_eq!(text(&client, from(2, tool("whoami"))).await, "nobody");
    assert_eq!(
        text(&client, from(1, by("bob", tool("whoami")))).await,
        "nobody"
    );
    assert_eq!(text(&client, from(1, tool("whoami"))).await, "ann");
    // It is unknown whether both calls are of the same client.
    let mut untold = [tool("login"), tool("whoami")].map(|mut call| {
        call.set_source(CallSource::UNKNOWN);
        call
    });
    untold[1].replace_id(carryall_types::RequestId::from(2));
    let [login_call, whoami] = untold;
    assert_eq!(text(&client, login_call).await, "ok");
    assert_eq!(text(&client, whoami).await, "nobody");
    client.shutdown().await;

    let server = login();
    let client = server
        .spawn(quick().session_scope(SessionScope::Shared))
        .await
        .unwrap();
    assert_eq!(text(&client, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&client, by("bob", tool("whoami"))).await, "ann");
    assert_eq!(text(&client, from(2, tool("whoami"))).await, "ann");
    assert_eq!(count(&server, "started"), 1);
    client.shutdown().await;
}

#[tokio::test]
async fn a_session_per_call_lasts_through_its_rounds_and_ends_with_it() {
    let server = login();
    let client = server
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    assert_eq!(text(&client, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&client, by("ann", tool("whoami"))).await, "nobody");
    assert_eq!(
        count(&server, "started"),
        2,
        "the first call had the first process"
    );
    eventually("the processes end with their calls", || {
        count(&server, "ended") == 2
    })
    .await;
    // Nor does a process that is no longer needed count as failed, which would delay the next start.
    let begun = std::time::Instant::now();
    for _ in 0..12 {
        assert_eq!(text(&client, tool("whoami")).await, "nobody");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    client.shutdown().await;

    let ask = r#"say '{"jsonrpc":"2.0","id":"q1","method":"roots/list"}'"#;
    let cases = format!(
        "*'\"name\":\"ask\"'*) call=$id; user=ann; {ask} ;;\n{}",
        r#"*'"id":"q1"'*) id=$call; reply '{"content":[{"type":"text","text":"'"$user"'"}]}' ;;"#
    );
    let server = FakeServer::new("", &cases);
    let client = server
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    let asked = testkit::answer(&client, able("ask")).await;
    let result = asked.result().clone();
    let other = start(&client, able("slow"));
    let key = result["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let mut again = able("ask");
    for (member, value) in [
        ("requestState", result["requestState"].clone()),
        ("inputResponses", json!({key: {"roots": []}})),
    ] {
        again.set_param(member, &carryall_types::RawJson::from(&value));
    }
    assert_eq!(text(&client, again).await, "ann");
    other.abort();
    client.shutdown().await;
}

#[tokio::test]
async fn with_sessions_per_call_subscriptions_share_a_session() {
    let server = login();
    let client = server
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    let _one = listening(&client, from(1, listen(&json!({})))).await;
    let _other = listening(&client, from(2, listen(&json!({"roots": {}})))).await;
    assert_eq!(count(&server, "started"), 1);
    assert_eq!(text(&client, from(1, tool("login"))).await, "ok");
    assert_eq!(count(&server, "started"), 2, "no call is made there");
    client.shutdown().await;
}

fn listen(capabilities: &Value) -> Call {
    let meta = testkit::meta_with(&json!({CAPABILITIES: capabilities}));
    let filter = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
    testkit::call("subscriptions/listen", filter)
}

async fn listening(client: &DualEraStdio, call: Call) -> carryall_proto::MessageStream {
    let mut changes = testkit::stream(client, call).await;
    testkit::next_notification(&mut changes).await;
    changes
}

fn start(
    client: &DualEraStdio,
    call: Call,
) -> JoinHandle<Result<carryall_proto::Reply, CallError>> {
    let client = client.clone();
    tokio::spawn(async move { call_common::call(&client, call).await })
}

#[tokio::test]
async fn subscriptions_with_unusual_capabilities_do_not_exhaust_the_sessions() {
    let server = FakeServer::plain();
    let client = server.start().await;
    let mut open = Vec::new();
    for number in 0..8 {
        let odd = json!({"experimental": {format!("a.b/{number}"): {}}, "x": number});
        open.push(listening(&client, from(1, listen(&odd))).await);
    }
    for odd in ["roots", "sampling", "elicitation"] {
        open.push(listening(&client, from(1, listen(&json!({odd: {"x": {}}})))).await);
    }
    assert_eq!(
        count(&server, "started"),
        1,
        "a subscription needs no capabilities"
    );
    assert_eq!(
        text(&client, from(2, declaring("a", &json!({"roots": {}})))).await,
        "done"
    );
    assert_eq!(text(&client, from(3, tool("a"))).await, "done");
    drop(open);
    client.shutdown().await;

    // Nor if there is no session without capabilities yet.
    let server = FakeServer::plain();
    let client = server.start().await;
    assert_eq!(text(&client, by("ann", tool("a"))).await, "done");
    let mut open = Vec::new();
    for odd in ["roots", "sampling", "elicitation"] {
        open.push(listening(&client, by("bob", listen(&json!({odd: {}})))).await);
    }
    assert_eq!(count(&server, "started"), 2);
    drop(open);
    client.shutdown().await;
}

/// Sets of capabilities that a server can distinguish.
fn sets() -> Vec<Value> {
    let mut sets = Vec::new();
    for elicitation in [
        json!({"form": {}}),
        json!({"url": {}}),
        json!({"form": {}, "url": {}}),
    ] {
        for sampling in [json!({}), json!({"tools": {}}), json!({"context": {}})] {
            sets.push(json!({"elicitation": elicitation, "sampling": sampling}));
        }
    }
    sets
}

#[tokio::test]
async fn one_caller_cannot_use_all_sessions() {
    let server = FakeServer::new("", r#"*'"name":"slow"'*) ;;"#);
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let mut slow = Vec::new();
    let mut busy = 0;
    for (at, set) in sets().iter().enumerate() {
        let waiting = start(&client, from(1, declaring("slow", set)));
        let arrived = || {
            server
                .messages()
                .iter()
                .filter(|message| message["params"]["name"] == "slow")
                .count()
        };
        eventually("it is sent or refused", || {
            waiting.is_finished() || arrived() > at - busy
        })
        .await;
        if waiting.is_finished() {
            let refused = waiting.await.unwrap().unwrap_err();
            assert!(
                matches!(&refused, CallError::Busy(why) if why.contains("this caller")),
                "{refused:?}"
            );
            busy += 1;
        } else {
            slow.push(waiting);
        }
    }
    assert_eq!((slow.len(), busy), (4, 5));
    // Other callers have sessions, with capabilities and without.
    assert_eq!(
        text(&client, from(2, declaring("a", &sets()[8]))).await,
        "done"
    );
    assert_eq!(text(&client, by("bob", tool("a"))).await, "done");
    assert_eq!(text(&client, from(3, tool("a"))).await, "done");
    // Idle sessions make room.
    for (number, set) in (10..).zip(sets()) {
        assert_eq!(
            text(&client, from(number, declaring("a", &set))).await,
            "done"
        );
    }
    slow.iter().for_each(JoinHandle::abort);
    client.shutdown().await;
}

#[tokio::test]
async fn a_session_is_reserved_for_new_callers_and_for_those_without_capabilities() {
    let server = FakeServer::new("", r#"*'"name":"slow"'*) ;;"#);
    let client = server
        .spawn(quick().era(Era::Legacy).max_sessions(4))
        .await
        .unwrap();
    let arrived = || {
        server
            .messages()
            .iter()
            .filter(|message| message["params"]["name"] == "slow")
            .count()
    };
    let sets = sets();
    let mut slow = Vec::new();
    for (at, (caller, set)) in [(1, 0), (1, 1), (2, 2)].into_iter().enumerate() {
        slow.push(start(&client, from(caller, declaring("slow", &sets[set]))));
        eventually("it is sent", || arrived() > at).await;
    }
    for (caller, set) in [(2, 3), (3, 3)] {
        let refused = call_common::call(&client, from(caller, declaring("slow", &sets[set])))
            .await
            .unwrap_err();
        assert!(matches!(refused, CallError::Busy(_)), "{refused:?}");
    }
    assert_eq!(text(&client, from(3, tool("a"))).await, "done");
    slow.iter().for_each(JoinHandle::abort);
    client.shutdown().await;

    let server = FakeServer::new("", r#"*'"name":"slow"'*) ;;"#);
    let client = server
        .spawn(quick().era(Era::Legacy).max_sessions(4))
        .await
        .unwrap();
    let arrived = || {
        server
            .messages()
            .iter()
            .filter(|message| message["params"]["name"] == "slow")
            .count()
    };
    let mut slow = Vec::new();
    let none = json!({});
    for (at, (caller, set)) in [(1, &none), (1, &sets[0]), (2, &sets[1])]
        .into_iter()
        .enumerate()
    {
        slow.push(start(&client, from(caller, declaring("slow", set))));
        eventually("it is sent", || arrived() > at).await;
    }
    let refused = call_common::call(&client, from(2, declaring("slow", &sets[2])))
        .await
        .unwrap_err();
    assert!(matches!(refused, CallError::Busy(_)), "{refused:?}");
    assert_eq!(
        text(&client, from(3, declaring("a", &sets[2]))).await,
        "done"
    );
    slow.iter().for_each(JoinHandle::abort);
    client.shutdown().await;
}

#[tokio::test]
async fn a_session_is_opened_once_for_all_waiters_even_if_the_first_is_dropped() {
    let server = FakeServer::new(r#"[ "$(grep -c started "$log")" -gt 1 ] && sleep 1"#, "");
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let first = start(&client, by("ann", declaring("a", &json!({"roots": {}}))));
    eventually("it is being opened", || count(&server, "started") == 2).await;
    let others: Vec<_> = (0..3)
        .map(|_| start(&client, by("ann", declaring("a", &json!({"roots": {}})))))
        .collect();
    tokio::task::yield_now().await;
    first.abort();
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(count(&server, "started"), 2);
    client.shutdown().await;
}
