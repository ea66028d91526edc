//! Which callers share a session with a server of an earlier revision on stdio, and how many
//! sessions there are.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{Era, SessionScope, Stdio};
use carryall_proto::{Call, CallError, CallSource};
use carryall_testkit as testkit;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A server that knows who has logged in on its session.
fn login() -> Fake {
    let text =
        |text: &str| format!(r#"reply '{{"content":[{{"type":"text","text":"'"{text}"'"}}]}}'"#);
    let cases = [
        format!(r#"*'"name":"login"'*) user=ann; {} ;;"#, text("ok")),
        format!(r#"*'"name":"whoami"'*) {} ;;"#, text("${user:-nobody}")),
    ];
    Fake::new("", &cases.join("\n"))
}

async fn text(way: &Stdio, call: Call) -> String {
    testkit::answer(way, call).await.text().to_owned()
}

fn count(fake: &Fake, what: &str) -> usize {
    fake.methods()
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
async fn a_login_of_one_principal_is_not_one_of_another() {
    let fake = login();
    let way = fake.start().await;
    assert_eq!(text(&way, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&way, by("bob", tool("whoami"))).await, "nobody");
    assert_eq!(
        text(&way, tool("whoami")).await,
        "nobody",
        "nor of anybody without one"
    );
    assert_eq!(text(&way, from(1, tool("whoami"))).await, "nobody");
    assert_eq!(text(&way, by("ann", tool("whoami"))).await, "ann");
    assert_eq!(
        text(&way, from(7, by("ann", tool("whoami")))).await,
        "ann",
        "wherever she calls from"
    );
    assert_eq!(
        count(&fake, "started"),
        3,
        "callers without a principal share a process"
    );
    way.shutdown().await;
}

#[tokio::test]
async fn what_anonymous_callers_share_no_principal_gets() {
    let fake = login();
    let way = fake.start().await;
    assert_eq!(text(&way, from(1, tool("login"))).await, "ok");
    assert_eq!(text(&way, from(2, tool("whoami"))).await, "ann");
    assert_eq!(text(&way, by("bob", tool("whoami"))).await, "nobody");
    way.shutdown().await;
}

#[tokio::test]
async fn per_client_and_shared_are_what_they_say() {
    let fake = login();
    let way = fake
        .spawn(quick().session_scope(SessionScope::Client))
        .await
        .unwrap();
    assert_eq!(text(&way, from(1, tool("login"))).await, "ok");
    assert_eq!(text(&way, from(2, tool("whoami"))).await, "nobody");
    assert_eq!(
        text(&way, from(1, by("bob", tool("whoami")))).await,
        "nobody"
    );
    assert_eq!(text(&way, from(1, tool("whoami"))).await, "ann");
    // Nobody can tell that the second of these comes from the client of the first.
    let mut untold = [tool("login"), tool("whoami")].map(|mut call| {
        call.set_source(CallSource::UNKNOWN);
        call
    });
    untold[1].replace_id(carryall_types::RequestId::from(2));
    let [login_call, whoami] = untold;
    assert_eq!(text(&way, login_call).await, "ok");
    assert_eq!(text(&way, whoami).await, "nobody");
    way.shutdown().await;

    let fake = login();
    let way = fake
        .spawn(quick().session_scope(SessionScope::Shared))
        .await
        .unwrap();
    assert_eq!(text(&way, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&way, by("bob", tool("whoami"))).await, "ann");
    assert_eq!(text(&way, from(2, tool("whoami"))).await, "ann");
    assert_eq!(count(&fake, "started"), 1);
    way.shutdown().await;
}

#[tokio::test]
async fn a_session_per_call_ends_with_it_and_lasts_through_its_rounds() {
    let fake = login();
    let way = fake
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    assert_eq!(text(&way, by("ann", tool("login"))).await, "ok");
    assert_eq!(text(&way, by("ann", tool("whoami"))).await, "nobody");
    assert_eq!(
        count(&fake, "started"),
        2,
        "the first call had the first process"
    );
    eventually("the processes end with their calls", || {
        count(&fake, "ended") == 2
    })
    .await;
    // Nor is a process that is not needed any more one that has failed, after which there would be
    // a growing pause.
    let begun = std::time::Instant::now();
    for _ in 0..12 {
        assert_eq!(text(&way, tool("whoami")).await, "nobody");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    way.shutdown().await;

    let ask = r#"say '{"jsonrpc":"2.0","id":"q1","method":"roots/list"}'"#;
    let cases = format!(
        "*'\"name\":\"ask\"'*) call=$id; user=ann; {ask} ;;\n{}",
        r#"*'"id":"q1"'*) id=$call; reply '{"content":[{"type":"text","text":"'"$user"'"}]}' ;;"#
    );
    let fake = Fake::new("", &cases);
    let way = fake
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    let asked = testkit::answer(&way, able("ask")).await;
    let result = asked.result().clone();
    let other = start(&way, able("slow"));
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
    assert_eq!(text(&way, again).await, "ann");
    other.abort();
    way.shutdown().await;
}

#[tokio::test]
async fn subscriptions_of_a_server_with_sessions_per_call_share_one() {
    let fake = login();
    let way = fake
        .spawn(quick().session_scope(SessionScope::Call))
        .await
        .unwrap();
    let _one = listening(&way, from(1, listen(&json!({})))).await;
    let _other = listening(&way, from(2, listen(&json!({"roots": {}})))).await;
    assert_eq!(count(&fake, "started"), 1);
    assert_eq!(text(&way, from(1, tool("login"))).await, "ok");
    assert_eq!(count(&fake, "started"), 2, "no call is made there");
    way.shutdown().await;
}

fn listen(capabilities: &Value) -> Call {
    let meta = testkit::meta_with(&json!({CAPABILITIES: capabilities}));
    let filter = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
    testkit::call("subscriptions/listen", filter)
}

async fn listening(way: &Stdio, call: Call) -> carryall_proto::MessageStream {
    let mut changes = testkit::stream(way, call).await;
    testkit::next_notification(&mut changes).await;
    changes
}

fn start(way: &Stdio, call: Call) -> JoinHandle<Result<carryall_proto::Reply, CallError>> {
    let way = way.clone();
    tokio::spawn(async move { call_common::call(&way, call).await })
}

#[tokio::test]
async fn listens_with_odd_capabilities_lock_nobody_out() {
    let fake = Fake::plain();
    let way = fake.start().await;
    let mut open = Vec::new();
    for number in 0..8 {
        let odd = json!({"experimental": {format!("a.b/{number}"): {}}, "x": number});
        open.push(listening(&way, from(1, listen(&odd))).await);
    }
    for odd in ["roots", "sampling", "elicitation"] {
        open.push(listening(&way, from(1, listen(&json!({odd: {"x": {}}})))).await);
    }
    assert_eq!(
        count(&fake, "started"),
        1,
        "a subscription needs no capabilities"
    );
    assert_eq!(
        text(&way, from(2, declaring("a", &json!({"roots": {}})))).await,
        "done"
    );
    assert_eq!(text(&way, from(3, tool("a"))).await, "done");
    drop(open);
    way.shutdown().await;

    // Nor where no session without capabilities is there yet.
    let fake = Fake::plain();
    let way = fake.start().await;
    assert_eq!(text(&way, by("ann", tool("a"))).await, "done");
    let mut open = Vec::new();
    for odd in ["roots", "sampling", "elicitation"] {
        open.push(listening(&way, by("bob", listen(&json!({odd: {}})))).await);
    }
    assert_eq!(count(&fake, "started"), 2);
    drop(open);
    way.shutdown().await;
}

/// Sets of capabilities that a server can tell apart.
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
async fn one_caller_cannot_have_all_sessions() {
    let fake = Fake::new("", r#"*'"name":"slow"'*) ;;"#);
    let way = fake.spawn(quick().era(Era::Legacy)).await.unwrap();
    let mut slow = Vec::new();
    let mut busy = 0;
    for (at, set) in sets().iter().enumerate() {
        let waiting = start(&way, from(1, declaring("slow", set)));
        let arrived = || {
            fake.messages()
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
    // Others have theirs, with capabilities and without.
    assert_eq!(
        text(&way, from(2, declaring("a", &sets()[8]))).await,
        "done"
    );
    assert_eq!(text(&way, by("bob", tool("a"))).await, "done");
    assert_eq!(text(&way, from(3, tool("a"))).await, "done");
    // What is idle makes room.
    for (number, set) in (10..).zip(sets()) {
        assert_eq!(text(&way, from(number, declaring("a", &set))).await, "done");
    }
    slow.iter().for_each(JoinHandle::abort);
    way.shutdown().await;
}

#[tokio::test]
async fn a_place_is_kept_for_those_who_have_none_and_those_without_capabilities() {
    let fake = Fake::new("", r#"*'"name":"slow"'*) ;;"#);
    let way = fake
        .spawn(quick().era(Era::Legacy).max_sessions(4))
        .await
        .unwrap();
    let arrived = || {
        fake.messages()
            .iter()
            .filter(|message| message["params"]["name"] == "slow")
            .count()
    };
    let sets = sets();
    let mut slow = Vec::new();
    for (at, (caller, set)) in [(1, 0), (1, 1), (2, 2)].into_iter().enumerate() {
        slow.push(start(&way, from(caller, declaring("slow", &sets[set]))));
        eventually("it is sent", || arrived() > at).await;
    }
    for (caller, set) in [(2, 3), (3, 3)] {
        let refused = call_common::call(&way, from(caller, declaring("slow", &sets[set])))
            .await
            .unwrap_err();
        assert!(matches!(refused, CallError::Busy(_)), "{refused:?}");
    }
    assert_eq!(text(&way, from(3, tool("a"))).await, "done");
    slow.iter().for_each(JoinHandle::abort);
    way.shutdown().await;

    let fake = Fake::new("", r#"*'"name":"slow"'*) ;;"#);
    let way = fake
        .spawn(quick().era(Era::Legacy).max_sessions(4))
        .await
        .unwrap();
    let arrived = || {
        fake.messages()
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
        slow.push(start(&way, from(caller, declaring("slow", set))));
        eventually("it is sent", || arrived() > at).await;
    }
    let refused = call_common::call(&way, from(2, declaring("slow", &sets[2])))
        .await
        .unwrap_err();
    assert!(matches!(refused, CallError::Busy(_)), "{refused:?}");
    assert_eq!(text(&way, from(3, declaring("a", &sets[2]))).await, "done");
    slow.iter().for_each(JoinHandle::abort);
    way.shutdown().await;
}

#[tokio::test]
async fn a_session_is_opened_once_for_all_who_wait_even_if_the_first_goes_away() {
    let fake = Fake::new(r#"[ "$(grep -c started "$log")" -gt 1 ] && sleep 1"#, "");
    let way = fake.spawn(quick().era(Era::Legacy)).await.unwrap();
    let first = start(&way, by("ann", declaring("a", &json!({"roots": {}}))));
    eventually("it is being opened", || count(&fake, "started") == 2).await;
    let others: Vec<_> = (0..3)
        .map(|_| start(&way, by("ann", declaring("a", &json!({"roots": {}})))))
        .collect();
    tokio::task::yield_now().await;
    first.abort();
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(count(&fake, "started"), 2);
    way.shutdown().await;
}
