//! Calls of a legacy server on stdio.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::Era;
use carryall_proto::{CallError, Message};
use carryall_testkit as testkit;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

#[tokio::test]
async fn discovery_is_answered_from_the_handshake() {
    let server = FakeServer::plain();
    let client = server.start().await;
    let found = testkit::answer(&client, testkit::call("server/discover", json!({}))).await;
    let wanted = json!({
        "resultType": "complete",
        "supportedVersions": ["2025-11-25"],
        "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}},
        "ttlMs": 0,
        "cacheScope": "private",
        "instructions": "Be brief.",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "server", "version": "1"}},
    });
    assert_eq!(found.result(), &wanted);
    client.shutdown().await;
    assert!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "server/discover")
            .count()
            == 1,
        "the probe alone"
    );
}

// spec: base-jsonrpc-08, caching-01
#[tokio::test]
async fn results_get_the_required_members_and_keep_the_others() {
    let server = FakeServer::plain();
    let client = server.start().await;
    let listed = testkit::answer(&client, testkit::call("tools/list", json!({}))).await;
    let wanted = r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[],"vendor":{"z":1,"a":2}}"#;
    assert_eq!(listed.result().to_string(), wanted);
    let called = testkit::answer(&client, tool("a")).await;
    assert_eq!(
        called.result().to_string(),
        r#"{"resultType":"complete","content":[{"type":"text","text":"done"}]}"#
    );
    client.shutdown().await;
}

// spec: base-jsonrpc-24
#[tokio::test]
async fn error_codes_are_translated() {
    let server = FakeServer::new(
        "",
        r#"*'"method":"resources/read"'*) fail -32002 'Gone' ;;
*'"name":"a"'*) fail -32021 'No such thing' ;;"#,
    );
    let client = server.start().await;
    let read = testkit::answer(
        &client,
        testkit::call("resources/read", json!({"uri": "a:b"})),
    )
    .await;
    assert_eq!(
        (read.code(), &read.error()["data"]),
        (-32602, &json!({"uri": "a:b"}))
    );
    let called = testkit::answer(&client, tool("a")).await;
    assert_eq!(called.code(), -32603);
    assert!(
        called.error()["message"]
            .as_str()
            .unwrap()
            .contains("No such thing")
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_request_has_no_members_of_2026_07_28() {
    let server = FakeServer::plain();
    let client = server.start().await;
    let meta = testkit::meta_with(
        &json!({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}),
    );
    let params = json!({"name": "x", "arguments": {"b": 1, "a": 2}, "vendor": true, "_meta": meta});
    testkit::answer(&client, testkit::call("tools/call", params)).await;
    let told = server.wait_for_method("tools/call").await;
    let trace = json!({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"});
    let wanted =
        json!({"name": "x", "arguments": {"b": 1, "a": 2}, "vendor": true, "_meta": trace});
    assert_eq!(told["params"], wanted);
    client.shutdown().await;
}

// spec: progress-03, progress-07
#[tokio::test]
async fn progress_reaches_its_call_completely_and_in_order() {
    let progress = r#"printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%s}}\n' "$token" $i"#;
    let many = format!(
        r#"*'"method":"tools/call"'*) for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do {progress}; done; reply '{{"content":[]}}' ;;"#
    );
    let server = FakeServer::new("", &many);
    let client = server.start().await;
    for _ in 0..20 {
        // Independent callers may choose the same token.
        let asking = || testkit::answer(&client, tool_with(json!({"progressToken": "mine"})));
        let (one, other) = tokio::join!(asking(), asking());
        for answered in [one, other] {
            let told = answered.params_of("notifications/progress");
            let values: Vec<_> = told
                .iter()
                .map(|params| params["progress"].as_i64().unwrap())
                .collect();
            assert_eq!(values, (1..=20).collect::<Vec<_>>());
            assert!(told.iter().all(|params| params["progressToken"] == "mine"));
        }
    }
    let tokens: Vec<Value> = server
        .messages()
        .iter()
        .filter(|message| message["method"] == "tools/call")
        .map(|message| message["params"]["_meta"]["progressToken"].clone())
        .collect();
    assert!(
        (1..tokens.len()).all(|at| !tokens[..at].contains(&tokens[at])),
        "tokens are unique: {tokens:?}"
    );
    client.shutdown().await;
}

// spec: logging-03, logging-04
#[tokio::test]
async fn log_messages_reach_the_calls_that_ask_for_them() {
    let log = |level: &str| {
        format!(
            r#"say '{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1}}}}'"#
        )
    };
    let server = FakeServer::new(
        "",
        &format!(
            "*'\"method\":\"tools/call\"'*) {}; {}; reply '{{\"content\":[]}}' ;;",
            log("debug"),
            log("error")
        ),
    );
    let client = server.start().await;
    let levels = |answered: testkit::TestReply| {
        answered
            .params_of("notifications/message")
            .iter()
            .map(|params| params["level"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        levels(testkit::answer(&client, tool("a")).await),
        Vec::<Value>::new()
    );
    assert!(!server.methods().contains(&"logging/setLevel".to_owned()));
    let warning = || tool_with(json!({LOG_LEVEL: "warning"}));
    assert_eq!(
        levels(testkit::answer(&client, warning()).await),
        [json!("error")]
    );
    assert_eq!(
        levels(testkit::answer(&client, warning()).await),
        [json!("error")]
    );
    let set = |server: &FakeServer| {
        server
            .messages()
            .iter()
            .filter(|message| message["method"] == "logging/setLevel")
            .map(|message| message["params"]["level"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(set(&server), [json!("warning")], "only when it changes");
    assert_eq!(
        levels(testkit::answer(&client, tool_with(json!({LOG_LEVEL: "debug"}))).await),
        [json!("debug"), json!("error")]
    );
    assert_eq!(set(&server), [json!("warning"), json!("debug")]);
    client.shutdown().await;
}

// spec: stdio-10, cancellation-01
#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let server = FakeServer::new("", r#"*'"name":"slow"'*) ;;"#);
    let client = server.start().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { call(&client, tool("slow")).await.is_ok() }
    });
    let told = server.wait_for_method("tools/call").await;
    waiting.abort();
    let cancelled = server.wait_for_method("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], told["id"]);
    // An answered call is not cancelled.
    testkit::answer(&client, tool("a")).await;
    testkit::answer(&client, tool("a")).await;
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "notifications/cancelled")
            .count(),
        1
    );
    client.shutdown().await;
}

#[tokio::test]
async fn each_set_of_capabilities_has_its_own_process() {
    let server = FakeServer::plain();
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let declaring = |capabilities: Value| tool_with(json!({CAPABILITIES: capabilities}));
    let with = json!({"elicitation": {"form": {}}, "extensions": {"a.b/c": {}}});
    for _ in 0..3 {
        testkit::answer(&client, declaring(with.clone())).await;
        testkit::answer(&client, declaring(json!({}))).await;
    }
    let told: Vec<Value> = server
        .messages()
        .into_iter()
        .filter(|message| message["method"] == "initialize")
        .map(|message| message["params"]["capabilities"].clone())
        .collect();
    assert_eq!(told, [json!({}), json!({"elicitation": {"form": {}}})]);
    assert_in_order(&server.methods());
    client.shutdown().await;
}

#[tokio::test]
async fn processes_are_bounded_and_an_idle_one_is_evicted() {
    let server = FakeServer::plain();
    let client = server
        .spawn(quick().era(Era::Legacy).max_sessions(2))
        .await
        .unwrap();
    for name in ["roots", "sampling", "elicitation"] {
        let declared = json!({CAPABILITIES: {name: {}}});
        assert_eq!(
            testkit::answer(&client, tool_with(declared)).await.text(),
            "done"
        );
    }
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "started")
            .count(),
        4
    );
    client.shutdown().await;
}

#[tokio::test]
async fn idle_processes_are_ended_except_for_the_last_one() {
    let server = FakeServer::plain();
    let client = server
        .spawn(
            quick()
                .era(Era::Legacy)
                .idle_timeout(Duration::from_millis(100)),
        )
        .await
        .unwrap();
    let declared = || tool_with(json!({CAPABILITIES: {"roots": {}}}));
    testkit::answer(&client, declared()).await;
    let ended = async {
        while !server.methods().contains(&"ended".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await
        }
    };
    tokio::time::timeout(testkit::TIMEOUT, ended)
        .await
        .expect("the unused process ends");
    tokio::time::sleep(Duration::from_millis(300)).await;
    testkit::answer(&client, declared()).await;
    let count = |what: &str| {
        server
            .methods()
            .iter()
            .filter(|method| *method == what)
            .count()
    };
    assert_eq!(
        (count("started"), count("ended")),
        (2, 1),
        "{:?}",
        server.methods()
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_process_that_starts_slowly_delays_no_other() {
    let server = FakeServer::new(r#"[ "$(grep -c started "$log")" -gt 1 ] && sleep 3"#, "");
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let slow = tokio::spawn({
        let client = client.clone();
        async move {
            call(&client, tool_with(json!({CAPABILITIES: {"roots": {}}})))
                .await
                .is_ok()
        }
    });
    while server
        .methods()
        .iter()
        .filter(|method| *method == "started")
        .count()
        < 2
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = Instant::now();
    testkit::answer(&client, tool("a")).await;
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    slow.abort();
    client.shutdown().await;
}

#[tokio::test]
async fn an_oversized_answer_fails_its_call_at_once_and_no_other() {
    let cases = r#"*'"name":"long"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"long":"%02000d"}}\n' "$id" 0 ;;
*'"name":"log"'*) printf '{"jsonrpc":"2.0","method":"x","params":{"long":"%02000d"}}\n' 0; reply '{"content":[]}' ;;"#;
    let server = FakeServer::new("", cases);
    let client = server.spawn(quick().max_message(1000)).await.unwrap();
    let error = call(&client, tool("long")).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge(1000)), "{error}");
    assert_eq!(
        testkit::answer(&client, tool("log")).await.result()["content"],
        json!([])
    );
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    client.shutdown().await;
}

#[tokio::test]
async fn a_malformed_response_never_leaves_its_call_waiting() {
    let cases = r#"*'"name":"code"'*) say '{"jsonrpc":"2.0","id":'$id',"error":{"code":"E_GONE","message":"gone"}}' ;;
*'"name":"both"'*) say '{"jsonrpc":"2.0","id":'$id',"error":{"code":1,"message":"x"},"result":{}}' ;;
*'"name":"version"'*) say '{"id":'$id',"result":{}}' ;;
*'"name":"json"'*) say '{"jsonrpc":"2.0","id":'$id',"result":{"content":[}}' ;;
*'"name":"string"'*) say '{"jsonrpc":"2.0","id":"'$id'","result":{"content":[{"type":"text","text":"string"}]}}' ;;
*'"name":"float"'*) say '{"jsonrpc":"2.0","id":'$id'.0,"result":{"content":[{"type":"text","text":"float"}]}}' ;;
*'"name":"null"'*) say '{"jsonrpc":"2.0","id":'$id',"error":null,"result":{"content":[{"type":"text","text":"null"}]}}' ;;"#;
    let server = FakeServer::new("", cases);
    let client = server.start().await;
    let coded = testkit::answer(&client, tool("code")).await;
    assert_eq!(coded.code(), -32603);
    assert!(
        coded.error()["message"]
            .as_str()
            .unwrap()
            .starts_with("gone"),
        "{}",
        coded.error()
    );
    for (name, why) in [
        ("both", "a method, or a result, or an error"),
        ("version", "jsonrpc"),
        ("json", "Parse error"),
    ] {
        let error = call(&client, tool(name)).await.unwrap_err();
        assert!(
            matches!(&error, CallError::Malformed(said) if said.contains(why)),
            "{name}: {error}"
        );
    }
    for name in ["string", "float", "null"] {
        assert_eq!(testkit::answer(&client, tool(name)).await.text(), name);
    }
    client.shutdown().await;
}

#[tokio::test]
async fn the_calls_of_an_unusable_batch_fail_at_once() {
    let cases = r#"*'"name":"first"'*) first=$id ;;
*'"name":"long"'*) printf '[{"jsonrpc":"2.0","id":%s,"result":{"long":"%02000d"}},{"jsonrpc":"2.0","id":%s,"result":{}}]\n' "$first" 0 "$id" ;;
*'"name":"json"'*) say '[{"jsonrpc":"2.0","id":'$first',"result":{}},{"jsonrpc":"2.0","id":'$id',"result":[}]' ;;
*'"name":"many"'*) more=; for i in 1 2 3 4 5 6 7 8 9 10 11; do more="$more,0,0,0,0,0,0,0,0,0,0"; done
say '[{"jsonrpc":"2.0","id":'$first',"result":{}},{"jsonrpc":"2.0","id":'$id',"result":{}}'$more']' ;;"#;
    let server = FakeServer::new("", cases);
    let client = server.spawn(quick().max_message(1000)).await.unwrap();
    for name in ["long", "json", "many"] {
        let first = call(&client, tool("first"));
        let second = async {
            server
                .wait_for_calls(
                    "first",
                    1 + ["long", "json", "many"]
                        .iter()
                        .position(|it| *it == name)
                        .unwrap(),
                )
                .await;
            call(&client, tool(name)).await
        };
        let (first, second) = tokio::join!(first, second);
        for error in [first.unwrap_err(), second.unwrap_err()] {
            let is_right = match name {
                "long" => matches!(error, CallError::TooLarge(1000)),
                _ => matches!(error, CallError::Malformed(_)),
            };
            assert!(is_right, "{name}: {error}");
        }
    }
    assert_eq!(
        testkit::answer(&client, tool("a")).await.text(),
        "done",
        "the channel goes on"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn an_error_without_an_id_fails_the_only_call_it_can_be_about() {
    let cases = r#"*'"name":"keep"'*) kept=$id ;;
*'"name":"free"'*) say '{"jsonrpc":"2.0","id":'$kept',"result":{"content":[]}}'; reply '{"content":[]}' ;;
*'"name":"bad"'*) say '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"cannot read it"}}' ;;"#;
    let server = FakeServer::new("", cases);
    let client = server.start().await;
    testkit::answer(&client, tool("a")).await;
    let alone = testkit::answer(&client, tool("bad")).await;
    assert!(
        alone.error()["message"]
            .as_str()
            .unwrap()
            .contains("cannot read it"),
        "{}",
        alone.error()
    );
    // With another call in flight it may be about either, until that one is answered.
    let others = async {
        server.wait_for_calls("bad", 2).await;
        assert_eq!(
            testkit::answer(&client, tool("free")).await.result()["content"],
            json!([])
        );
    };
    let bad = async {
        server.wait_for_calls("keep", 1).await;
        testkit::answer(&client, tool("bad")).await
    };
    let (kept, bad, ()) = tokio::join!(testkit::answer(&client, tool("keep")), bad, others);
    assert_eq!(kept.result()["content"], json!([]));
    assert!(
        bad.error()["message"]
            .as_str()
            .unwrap()
            .contains("cannot read it"),
        "{}",
        bad.error()
    );
    client.shutdown().await;
}

#[tokio::test]
async fn subscriptions_are_bounded_in_number_and_bytes_per_caller() {
    let server = FakeServer::new("", "*'\"method\":\"resources/subscribe\"'*) ;;");
    let client = server.start().await;
    let listen = |caller: u128, uris: usize| {
        let uris: Vec<_> = (0..uris)
            .map(|n| format!("{caller}:{n}:{}", "x".repeat(8180)))
            .collect();
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": uris});
        from(
            caller,
            testkit::call("subscriptions/listen", json!({"notifications": filter})),
        )
    };
    let mut held = Vec::new();
    let refused = loop {
        match call(&client, listen(1, 0)).await {
            Ok(reply) => held.push(reply),
            Err(refused) => break refused,
        }
        assert!(held.len() <= 5000, "no bound");
    };
    assert!(
        matches!(&refused, CallError::Busy(why) if why.contains("this caller")),
        "{refused}"
    );
    held.push(call(&client, listen(2, 0)).await.unwrap());
    held.pop();
    held.clear();
    call(&client, listen(1, 0)).await.unwrap();

    // Resources are subscribed to in sequence, and this server does not answer.
    let pending = tokio::spawn({
        let (client, first) = (client.clone(), listen(3, 1000));
        async move { call(&client, first).await.is_ok() }
    });
    server.wait_for_method("resources/subscribe").await;
    // 8 MiB each, of the 16 MiB that one caller may have.
    let refused = call(&client, listen(3, 1000)).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Busy(why) if why.contains("this caller")),
        "{refused}"
    );
    pending.abort();
    client.shutdown().await;
}

#[tokio::test]
async fn the_messages_of_a_batch_are_handled_one_by_one() {
    let server = FakeServer::new(
        "",
        r#"*'"method":"initialize"'*) hello 2025-03-26 ;;
*'"method":"tools/call"'*) say '[{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'"$token"',"progress":1}},7,{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[]}}]' ;;"#,
    );
    let client = server.start().await;
    let answered = testkit::answer(&client, tool_with(json!({"progressToken": 5}))).await;
    assert_eq!(
        answered.params_of("notifications/progress"),
        [json!({"progressToken": 5, "progress": 1})]
    );
    assert_eq!(answered.result()["content"], json!([]));
    client.shutdown().await;
}

// spec: subscriptions-01, meta-20
#[tokio::test]
async fn a_stream_of_changes_has_what_was_asked_for_and_ends_with_the_session() {
    let updated = |uri: &str| {
        format!(
            r#"say '{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}'"#
        )
    };
    let changed = |what: &str| {
        format!(r#"say '{{"jsonrpc":"2.0","method":"notifications/{what}/list_changed"}}'"#)
    };
    let cases = format!(
        "*'\"uri\":\"a:refused\"'*) fail -32602 'No' ;;\n*'\"name\":\"change\"'*) {}; {}; {}; {}; reply '{{\"content\":[]}}' ;;\n*'\"name\":\"exit\"'*) exit 0 ;;",
        updated("a:b"),
        updated("a:other"),
        changed("prompts"),
        changed("tools"),
    );
    let server = FakeServer::new("", &cases);
    let client = server.start().await;
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:b", "a:refused"]});
    let listen = || {
        testkit::call_with_id(
            &json!("listen-7"),
            "subscriptions/listen",
            json!({"notifications": filter}),
        )
    };
    let mut changes = testkit::stream(&client, listen()).await;
    let meta = json!({"io.modelcontextprotocol/subscriptionId": "listen-7"});
    // The server has no prompts, and refuses the subscription to one of the resources.
    let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
    let (method, params) = testkit::next_notification(&mut changes).await;
    assert_eq!(method, "notifications/subscriptions/acknowledged");
    assert_eq!(params, json!({"_meta": meta, "notifications": honoured}));
    let mut second = testkit::stream(&client, listen()).await;
    testkit::next_notification(&mut second).await;

    testkit::answer(&client, tool("change")).await;
    for stream in [&mut changes, &mut second] {
        let told = testkit::next_notification(stream).await;
        assert_eq!(
            told,
            (
                "notifications/resources/updated".into(),
                json!({"_meta": meta, "uri": "a:b"})
            )
        );
        let told = testkit::next_notification(stream).await;
        assert_eq!(
            told,
            (
                "notifications/tools/list_changed".into(),
                json!({"_meta": meta})
            )
        );
        testkit::assert_idle(stream);
    }
    let count = |method: &str| {
        server
            .messages()
            .iter()
            .filter(|message| message["method"] == method && message["params"]["uri"] == "a:b")
            .count()
    };
    assert_eq!(
        (count("resources/subscribe"), count("resources/unsubscribe")),
        (1, 0)
    );
    drop(second);
    testkit::answer(&client, tool("a")).await;
    assert_eq!(count("resources/unsubscribe"), 0, "somebody still listens");

    assert!(call(&client, tool("exit")).await.is_err());
    let next = std::future::poll_fn(|cx| changes.as_mut().poll_next(cx));
    let ended = tokio::time::timeout(testkit::TIMEOUT, next)
        .await
        .expect("the stream ends with the session");
    assert!(
        !matches!(ended, Some(Ok(Message::Notification(_)))),
        "{ended:?}"
    );

    // With the next process the stream can be opened again, and dropped.
    let mut again = testkit::stream(&client, listen()).await;
    testkit::next_notification(&mut again).await;
    drop(again);
    server
        .wait_for(|message| {
            message["method"] == "resources/unsubscribe" && message["params"]["uri"] == "a:b"
        })
        .await;
    client.shutdown().await;
}
