//! Selection of replicas, retries and health.

mod common;

use carryall_gateway::{Gateway, ProbeConfig, Upstream, code};
use carryall_proto::CallError;
use carryall_testkit::{answer, call};
use common::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A replica that the test can switch off and on.
fn switched(text: &'static str) -> (Fake, Arc<AtomicBool>) {
    let alive = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&alive);
    (
        Fake::at_once(move |call| {
            if switch.load(Ordering::SeqCst) {
                Ok(said(call, text))
            } else {
                Err(dead())
            }
        }),
        alive,
    )
}

async fn whoami(gateway: &Gateway) -> String {
    answer(gateway, call("tools/call", json!({"name": "whoami"})))
        .await
        .text()
        .to_owned()
}

async fn some(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(whoami(gateway).await);
    }
    texts
}

// The limit is the gateway's own for each replica, so another may accept the call.
#[tokio::test]
async fn a_call_refused_by_a_limit_is_sent_to_another_replica() {
    let busy =
        || Fake::at_once(|_| Err(CallError::Busy("8 sessions are in use at 10.1.2.3".into())));
    let free = Fake::saying("free");
    let gateway = one(&[&busy(), &free]);
    for _ in 0..3 {
        assert_eq!(
            answer(&gateway, call("tools/call", json!({"name": "x"})))
                .await
                .text(),
            "free"
        );
    }
    let full = busy();
    let gateway = one(&[&full]);
    for _ in 0..3 {
        let refused = answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
        assert_eq!(refused.code(), code::BUSY, "{:?}", refused.error());
        assert!(
            !refused.error()["message"]
                .as_str()
                .unwrap()
                .contains("10.1.2.3")
        );
    }
    assert_eq!(full.count(), 3, "it stays healthy");
}

#[tokio::test]
async fn replicas_take_turns_whoever_sends_requests() {
    let (a, b, c) = (Fake::saying("a"), Fake::saying("b"), Fake::saying("c"));
    assert_eq!(
        some(&one(&[&a, &b, &c]), 7).await,
        ["a", "b", "c", "a", "b", "c", "a"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_replica_is_skipped_until_it_recovers() {
    let (a, alive) = switched("a");
    let b = Fake::saying("b");
    let gateway = one(&[&a, &b]);
    assert_eq!(some(&gateway, 2).await, ["a", "b"]);
    alive.store(false, Ordering::SeqCst);
    assert_eq!(some(&gateway, 20).await, vec!["b"; 20], "no call is lost");
    assert!(
        a.count() <= 3,
        "skipped after the first failure: {}",
        a.count()
    );
    assert_eq!(
        gateway.upstreams()[0]
            .status()
            .iter()
            .map(|replica| replica.alive)
            .collect::<Vec<_>>(),
        [false, true]
    );
    alive.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let answered = some(&gateway, 6).await;
    assert_eq!(
        answered.iter().filter(|text| *text == "a").count(),
        3,
        "{answered:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn probes_detect_failure_and_recovery() {
    let (a, alive) = switched("a");
    let probe = ProbeConfig {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    };
    let gateway = gateway([Upstream::new("demo")
        .unwrap()
        .probe(Some(probe))
        .with_replica("a", a.service())]);
    let is_alive = |gateway: &Gateway| gateway.upstreams()[0].status()[0].alive;
    let watching = gateway.clone();
    let watcher = tokio::spawn(async move { watching.watch().await });
    alive.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(!is_alive(&gateway));
    alive.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(is_alive(&gateway));
    watcher.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hanging_replica_is_skipped_after_two_unanswered_probes() {
    let hangs = Fake::new(|_| Box::pin(std::future::pending()));
    let b = Fake::saying("b");
    let probe = ProbeConfig {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    };
    let upstream = Upstream::new("demo").unwrap().probe(Some(probe));
    let gateway = gateway([upstream
        .with_replica("a", hangs.service())
        .with_replica("b", b.service())]);
    let watching = gateway.clone();
    let watcher = tokio::spawn(async move { watching.watch().await });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(
        gateway.upstreams()[0].status()[0].alive,
        "a single unanswered probe"
    );
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert!(!gateway.upstreams()[0].status()[0].alive);
    watcher.abort();
}

#[tokio::test]
async fn unsent_requests_of_any_method_are_sent_to_another_replica() {
    for method in ["tools/call", "acme/transfer", "tools/list"] {
        let (gone, b) = (Fake::at_once(|_| Err(dead())), Fake::saying("b"));
        let gateway = one(&[&gone, &b]);
        assert_eq!(
            answer(&gateway, call(method, json!({"name": "x"})))
                .await
                .text(),
            "b",
            "{method}"
        );
        assert_eq!((gone.count(), b.count()), (1, 1));
    }
}

#[tokio::test]
async fn requests_that_may_have_been_executed_are_retried_only_if_repeatable() {
    let repeatable = [
        "server/discover",
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
    ];
    for method in repeatable
        .into_iter()
        .chain(["tools/call", "acme/transfer"])
    {
        for error in [
            CallError::broken("reset"),
            CallError::NotMcp {
                status: 503,
                body: String::new(),
            },
        ] {
            let at_once = error.clone();
            let breaks = Fake::at_once(move |_| Err(at_once.clone()));
            let later = error.clone();
            let breaks_later = Fake::at_once(move |_| Ok(stream(vec![Err(later.clone())])));
            for breaking in [breaks, breaks_later] {
                let b = Fake::saying("b");
                let answered =
                    answer(&one(&[&breaking, &b]), call(method, json!({"name": "x"}))).await;
                if repeatable.contains(&method) {
                    assert_eq!((answered.text(), b.count()), ("b", 1), "{method}");
                } else {
                    assert_eq!(b.count(), 0, "{method} was repeated");
                    assert!(
                        [code::UPSTREAM_BROKEN, code::UPSTREAM_INVALID].contains(&answered.code())
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_tried_on_each_replica_once() {
    let gone: Vec<Fake> = (0..3)
        .map(|_| Fake::at_once(|_| Err(CallError::broken("reset"))))
        .collect();
    let gateway = one(&[&gone[0], &gone[1], &gone[2]]);
    let answered = answer(&gateway, call("tools/list", json!({}))).await;
    assert_eq!(answered.code(), code::UPSTREAM_BROKEN);
    assert_eq!(gone.iter().map(Fake::count).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn with_all_replicas_dead_calls_fail_and_recovery_is_immediate() {
    let (a, a_alive) = switched("a");
    let (b, b_alive) = switched("b");
    let gateway = one(&[&a, &b]);
    for switch in [&a_alive, &b_alive] {
        switch.store(false, Ordering::SeqCst);
    }
    for _ in 0..5 {
        let answered = answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
        assert_eq!(answered.code(), code::UPSTREAM_UNREACHABLE);
        let message = answered.error()["message"].as_str().unwrap();
        assert!(
            message.contains("None of the 2 replicas of \"demo\"") && message.contains("try again"),
            "{message}"
        );
    }
    let before = a.count() + b.count();
    answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
    assert_eq!(
        a.count() + b.count(),
        before + 1,
        "one dead replica per call is tried, not all of them"
    );
    b_alive.store(true, Ordering::SeqCst);
    a_alive.store(true, Ordering::SeqCst);
    assert!(!whoami(&gateway).await.is_empty());
}

#[tokio::test]
async fn a_restarted_replica_is_used_with_its_new_service() {
    let upstream = Upstream::new("demo").unwrap();
    let replica = upstream.replica("demo-1");
    let gateway = gateway([upstream]);
    assert_eq!(
        answer(&gateway, call("tools/list", json!({}))).await.code(),
        code::UPSTREAM_UNREACHABLE
    );
    replica.up(Fake::saying("first").service());
    assert_eq!(whoami(&gateway).await, "first");
    replica.down();
    assert_eq!(
        answer(&gateway, call("tools/list", json!({}))).await.code(),
        code::UPSTREAM_UNREACHABLE
    );
    replica.up(Fake::saying("second").service());
    assert_eq!(whoami(&gateway).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_restart_within_the_restart_timeout() {
    let upstream = Upstream::new("demo")
        .unwrap()
        .restart_timeout(Duration::from_secs(3));
    let replica = upstream.replica("demo-1");
    replica.up(Fake::at_once(|_| Err(dead())).service());
    let gateway = gateway([upstream]);
    let start = tokio::time::Instant::now();
    assert_eq!(
        answer(&gateway, call("tools/call", json!({"name": "x"})))
            .await
            .code(),
        code::UPSTREAM_UNREACHABLE
    );
    assert_eq!(start.elapsed().as_secs(), 3);
    replica.down();
    let again = replica.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        again.up(Fake::saying("again").service());
    });
    assert_eq!(whoami(&gateway).await, "again");
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_replica_is_waited_for_once_per_call() {
    let upstream = Upstream::new("demo")
        .unwrap()
        .restart_timeout(Duration::from_secs(3));
    let replica = upstream.replica("demo-1");
    let gateway = gateway([upstream]);
    let crashing = tokio::spawn(async move {
        loop {
            replica.up(Fake::at_once(|_| Err(dead())).service());
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let start = tokio::time::Instant::now();
    assert_eq!(
        answer(&gateway, call("tools/list", json!({}))).await.code(),
        code::UPSTREAM_UNREACHABLE
    );
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    crashing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_been_executed_does_not_wait_for_a_restart() {
    let upstream = Upstream::new("demo")
        .unwrap()
        .restart_timeout(Duration::from_secs(3));
    let broken = Fake::at_once(|_| Err(CallError::broken("reset")));
    let gateway = gateway([upstream.with_replica("demo-1", broken.service())]);
    let start = tokio::time::Instant::now();
    assert_eq!(
        answer(&gateway, call("tools/call", json!({"name": "x"})))
            .await
            .code(),
        code::UPSTREAM_BROKEN
    );
    assert_eq!((start.elapsed().as_secs(), broken.count()), (0, 1));
}

#[tokio::test]
async fn errors_of_the_request_do_not_affect_the_health_of_the_replica() {
    let refuses =
        Fake::at_once(|_| Err(CallError::Refused("a header cannot carry the name".into())));
    let b = Fake::saying("b");
    let gateway = one(&[&refuses, &b]);
    let answered = answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
    assert_eq!((answered.code(), b.count()), (-32602, 0));
    assert!(
        gateway.upstreams()[0]
            .status()
            .iter()
            .all(|replica| replica.alive)
    );
}

#[tokio::test]
async fn a_started_stream_is_not_retried() {
    let begun = Fake::at_once(|_| {
        let progress = notification(
            "notifications/progress",
            json!({"progressToken": 1, "progress": 1}),
        );
        Ok(stream(vec![Ok(progress), Err(CallError::broken("reset"))]))
    });
    let b = Fake::saying("b");
    let answered = answer(
        &one(&[&begun, &b]),
        call("resources/read", json!({"uri": "a:x"})),
    )
    .await;
    assert_eq!((answered.code(), b.count()), (code::UPSTREAM_BROKEN, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_starting_replica_within_the_start_timeout() {
    let upstream = Upstream::new("demo")
        .unwrap()
        .start_timeout(Duration::from_secs(8));
    let replica = upstream.replica("one");
    let gateway = gateway([upstream.clone()]);
    let start = tokio::time::Instant::now();
    let refused = answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
    assert_eq!(
        (refused.code(), start.elapsed()),
        (code::UPSTREAM_UNREACHABLE, Duration::ZERO),
        "it is not starting"
    );

    let asked = async || answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
    let after = async |seconds: u64, what: &dyn Fn()| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        what();
    };
    replica.starting();
    let fake = Fake::saying("hello");
    let up = || replica.up(fake.service());
    let (answered, ()) = tokio::join!(asked(), after(5, &up));
    assert_eq!((answered.text(), start.elapsed().as_secs()), ("hello", 5));

    replica.starting();
    let down = || replica.down();
    let (failed, ()) = tokio::join!(asked(), after(2, &down));
    assert_eq!(
        (failed.code(), start.elapsed().as_secs()),
        (code::UPSTREAM_UNREACHABLE, 7),
        "it could not be started"
    );

    replica.starting();
    assert_eq!(asked().await.code(), code::UPSTREAM_UNREACHABLE);
    assert_eq!(start.elapsed().as_secs(), 15, "timed out");
}

#[tokio::test]
async fn status_reports_whether_a_replica_has_answered() {
    let fake = Fake::saying("hello");
    let upstream = upstream("demo", &[&fake]);
    let gateway = gateway([upstream.clone()]);
    assert!(upstream.status()[0].alive && !upstream.status()[0].answered);
    whoami(&gateway).await;
    assert!(upstream.status()[0].alive && upstream.status()[0].answered);
}
