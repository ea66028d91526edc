//! With one upstream calls and replies pass unchanged, except for ids and credentials.

mod common;

use carryall_gateway::{Gateway, Upstream, code};
use carryall_proto::{Call, CallError, CallSource, Message, Reply};
use carryall_testkit::{answer, call, call_with_id, meta_with, next};
use carryall_types::{Implementation, Method};
use common::*;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::task::{Context, Waker};
use std::time::Duration;
use tower_service::Service as _;

const LIST: &str =
    r#"{"resultType":"complete","x":[1.50,{"b":2,"a":"\u00e9"}],"ttlMs":5,"cacheScope":"public"}"#;

// spec: gateway-derived-07
#[tokio::test]
async fn results_errors_and_unknown_methods_pass_unchanged() {
    let fake = Fake::at_once(|call| {
        Ok(match call.method().as_str() {
            "acme/fail" => error(call, -32021, "Missing required client capability"),
            _ => Reply::Once(carryall_proto::Response::result(
                call.id().clone(),
                carryall_types::RawJson::parse(LIST).unwrap(),
            )),
        })
    });
    let mut gateway = one(&[&fake]);
    for method in ["tools/list", "server/discover", "acme/frobnicate"] {
        let asked = call_with_id(
            &json!("mine"),
            method,
            json!({"odd": [1, {"z": 1, "a": 2}], "cursor": "c"}),
        );
        let params = asked.params().raw().clone();
        let Reply::Once(response) = gateway.call(asked).await.unwrap() else {
            panic!("a stream")
        };
        assert_eq!(response.id, "mine".into());
        let carryall_proto::Outcome::Result(result) = response.outcome else {
            panic!("an error")
        };
        assert_eq!(result.as_str(), LIST);
        let seen = fake.seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            (seen.method().clone(), seen.params().raw()),
            (Method::from(method), &params)
        );
    }
    let failed = answer(&gateway, call("acme/fail", json!({}))).await;
    assert_eq!((failed.code(), &failed.response["id"]), (-32021, &json!(1)));
}

// spec: gateway-derived-03
#[tokio::test]
async fn clients_may_use_the_same_id() {
    let fake = Fake::saying("hello");
    let gateway = one(&[&fake]);
    for id in [json!(7), json!(7), json!("7"), json!("")] {
        let answered = answer(
            &gateway,
            call_with_id(&id, "tools/call", json!({"name": "x"})),
        )
        .await;
        assert_eq!(answered.response["id"], id, "of the same JSON type");
    }
    let mut ids = fake.ids();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "unique upstream: {ids:?}");
}

// spec: gateway-derived-11
#[tokio::test]
async fn notifications_are_passed_on_as_they_arrive() {
    let (sender, stream) = channel();
    let stream = std::sync::Mutex::new(Some(stream));
    let fake = Fake::at_once(move |_| Ok(Reply::Stream(stream.lock().unwrap().take().unwrap())));
    let mut gateway = one(&[&fake]);
    let params = json!({"_meta": meta_with(&json!({"progressToken": "t"})), "name": "x"});
    let first = notification(
        "notifications/progress",
        json!({"progressToken": "t", "progress": 1}),
    );
    sender.send(Ok(first.clone())).unwrap();
    let Reply::Stream(mut down) = gateway
        .call(call_with_id(&json!("mine"), "tools/call", params))
        .await
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(next(&mut down).await, first);
    let second = notification(
        "notifications/progress",
        json!({"progressToken": "t", "progress": 2}),
    );
    sender.send(Ok(second.clone())).unwrap();
    assert_eq!(next(&mut down).await, second);
    sender
        .send(Ok(response(
            &fake.seen.lock().unwrap()[0],
            json!({"done": true}),
        )))
        .unwrap();
    let Message::Response(last) = next(&mut down).await else {
        panic!()
    };
    assert_eq!(last.id, "mine".into());
    assert!(down.next().await.is_none());
}

#[tokio::test]
async fn notifications_that_do_not_belong_to_the_reply_are_dropped() {
    let progress = |token: Value| {
        notification(
            "notifications/progress",
            json!({"progressToken": token, "progress": 1}),
        )
    };
    let log = |level: &str| {
        notification(
            "notifications/message",
            json!({"level": level, "data": "x"}),
        )
    };
    let all = move |call: &carryall_proto::Call| {
        let mut messages = vec![
            notification("notifications/tools/list_changed", json!({})),
            notification("notifications/resources/updated", json!({"uri": "a:1"})),
            notification("notifications/cancelled", json!({"requestId": 1})),
            notification(
                "notifications/subscriptions/acknowledged",
                json!({"notifications": {}}),
            ),
            notification("acme/events", json!({"any": 1})),
            progress(json!("t")),
            progress(json!("other")),
            log("debug"),
            log("error"),
            log("loud"),
        ];
        messages.extend(std::iter::repeat_n(
            notification("acme/events", json!({})),
            200,
        ));
        messages.push(response(call, json!({"done": true})));
        Ok(stream(messages.into_iter().map(Ok).collect()))
    };
    let gateway = one(&[&Fake::at_once(all)]);
    for (meta, passed) in [
        (json!({}), vec![]),
        (
            json!({"progressToken": "t"}),
            vec!["notifications/progress"],
        ),
        (
            json!({"io.modelcontextprotocol/logLevel": "info"}),
            vec!["notifications/message"],
        ),
    ] {
        let answered = answer(
            &gateway,
            call(
                "tools/call",
                json!({"_meta": meta_with(&meta), "name": "x"}),
            ),
        )
        .await;
        let methods: Vec<_> = answered
            .notifications
            .iter()
            .map(|notification| &*notification.method)
            .collect();
        assert_eq!(methods, passed, "{meta}");
        assert_eq!(answered.result()["done"], true);
    }
}

// spec: gateway-derived-03
#[tokio::test]
async fn on_a_shared_channel_progress_tokens_are_mapped() {
    let fake = Fake::at_once(|call| {
        let token = call.meta().progress_token().cloned().unwrap();
        let progress = json!({"progressToken": token, "progress": 0.5});
        Ok(stream(vec![
            Ok(notification("notifications/progress", progress)),
            Ok(response(call, json!({}))),
        ]))
    });
    let upstream = Upstream::new("local")
        .unwrap()
        .shared_channel()
        .with_replica("child", fake.service());
    let gateway = gateway([upstream]);
    for token in [json!("t"), json!("t"), json!(3)] {
        let params =
            json!({"_meta": meta_with(&json!({"progressToken": token, "acme/x": 1})), "name": "x"});
        let answered = answer(&gateway, call("tools/call", params)).await;
        assert_eq!(
            answered.params_of("notifications/progress"),
            [json!({"progressToken": token, "progress": 0.5})]
        );
    }
    let seen = fake.seen.lock().unwrap();
    let tokens: Vec<Value> = seen
        .iter()
        .map(|call| {
            let meta: Value = call.params().get("_meta").unwrap().decode().unwrap();
            assert_eq!(meta["acme/x"], 1, "other members of _meta are unchanged");
            assert_eq!(call.meta().raw().decode::<Value>().unwrap(), meta);
            meta["progressToken"].clone()
        })
        .collect();
    assert!(
        tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2],
        "{tokens:?}"
    );
}

// spec: http-headers-33, gateway-derived-08
#[tokio::test]
async fn headers_are_passed_on_without_credentials() {
    let fake = Fake::saying("hello");
    let mut gateway = one(&[&fake]);
    let mut asked = call("tools/call", json!({"name": "x"}));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("mcp-param-region", "eu"),
        ("mcp-param-unknown", "=?base64?w6k=?="),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        ),
        ("authorization", "Bearer secret"),
        ("cookie", "id=secret"),
        ("proxy-authorization", "Basic secret"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    *asked.headers_mut() = Some(headers);
    gateway.call(asked).await.unwrap();
    let seen = fake.seen.lock().unwrap();
    let headers = seen[0].headers().unwrap();
    assert_eq!(headers["mcp-param-region"], "eu");
    assert_eq!(headers["mcp-param-unknown"], "=?base64?w6k=?=");
    assert!(headers.contains_key("traceparent"));
    assert!(!format!("{headers:?}").contains("secret"), "{headers:?}");
}

// spec: auth-security-19
#[tokio::test]
async fn tokens_of_clients_are_not_sent_upstream() {
    let fake = Fake::saying("hello");
    let mut gateway = one(&[&fake]);
    let mut asked = call("tools/call", json!({"name": "x"}));
    *asked.headers_mut() = Some(HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        HeaderValue::from_static("Bearer abc"),
    )]));
    gateway.call(asked).await.unwrap();
    assert!(
        fake.seen.lock().unwrap()[0]
            .headers()
            .as_ref()
            .unwrap()
            .is_empty()
    );
}

// spec: gateway-derived-09
#[tokio::test]
async fn dropping_the_reply_cancels_upstream() {
    struct Notice(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Notice {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = gone.clone();
    let fake = Fake::new(move |_| {
        let notice = Notice(seen.clone());
        Box::pin(async move {
            let _notice = notice;
            std::future::pending().await
        })
    });
    let mut gateway = one(&[&fake]);
    let asked = gateway.call(call("tools/call", json!({"name": "x"})));
    assert!(
        tokio::time::timeout(Duration::from_millis(20), asked)
            .await
            .is_err()
    );
    assert!(gone.load(std::sync::atomic::Ordering::SeqCst));
}

// spec: gateway-derived-09, gateway-derived-10
#[tokio::test]
async fn a_broken_upstream_stream_becomes_an_error_response() {
    let fake = Fake::at_once(|_| {
        let progress = notification(
            "notifications/progress",
            json!({"progressToken": 1, "progress": 1}),
        );
        Ok(stream(vec![
            Ok(progress),
            Err(CallError::broken("10.1.2.3: reset")),
        ]))
    });
    let params = json!({"_meta": meta_with(&json!({"progressToken": 1})), "name": "x"});
    let answered = answer(
        &one(&[&fake]),
        call_with_id(&json!("a"), "tools/call", params),
    )
    .await;
    assert_eq!(
        (answered.code(), &answered.response["id"]),
        (code::UPSTREAM_BROKEN, &json!("a"))
    );
    assert_eq!(answered.notifications.len(), 1);
    assert!(!answered.response.to_string().contains("10.1.2.3"));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_the_call_timeout_even_while_streaming() {
    let silent = Fake::new(|_| Box::pin(std::future::pending()));
    let (sender, quiet) = channel();
    sender
        .send(Ok(notification(
            "notifications/progress",
            json!({"progressToken": 1, "progress": 1}),
        )))
        .unwrap();
    let quiet = std::sync::Mutex::new(Some(quiet));
    let quiet = Fake::at_once(move |_| Ok(Reply::Stream(quiet.lock().unwrap().take().unwrap())));
    for fake in [&silent, &quiet] {
        let gateway = Gateway::builder(Implementation::new("edge", "1"))
            .upstream(upstream("demo", &[fake]))
            .call_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        let start = tokio::time::Instant::now();
        let answered = answer(&gateway, call("tools/call", json!({"name": "x"}))).await;
        assert_eq!(answered.code(), code::UPSTREAM_TIMEOUT);
        assert_eq!(start.elapsed().as_secs(), 3);
    }
    drop(sender);
}

#[tokio::test]
async fn http_401_and_403_keep_their_status_and_nothing_else() {
    for (status, code) in [
        (401, code::UPSTREAM_UNAUTHORIZED),
        (403, code::UPSTREAM_FORBIDDEN),
    ] {
        let fake = Fake::at_once(move |_| {
            Err(CallError::NotMcp {
                status,
                body: "get a token at 10.1.2.3".into(),
            })
        });
        for gateway in [
            one(&[&fake]),
            gateway([upstream("a", &[&fake]), upstream("b", &[&fake])]),
        ] {
            for (method, params) in [
                ("tools/list", json!({})),
                ("tools/call", json!({"name": "a__x"})),
            ] {
                let answered = answer(&gateway, call(method, params)).await;
                assert_eq!(answered.code(), code, "{method}");
                assert_eq!(carryall_proto::wire::http_status(code).as_u16(), status);
                assert!(!answered.response.to_string().contains("10.1.2.3"));
            }
        }
    }
}

/// Polls a future once.
fn is_pending<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> bool {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let fake = Fake::new(|_| Box::pin(std::future::pending()));
    let mut gateway = Gateway::builder(Implementation::new("edge", "1"))
        .upstream(upstream("demo", &[&fake]))
        .max_calls(1)
        .build()
        .unwrap();
    let mut first = Box::pin(gateway.call(call("tools/call", json!({"name": "x"}))));
    assert!(is_pending(&mut first));
    assert_eq!(
        answer(&gateway, call("tools/call", json!({"name": "x"})))
            .await
            .code(),
        code::BUSY
    );
    drop(first);
    let mut next = Box::pin(gateway.call(call("tools/call", json!({"name": "x"}))));
    assert!(is_pending(&mut next), "admitted again");
}

fn from(address: [u8; 4]) -> Call {
    let mut call = call(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    call.set_source(CallSource::new(None, Some(address.into())));
    call
}

#[tokio::test]
async fn one_caller_cannot_exhaust_the_limit() {
    let fake = Fake::new(|_| Box::pin(std::future::pending()));
    let builder =
        || Gateway::builder(Implementation::new("edge", "1")).upstream(upstream("demo", &[&fake]));
    for (builder, share, others) in [
        (builder().max_calls(8), 6, 2),
        (builder().max_calls(8).max_calls_per_caller(3), 3, 3),
    ] {
        let mut gateway = builder.build().unwrap();
        let mut greedy: Vec<_> = (0..share)
            .map(|_| Box::pin(gateway.call(from([10, 0, 0, 1]))))
            .collect();
        assert!(greedy.iter_mut().all(is_pending), "{share}");
        let refused = answer(&gateway, from([10, 0, 0, 1])).await;
        assert_eq!(refused.code(), code::BUSY);
        let message = refused.error()["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("This caller has {share} ")),
            "{message}"
        );
        let mut rest: Vec<_> = (0..others)
            .map(|_| Box::pin(gateway.call(from([10, 0, 0, 2]))))
            .collect();
        assert!(rest.iter_mut().all(is_pending), "others are admitted");
        greedy.pop();
        let mut next = Box::pin(gateway.call(from([10, 0, 0, 1])));
        assert!(is_pending(&mut next), "admitted again");
        assert_eq!(
            answer(&gateway, from([10, 0, 0, 1])).await.code(),
            code::BUSY
        );
    }
}

/// Sets a flag when dropped.
struct Notice(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unpolled_call_ends_at_its_deadline_and_is_not_counted() {
    let ended = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let seen = ended.clone();
    let fake = Fake::new(move |call| {
        let (notice, streams) = (Notice(seen.clone()), call.name() == Some("stream"));
        Box::pin(async move {
            if !streams {
                let _notice = notice;
                return std::future::pending().await;
            }
            let started = notification(
                "notifications/progress",
                json!({"progressToken": "t", "progress": 1}),
            );
            let rest = futures_util::stream::unfold(notice, |notice| async move {
                std::future::pending::<()>().await;
                Some((Err(CallError::broken("x")), notice))
            });
            Ok(Reply::Stream(Box::pin(
                futures_util::stream::iter([Ok(started)]).chain(rest),
            )))
        })
    });
    let mut gateway = Gateway::builder(Implementation::new("edge", "1"))
        .upstream(upstream("demo", &[&fake]).probe(None))
        .call_timeout(Duration::from_secs(60))
        .max_calls(2)
        .build()
        .unwrap();
    let asked = |name: &str| {
        call(
            "tools/call",
            json!({"_meta": meta_with(&json!({"progressToken": "t"})), "name": name}),
        )
    };
    let mut silent = Box::pin(gateway.call(asked("silent")));
    assert!(is_pending(&mut silent));
    let Ok(Reply::Stream(mut unread)) = gateway.call(asked("stream")).await else {
        panic!("no stream")
    };
    assert_eq!(
        answer(&gateway, call("tools/call", json!({"name": "x"})))
            .await
            .code(),
        code::BUSY
    );

    let watched = tokio::time::timeout(Duration::from_secs(62), gateway.watch()).await;
    assert!(watched.is_err());
    assert_eq!(
        ended.load(std::sync::atomic::Ordering::SeqCst),
        2,
        "both are cancelled upstream"
    );
    let mut others: Vec<_> = (0..2)
        .map(|_| Box::pin(gateway.call(asked("silent"))))
        .collect();
    assert!(
        others.iter_mut().all(is_pending),
        "there is room for as many as before"
    );
    assert_eq!(answer(&gateway, asked("silent")).await.code(), code::BUSY);

    // A client that reads later receives the error.
    let late = silent.await.unwrap();
    assert!(
        matches!(late, Reply::Once(carryall_proto::Response { outcome: carryall_proto::Outcome::Error(error), .. })
        if error.code == code::UPSTREAM_TIMEOUT)
    );
    let Message::Response(late) = next(&mut unread).await else {
        panic!("a notification of a call that has ended")
    };
    assert!(
        matches!(late.outcome, carryall_proto::Outcome::Error(error) if error.code == code::UPSTREAM_TIMEOUT)
    );
    assert!(unread.next().await.is_none());
    drop((late.id, unread, others));
    let mut others: Vec<_> = (0..2)
        .map(|_| Box::pin(gateway.call(asked("silent"))))
        .collect();
    assert!(
        others.iter_mut().all(is_pending),
        "and none is counted twice"
    );
    assert_eq!(answer(&gateway, asked("silent")).await.code(), code::BUSY);
}
