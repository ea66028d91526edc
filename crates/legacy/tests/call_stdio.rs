//! Detecting the era of a server on stdio.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{DualEraStdio, Era, EraCache};
use carryall_proto::CallError;
use carryall_testkit as testkit;
use carryall_transport::stdio::ServerCommand;
use carryall_types::ProtocolVersion;
use serde_json::json;
use std::time::{Duration, Instant};
use tower_service::Service as _;

const IGNORED: [&str; 5] = [
    "started",
    "server/discover",
    "ping",
    "initialize",
    "notifications/initialized",
];
const LEGACY: [&str; 4] = [
    "started",
    "server/discover",
    "initialize",
    "notifications/initialized",
];

// spec: stdio-17, stdio-18, discover-03
#[tokio::test]
async fn any_answer_to_the_probe_that_is_not_modern_means_legacy() {
    let answers = [
        "fail -32601 'Method not found'",
        "fail -32602 'Invalid request parameters'",
        "fail -32000 'Server not initialized'",
        "fail -32002 'Before initialization was complete'",
        "fail -32600 'Invalid request'",
        "fail 0 'What?'",
        "reply '{}'",
        r#"say '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'"#,
    ];
    for answer in answers {
        let server = FakeServer::new(
            "",
            &format!(r#"*'"method":"server/discover"'*) {answer} ;;"#),
        );
        let client = server.start().await;
        let decision = client.decision().unwrap();
        assert_eq!(
            decision.version,
            ProtocolVersion::V2025_11_25,
            "{answer}: {decision}"
        );
        assert_eq!(
            testkit::answer(&client, tool("a")).await.text(),
            "done",
            "{answer}"
        );
        let methods = server.methods();
        assert_eq!(methods[..4], LEGACY, "{answer}");
        assert_in_order(&methods);
        client.shutdown().await;
    }
}

// spec: meta-08, meta-09, meta-12
#[tokio::test]
async fn the_probe_is_a_valid_request_of_2026_07_28() {
    let server = FakeServer::plain();
    let client = server.start().await;
    let probe = &server.messages()[0];
    assert_eq!(
        (&probe["jsonrpc"], &probe["method"]),
        (&json!("2.0"), &json!("server/discover"))
    );
    let meta = &probe["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
    assert!(meta["io.modelcontextprotocol/clientInfo"]["name"].is_string());
    client.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_ignores_the_probe_gets_the_handshake_in_the_same_process() {
    let server = FakeServer::new("", r#"*'"method":"server/discover"'*) ;;"#);
    let client = server.start().await;
    assert_eq!(
        client.decision().unwrap().version,
        ProtocolVersion::V2025_11_25
    );
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    assert_eq!(server.methods()[..5], IGNORED);
    client.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_ignores_all_requests_gets_the_handshake_once_it_has_read_them() {
    let server = FakeServer::new(
        "",
        r#"*'"method":"server/discover"'*|*'"method":"ping"'*) ;;"#,
    );
    let client = server
        .spawn(quick().probe_timeout(Duration::from_millis(100)))
        .await
        .unwrap();
    assert!(!client.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    assert_eq!(server.methods()[..5], IGNORED);
    client.shutdown().await;
}

/// Some servers fail at the probe, and their process stays until its read of standard input returns.
#[tokio::test]
async fn a_server_that_hangs_after_the_probe_is_restarted() {
    let server = FakeServer::new(
        "",
        r#"*'"method":"server/discover"'*) read -r line; exit 1 ;;"#,
    );
    let client = server.start().await;
    assert!(!client.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    let wanted = [
        "started",
        "server/discover",
        "started",
        "initialize",
        "notifications/initialized",
    ];
    assert_eq!(server.methods()[..5], wanted);
    client.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_exits_at_the_probe_is_restarted_without_it() {
    let server = FakeServer::new("", r#"*'"method":"server/discover"'*) exit 1 ;;"#);
    let client = server.start().await;
    assert!(!client.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    let wanted = [
        "started",
        "server/discover",
        "started",
        "initialize",
        "notifications/initialized",
    ];
    assert_eq!(server.methods()[..5], wanted);
    client.shutdown().await;
}

#[tokio::test]
async fn a_server_that_always_exits_is_given_up() {
    let server = FakeServer::new("exit 3", "");
    let error = server.spawn(quick()).await.unwrap_err();
    assert!(server.methods().len() <= 3, "{:?}", server.methods());
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
}

/// Keeps to the era of the first request that names one.
const PINNED: &str = r#"
*'"method":"initialize"'*) pinned=legacy; hello 2025-11-25 ;;
*'"method":"server/discover"'*) if [ "$pinned" = legacy ]; then fail -32601 pinned; else pinned=modern; modern; fi ;;
*'"method":"tools/call"'*) if [ "$pinned" = modern ]; then
    case $line in *2026-07-28*) reply '{"resultType":"complete","content":[{"type":"text","text":"modern"}]}' ;; *) fail -32600 no ;; esac
else
    case $line in *2026-07-28*) fail -32600 pinned ;; *) reply '{"content":[{"type":"text","text":"legacy"}]}' ;; esac
fi ;;"#;

#[tokio::test]
async fn slow_servers_are_waited_for() {
    // Longer than every other timeout.
    let (slow, silence) = ("sleep 2", Duration::from_millis(100));
    let server = FakeServer::new(slow, "");
    let client = server.spawn(quick().probe_timeout(silence)).await.unwrap();
    assert!(!client.decision().unwrap().version.is_modern());
    assert_in_order(&server.methods());
    client.shutdown().await;

    let server = FakeServer::new(slow, PINNED);
    let client = server.spawn(quick().probe_timeout(silence)).await.unwrap();
    assert!(client.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "modern");
    let methods = server.methods();
    assert!(!methods.contains(&"initialize".to_owned()), "{methods:?}");
    assert_eq!(
        methods.iter().filter(|method| *method == "started").count(),
        1,
        "{methods:?}"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn the_error_for_a_server_that_does_not_read_its_input_says_so() {
    let server = FakeServer::new("sleep 30", "");
    let options = quick()
        .probe_timeout(Duration::from_millis(20))
        .handshake_timeout(Duration::from_millis(700));
    let error = server.spawn(options).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has not read its standard input"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_proves_modern_after_initialize_is_restarted() {
    // It answers the ping first, and the probe after `initialize` was sent.
    let late = r#"*'"method":"server/discover"'*) if [ "$seen" ]; then pinned=modern; modern; else
    asked=$id; for i in 1 2; do read -r line; id=${line#*'"id":'}; id=${id%%[,\}]*}; printf '%s\n' "$line" >>"$log"
    case $line in *ping*) fail -32601 'Method not found' ;; *initialize*) pinned=legacy; id=$asked; modern ;; esac; done; fi ;;"#;
    let start = r#"[ "$(grep -c started "$log")" -gt 1 ] && seen=1"#;
    let server = FakeServer::new(start, &format!("{late}\n{PINNED}"));
    let file = server.path("eras.json");
    let options = quick()
        .probe_timeout(Duration::from_millis(100))
        .era_cache(EraCache::file(&file));
    let client = server.spawn(options).await.unwrap();
    assert!(client.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "modern");
    let wanted = ["started", "server/discover", "ping", "initialize"];
    let methods = server.methods();
    assert_eq!(methods[..4], wanted);
    let again: Vec<_> = methods[4..]
        .iter()
        .filter(|method| *method != "ended")
        .collect();
    assert_eq!(again, ["started", "server/discover", "tools/call"]);
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("2026-07-28")
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_process_that_was_sent_initialize_is_never_used_in_the_modern_era() {
    // Either the refusal of `initialize` tells the era, or the late answer to the probe.
    for refusal in [
        "fail -32022 'Unsupported protocol version'",
        "fail -32601 'Method not found'",
        ":",
    ] {
        let initialize =
            format!(r#"*'"method":"initialize"'*) {refusal}; id=$probe; sleep 0.3; modern ;;"#);
        let discover = r#"*'"method":"server/discover"'*) probe=$id; [ "$seen" ] && modern ;;"#;
        let start = r#"[ "$(grep -c started "$log")" -gt 1 ] && seen=1"#;
        let server = FakeServer::new(start, &format!("{discover}\n{initialize}"));
        let client = server
            .spawn(quick().probe_timeout(Duration::from_millis(100)))
            .await
            .unwrap();
        assert!(client.decision().unwrap().version.is_modern(), "{refusal}");
        assert_eq!(
            testkit::answer(&client, tool("a")).await.text(),
            "done",
            "{refusal}"
        );
        let methods = server.methods();
        let last = methods
            .iter()
            .rposition(|method| method == "started")
            .unwrap();
        assert!(
            !methods[last..].contains(&"initialize".to_owned()),
            "{refusal}: {methods:?}"
        );
        client.shutdown().await;
    }
}

#[tokio::test]
async fn starting_continues_when_the_call_that_caused_it_is_dropped() {
    let server = FakeServer::new("sleep 1", "");
    let client = DualEraStdio::new(server.command(), quick());
    assert!(
        server.lines().is_empty(),
        "nothing is started before the first call"
    );
    for _ in 0..5 {
        let limit = Duration::from_millis(100);
        assert!(
            tokio::time::timeout(limit, client.clone().call(tool("early")))
                .await
                .is_err()
        );
    }
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    let methods = server.methods();
    assert_eq!(
        methods.iter().filter(|method| *method == "started").count(),
        1,
        "{methods:?}"
    );
    assert!(!methods.contains(&"ended".to_owned()), "{methods:?}");
    client.shutdown().await;
}

#[tokio::test]
async fn a_modern_server_with_minor_faults_is_detected_as_modern() {
    let results = [
        r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}"#,
        r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"serverInfo":{"name":"x","version":"1"}}"#,
        r#"{"resultType":"complete","supportedVersions":["2099-01-01","2026-07-28","2025-11-25"],"capabilities":{},"ttlMs":0,"cacheScope":"public"}"#,
    ];
    for result in results {
        let server = FakeServer::new(
            "",
            &format!(r#"*'"method":"server/discover"'*) reply '{result}' ;;"#),
        );
        let client = server.start().await;
        assert!(client.decision().unwrap().version.is_modern(), "{result}");
        assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
        assert!(
            !server.methods().contains(&"initialize".to_owned()),
            "{result}"
        );
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_modern_refusal_of_the_handshake_means_the_modern_era() {
    let cases = "*'\"method\":\"server/discover\"'*) fail -32601 no ;;\n*'\"method\":\"initialize\"'*) fail -32022 no ;;";
    let server = FakeServer::new("", cases);
    let client = server.start().await;
    assert!(client.decision().unwrap().version.is_modern());
    client.shutdown().await;
}

// spec: stdio-19, versioning-02
#[tokio::test]
async fn a_modern_error_to_the_probe_does_not_cause_a_fallback() {
    let refuse = |supported: &str| {
        let data = format!(r#""data":{{"supported":["{supported}"],"requested":"2026-07-28"}}"#);
        let error = format!(r#"{{"code":-32022,"message":"Unsupported protocol version",{data}}}"#);
        format!(
            r#"*'"method":"server/discover"'*) printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}' ;;"#
        )
    };
    let server = FakeServer::new("", &refuse("2026-07-28"));
    let client = server.start().await;
    assert!(client.decision().unwrap().version.is_modern());
    client.shutdown().await;

    let server = FakeServer::new("", &refuse("2099-01-01"));
    let error = server.spawn(quick()).await.unwrap_err();
    assert!(error.to_string().contains("2099-01-01"), "{error}");
    assert!(
        !server.methods().contains(&"initialize".to_owned()),
        "{:?}",
        server.methods()
    );

    let server = FakeServer::new(
        "",
        r#"*'"method":"server/discover"'*) fail -32021 'Missing capability' ;;"#,
    );
    let client = server.start().await;
    assert!(client.decision().unwrap().version.is_modern());
    assert!(!server.methods().contains(&"initialize".to_owned()));
    client.shutdown().await;
}

#[tokio::test]
async fn lines_that_are_not_messages_are_skipped() {
    let noise = r#"say 'Starting up...'; say ''; say '{"level":"info"}'; say '[1,2'; say '"x"'"#;
    let server = FakeServer::new(
        noise,
        r#"*'"method":"tools/call"'*) say 'calling'; reply '{"content":[]}' ;;"#,
    );
    let client = server.start().await;
    assert_eq!(
        client.decision().unwrap().version,
        ProtocolVersion::V2025_11_25
    );
    assert_eq!(
        testkit::answer(&client, tool("a")).await.result()["content"],
        json!([])
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_demanded_era_is_not_detected() {
    let server = FakeServer::plain();
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    assert_eq!(server.methods()[..2], ["started", "initialize"]);
    client.shutdown().await;

    let server = FakeServer::new("", r#"*'"method":"server/discover"'*) modern ;;"#);
    let client = server.spawn(quick().era(Era::Modern)).await.unwrap();
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    assert_eq!(server.methods(), ["started", "tools/call"]);
    client.shutdown().await;
}

// spec: versioning-10, versioning-11
#[tokio::test]
async fn the_detected_era_is_cached_for_later_runs() {
    let silent = FakeServer::new("", r#"*'"method":"server/discover"'*) ;;"#);
    let file = silent.path("deep/eras.json");
    silent
        .spawn(quick().era_cache(EraCache::file(&file)))
        .await
        .unwrap()
        .shutdown()
        .await;
    let before = silent.methods().len();
    // As another process would read it.
    let client = silent
        .spawn(
            quick()
                .probe_timeout(Duration::from_secs(60))
                .era_cache(EraCache::file(&file)),
        )
        .await
        .unwrap();
    assert_eq!(
        silent.methods()[before..before + 2],
        ["started", "initialize"]
    );
    assert!(
        client.decision().unwrap().why.contains("remembered"),
        "{}",
        client.decision().unwrap()
    );
    client.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("2025-11-25") && !text.contains("read -r"),
        "commands hold secrets: {text}"
    );
}

// spec: versioning-11
#[tokio::test]
async fn a_wrong_cache_entry_is_replaced() {
    let update = r#"[ -e "$log.modern" ] && new=1"#;
    let discover =
        r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
    let initialize = r#"*'"method":"initialize"'*) if [ "$new" ]; then fail -32022 no; else hello 2025-11-25; fi ;;"#;
    let server = FakeServer::new(update, &format!("{discover}\n{initialize}"));
    let file = server.path("eras.json");
    server
        .spawn(quick().era_cache(EraCache::file(&file)))
        .await
        .unwrap()
        .shutdown()
        .await;
    std::fs::write(server.path("log.modern"), "").unwrap();
    for _ in 0..2 {
        let client = server
            .spawn(quick().era_cache(EraCache::file(&file)))
            .await
            .unwrap();
        assert!(client.decision().unwrap().version.is_modern());
        assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
        client.shutdown().await;
    }
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("2026-07-28")
    );
}

// spec: versioning-11
#[tokio::test]
async fn a_server_that_refuses_initialize_after_all_is_probed_again() {
    for change in ["fail -32601 'Method not found'", "exit 1"] {
        let discover = r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
        let initialize = format!(
            r#"*'"method":"initialize"'*) if [ "$new" ]; then {change}; else hello 2025-11-25; fi ;;"#
        );
        let server = FakeServer::new(
            r#"[ -e "$log.modern" ] && new=1"#,
            &format!("{discover}\n{initialize}"),
        );
        let file = server.path("eras.json");
        server
            .spawn(quick().era_cache(EraCache::file(&file)))
            .await
            .unwrap()
            .shutdown()
            .await;
        std::fs::write(server.path("log.modern"), "").unwrap();
        let client = server
            .spawn(quick().era_cache(EraCache::file(&file)))
            .await
            .unwrap();
        assert!(client.decision().unwrap().version.is_modern(), "{change}");
        assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
        client.shutdown().await;
    }
}

#[tokio::test]
async fn the_era_of_a_replaced_server_is_detected_again() {
    let discover =
        r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
    let initialize = r#"*'"method":"initialize"'*) if [ "$new" ]; then fail -32022 no; else hello 2025-11-25; fi ;;"#;
    let update = r#"*'"name":"update"'*) : >"$log.modern"; exit 0 ;;"#;
    let server = FakeServer::new(
        r#"[ -e "$log.modern" ] && new=1"#,
        &format!("{discover}\n{initialize}\n{update}"),
    );
    let client = server.start().await;
    assert!(call(&client, tool("update")).await.is_err());
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    assert!(client.decision().unwrap().version.is_modern());
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "tools/call")
            .count(),
        2
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_crashing_server_is_not_restarted_in_a_loop() {
    let server = FakeServer::new("", r#"*'"method":"tools/call"'*) exit 1 ;;"#);
    let client = server.start().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert!(call(&client, tool("crash")).await.is_err());
    }
    let starts = server
        .methods()
        .iter()
        .filter(|method| *method == "started")
        .count();
    assert!((3..12).contains(&starts), "{starts} starts in a second");
    client.shutdown().await;
}

#[tokio::test]
async fn a_server_may_ping_before_the_handshake() {
    let ping = r#"*'"method":"initialize"'*) asked=$id; say '{"jsonrpc":"2.0","id":"p","method":"ping"}' ;;"#;
    let server = FakeServer::new(
        "",
        &format!("{ping}\n*'\"id\":\"p\",\"result\":{{}}'*) id=$asked; hello 2025-11-25 ;;"),
    );
    let client = server.start().await;
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    client.shutdown().await;
}

// 2025-11-25 `basic/lifecycle#error-handling`
#[tokio::test]
async fn a_server_that_names_older_revisions_is_offered_one_of_them() {
    let error = r#"{"code":-32602,"message":"Unsupported protocol version","data":{"supported":["2024-11-05"],"requested":"2025-11-25"}}"#;
    let refuse = format!(
        r#"*'"protocolVersion":"2025-11-25"'*) printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}' ;;"#
    );
    let server = FakeServer::new(
        "",
        &format!("{refuse}\n*'\"protocolVersion\":\"2024-11-05\"'*) hello 2024-11-05 ;;"),
    );
    let client = server.start().await;
    assert_eq!(
        client.decision().unwrap().version,
        ProtocolVersion::V2024_11_05
    );
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    client.shutdown().await;
}

#[tokio::test]
async fn an_unreadable_cache_is_replaced() {
    let server = FakeServer::plain();
    let file = server.path("eras.json");
    std::fs::write(&file, "{half of a fi").unwrap();
    let client = server
        .spawn(quick().era_cache(EraCache::file(&file)))
        .await
        .unwrap();
    assert_eq!(testkit::answer(&client, tool("a")).await.text(), "done");
    client.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap()
            .is_object(),
        "{text}"
    );
}

#[tokio::test]
async fn the_next_call_restarts_an_exited_server_and_nothing_is_sent_twice() {
    let server = FakeServer::new("", r#"*'"name":"crash"'*) exit 1 ;;"#);
    let client = server.start().await;
    let error = call(&client, tool("crash")).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error}");
    assert_eq!(testkit::answer(&client, tool("fine")).await.text(), "done");
    let methods = server.methods();
    // The era was detected once.
    assert_eq!(
        methods[5..8],
        ["started", "initialize", "notifications/initialized"],
        "{methods:?}"
    );
    assert_eq!(
        methods
            .iter()
            .filter(|method| *method == "tools/call")
            .count(),
        2
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_server_that_chooses_another_revision_gets_it_or_a_clear_error() {
    let other = |version: &str| {
        FakeServer::new(
            "",
            &format!(r#"*'"method":"initialize"'*) hello {version} ;;"#),
        )
    };
    for (version, name) in [
        (ProtocolVersion::V2024_11_05, "2024-11-05"),
        (ProtocolVersion::V2025_06_18, "2025-06-18"),
    ] {
        let server = other(name);
        let client = server.start().await;
        assert_eq!(
            server.messages()[1]["params"]["protocolVersion"],
            "2025-11-25"
        );
        assert_eq!(client.decision().unwrap().version, version);
        client.shutdown().await;
    }
    let error = other("1999-01-01").spawn(quick()).await.unwrap_err();
    assert!(error.to_string().contains("1999-01-01"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let server = FakeServer::new("", "*) ;;");
    let start = Instant::now();
    let options = quick()
        .probe_timeout(Duration::from_millis(50))
        .handshake_timeout(Duration::from_millis(1500));
    let error = server.spawn(options).await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    assert!(
        error.is_unsent() || matches!(error, CallError::Timeout(_)),
        "{error}"
    );
    assert_eq!(
        server.methods()[..4],
        ["started", "server/discover", "ping", "initialize"]
    );
}

#[tokio::test]
async fn the_process_ends_with_its_client() {
    let server = FakeServer::new("", "");
    let client = server.start().await;
    let status = client.shutdown().await.unwrap();
    assert!(
        status.success(),
        "standard input was closed, so it exits by itself: {status}"
    );
    assert!(call(&client, tool("late")).await.is_err());
    assert!(!server.methods().contains(&"tools/call".to_owned()));

    // A stream that is still held does not keep the process.
    let server = FakeServer::new("", "");
    let client = server.start().await;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut changes = testkit::stream(&client, testkit::call("subscriptions/listen", filter)).await;
    testkit::next_notification(&mut changes).await;
    drop(client);
    let ended = async {
        while !server.methods().contains(&"ended".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(testkit::TIMEOUT, ended)
        .await
        .expect("the process ends with the last clone");
}

#[tokio::test]
async fn start_errors_name_the_program_but_not_its_arguments() {
    let exits = ServerCommand::new("/bin/sh").args(["-c", "exit 3", "--token=s3cret"]);
    let missing = ServerCommand::new("/no/such/program").args(["--token=s3cret"]);
    for (command, says) in [
        (exits, "\"/bin/sh\" exited before the handshake: "),
        (missing, "\"/no/such/program\""),
    ] {
        for era in [Era::Auto, Era::Legacy] {
            let failed = DualEraStdio::spawn(command.clone(), quick().era(era))
                .await
                .unwrap_err();
            let said = failed.to_string();
            assert!(said.contains(says) && !said.contains("s3cret"), "{said}");
            assert!(
                !format!("{failed:?} {command:?}").contains("s3cret"),
                "{failed:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_handshake_is_reported_as_the_servers_error() {
    let server = FakeServer::new(
        "",
        "*'\"method\":\"initialize\"'*) fail -32603 'no license' ;;",
    );
    let refused = server.spawn(quick().era(Era::Legacy)).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::HandshakeRefused(error) if error.code == -32603),
        "{refused:?}"
    );
    assert_eq!(
        refused.to_string(),
        "the server refuses initialize: no license (-32603)"
    );
    assert!(refused.is_unsent());
}
