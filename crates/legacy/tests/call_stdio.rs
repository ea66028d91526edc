//! Finding out, on stdio, which era a server is of.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{Era, EraCache, Stdio};
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
        let fake = Fake::new(
            "",
            &format!(r#"*'"method":"server/discover"'*) {answer} ;;"#),
        );
        let way = fake.start().await;
        let decision = way.decision().unwrap();
        assert_eq!(
            decision.version,
            ProtocolVersion::V2025_11_25,
            "{answer}: {decision}"
        );
        assert_eq!(
            testkit::answer(&way, tool("a")).await.text(),
            "done",
            "{answer}"
        );
        let methods = fake.methods();
        assert_eq!(methods[..4], LEGACY, "{answer}");
        assert_in_order(&methods);
        way.shutdown().await;
    }
}

// spec: meta-08, meta-09, meta-12
#[tokio::test]
async fn the_probe_is_a_proper_request_of_this_revision() {
    let fake = Fake::plain();
    let way = fake.start().await;
    let probe = &fake.messages()[0];
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
    way.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_ignores_the_probe_is_asked_in_the_old_way_on_the_same_process() {
    let fake = Fake::new("", r#"*'"method":"server/discover"'*) ;;"#);
    let way = fake.start().await;
    assert_eq!(
        way.decision().unwrap().version,
        ProtocolVersion::V2025_11_25
    );
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    assert_eq!(fake.methods()[..5], IGNORED);
    way.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_ignores_everything_before_the_handshake_gets_it_once_it_has_read_the_rest() {
    let fake = Fake::new(
        "",
        r#"*'"method":"server/discover"'*|*'"method":"ping"'*) ;;"#,
    );
    let way = fake
        .spawn(quick().probe_timeout(Duration::from_millis(100)))
        .await
        .unwrap();
    assert!(!way.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    assert_eq!(fake.methods()[..5], IGNORED);
    way.shutdown().await;
}

/// Some servers fail at the probe, and their process lives on until its blocked read of standard
/// input returns.
#[tokio::test]
async fn a_server_that_the_probe_has_stopped_but_not_ended_is_started_once_more() {
    let fake = Fake::new(
        "",
        r#"*'"method":"server/discover"'*) read -r line; exit 1 ;;"#,
    );
    let way = fake.start().await;
    assert!(!way.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    let wanted = [
        "started",
        "server/discover",
        "started",
        "initialize",
        "notifications/initialized",
    ];
    assert_eq!(fake.methods()[..5], wanted);
    way.shutdown().await;
}

// spec: stdio-18
#[tokio::test]
async fn a_server_that_exits_at_the_probe_is_started_once_more_and_not_probed() {
    let fake = Fake::new("", r#"*'"method":"server/discover"'*) exit 1 ;;"#);
    let way = fake.start().await;
    assert!(!way.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    let wanted = [
        "started",
        "server/discover",
        "started",
        "initialize",
        "notifications/initialized",
    ];
    assert_eq!(fake.methods()[..5], wanted);
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_that_always_exits_is_not_started_for_ever() {
    let fake = Fake::new("exit 3", "");
    let error = fake.spawn(quick()).await.unwrap_err();
    assert!(fake.methods().len() <= 3, "{:?}", fake.methods());
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
}

/// Speaks the era of the first request that names one, and no other from then on.
const PINNED: &str = r#"
*'"method":"initialize"'*) pinned=legacy; hello 2025-11-25 ;;
*'"method":"server/discover"'*) if [ "$pinned" = legacy ]; then fail -32601 pinned; else pinned=modern; modern; fi ;;
*'"method":"tools/call"'*) if [ "$pinned" = modern ]; then
    case $line in *2026-07-28*) reply '{"resultType":"complete","content":[{"type":"text","text":"modern"}]}' ;; *) fail -32600 no ;; esac
else
    case $line in *2026-07-28*) fail -32600 pinned ;; *) reply '{"content":[{"type":"text","text":"legacy"}]}' ;; esac
fi ;;"#;

#[tokio::test]
async fn servers_that_are_slow_to_start_are_waited_for() {
    // Long enough for every other reason to give up waiting.
    let (slow, silence) = ("sleep 2", Duration::from_millis(100));
    let fake = Fake::new(slow, "");
    let way = fake.spawn(quick().probe_timeout(silence)).await.unwrap();
    assert!(!way.decision().unwrap().version.is_modern());
    assert_in_order(&fake.methods());
    way.shutdown().await;

    let fake = Fake::new(slow, PINNED);
    let way = fake.spawn(quick().probe_timeout(silence)).await.unwrap();
    assert!(way.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "modern");
    let methods = fake.methods();
    assert!(!methods.contains(&"initialize".to_owned()), "{methods:?}");
    assert_eq!(
        methods.iter().filter(|method| *method == "started").count(),
        1,
        "{methods:?}"
    );
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_that_does_not_read_its_input_is_given_up_and_the_error_says_so() {
    let fake = Fake::new("sleep 30", "");
    let options = quick()
        .probe_timeout(Duration::from_millis(20))
        .handshake_timeout(Duration::from_millis(700));
    let error = fake.spawn(options).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has not read its standard input"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_turns_out_to_be_modern_after_initialize_is_started_anew() {
    // It answers the ping before the probe, and the probe so late that it was given up.
    let late = r#"*'"method":"server/discover"'*) if [ "$seen" ]; then pinned=modern; modern; else
    asked=$id; for i in 1 2; do read -r line; id=${line#*'"id":'}; id=${id%%[,\}]*}; printf '%s\n' "$line" >>"$log"
    case $line in *ping*) fail -32601 'Method not found' ;; *initialize*) pinned=legacy; id=$asked; modern ;; esac; done; fi ;;"#;
    let start = r#"[ "$(grep -c started "$log")" -gt 1 ] && seen=1"#;
    let fake = Fake::new(start, &format!("{late}\n{PINNED}"));
    let file = fake.path("eras.json");
    let options = quick()
        .probe_timeout(Duration::from_millis(100))
        .memory(EraCache::file(&file));
    let way = fake.spawn(options).await.unwrap();
    assert!(way.decision().unwrap().version.is_modern());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "modern");
    let wanted = ["started", "server/discover", "ping", "initialize"];
    let methods = fake.methods();
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
    way.shutdown().await;
}

#[tokio::test]
async fn a_process_that_was_sent_initialize_is_never_spoken_to_in_the_modern_way() {
    // The refusal of `initialize` alone says what the server is; and where it says nothing, the
    // late answer does.
    for refusal in [
        "fail -32022 'Unsupported protocol version'",
        "fail -32601 'Method not found'",
        ":",
    ] {
        let initialize =
            format!(r#"*'"method":"initialize"'*) {refusal}; id=$probe; sleep 0.3; modern ;;"#);
        let discover = r#"*'"method":"server/discover"'*) probe=$id; [ "$seen" ] && modern ;;"#;
        let start = r#"[ "$(grep -c started "$log")" -gt 1 ] && seen=1"#;
        let fake = Fake::new(start, &format!("{discover}\n{initialize}"));
        let way = fake
            .spawn(quick().probe_timeout(Duration::from_millis(100)))
            .await
            .unwrap();
        assert!(way.decision().unwrap().version.is_modern(), "{refusal}");
        assert_eq!(
            testkit::answer(&way, tool("a")).await.text(),
            "done",
            "{refusal}"
        );
        let methods = fake.methods();
        let last = methods
            .iter()
            .rposition(|method| method == "started")
            .unwrap();
        assert!(
            !methods[last..].contains(&"initialize".to_owned()),
            "{refusal}: {methods:?}"
        );
        way.shutdown().await;
    }
}

#[tokio::test]
async fn a_start_outlives_the_call_that_caused_it() {
    let fake = Fake::new("sleep 1", "");
    let way = Stdio::new(fake.command(), quick());
    assert!(
        fake.lines().is_empty(),
        "nothing is started before the first call"
    );
    for _ in 0..5 {
        let patience = Duration::from_millis(100);
        assert!(
            tokio::time::timeout(patience, way.clone().call(tool("early")))
                .await
                .is_err()
        );
    }
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    let methods = fake.methods();
    assert_eq!(
        methods.iter().filter(|method| *method == "started").count(),
        1,
        "{methods:?}"
    );
    assert!(!methods.contains(&"ended".to_owned()), "{methods:?}");
    way.shutdown().await;
}

#[tokio::test]
async fn a_modern_server_with_small_faults_is_modern() {
    let results = [
        r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}"#,
        r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"serverInfo":{"name":"x","version":"1"}}"#,
        r#"{"resultType":"complete","supportedVersions":["2099-01-01","2026-07-28","2025-11-25"],"capabilities":{},"ttlMs":0,"cacheScope":"public"}"#,
    ];
    for result in results {
        let fake = Fake::new(
            "",
            &format!(r#"*'"method":"server/discover"'*) reply '{result}' ;;"#),
        );
        let way = fake.start().await;
        assert!(way.decision().unwrap().version.is_modern(), "{result}");
        assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
        assert!(
            !fake.methods().contains(&"initialize".to_owned()),
            "{result}"
        );
        way.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_without_discovery_that_refuses_the_handshake_as_a_modern_one_is_modern() {
    let cases = "*'\"method\":\"server/discover\"'*) fail -32601 no ;;\n*'\"method\":\"initialize\"'*) fail -32022 no ;;";
    let fake = Fake::new("", cases);
    let way = fake.start().await;
    assert!(way.decision().unwrap().version.is_modern());
    way.shutdown().await;
}

// spec: stdio-19, versioning-02
#[tokio::test]
async fn a_modern_error_to_the_probe_is_no_reason_to_fall_back() {
    let refuse = |supported: &str| {
        let data = format!(r#""data":{{"supported":["{supported}"],"requested":"2026-07-28"}}"#);
        let error = format!(r#"{{"code":-32022,"message":"Unsupported protocol version",{data}}}"#);
        format!(
            r#"*'"method":"server/discover"'*) printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}' ;;"#
        )
    };
    let fake = Fake::new("", &refuse("2026-07-28"));
    let way = fake.start().await;
    assert!(way.decision().unwrap().version.is_modern());
    way.shutdown().await;

    let fake = Fake::new("", &refuse("2099-01-01"));
    let error = fake.spawn(quick()).await.unwrap_err();
    assert!(error.to_string().contains("2099-01-01"), "{error}");
    assert!(
        !fake.methods().contains(&"initialize".to_owned()),
        "{:?}",
        fake.methods()
    );

    let fake = Fake::new(
        "",
        r#"*'"method":"server/discover"'*) fail -32021 'Missing capability' ;;"#,
    );
    let way = fake.start().await;
    assert!(way.decision().unwrap().version.is_modern());
    assert!(!fake.methods().contains(&"initialize".to_owned()));
    way.shutdown().await;
}

#[tokio::test]
async fn lines_that_are_no_messages_are_passed_over() {
    let noise = r#"say 'Starting up...'; say ''; say '{"level":"info"}'; say '[1,2'; say '"x"'"#;
    let fake = Fake::new(
        noise,
        r#"*'"method":"tools/call"'*) say 'calling'; reply '{"content":[]}' ;;"#,
    );
    let way = fake.start().await;
    assert_eq!(
        way.decision().unwrap().version,
        ProtocolVersion::V2025_11_25
    );
    assert_eq!(
        testkit::answer(&way, tool("a")).await.result()["content"],
        json!([])
    );
    way.shutdown().await;
}

#[tokio::test]
async fn an_era_that_is_given_is_not_looked_for() {
    let fake = Fake::plain();
    let way = fake.spawn(quick().era(Era::Legacy)).await.unwrap();
    assert_eq!(fake.methods()[..2], ["started", "initialize"]);
    way.shutdown().await;

    let fake = Fake::new("", r#"*'"method":"server/discover"'*) modern ;;"#);
    let way = fake.spawn(quick().era(Era::Modern)).await.unwrap();
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    assert_eq!(fake.methods(), ["started", "tools/call"]);
    way.shutdown().await;
}

// spec: versioning-10, versioning-11
#[tokio::test]
async fn what_was_found_out_is_remembered_for_later_runs() {
    let silent = Fake::new("", r#"*'"method":"server/discover"'*) ;;"#);
    let file = silent.path("deep/eras.json");
    silent
        .spawn(quick().memory(EraCache::file(&file)))
        .await
        .unwrap()
        .shutdown()
        .await;
    let before = silent.methods().len();
    // Another process would begin with a memory of its own.
    let way = silent
        .spawn(
            quick()
                .probe_timeout(Duration::from_secs(60))
                .memory(EraCache::file(&file)),
        )
        .await
        .unwrap();
    assert_eq!(
        silent.methods()[before..before + 2],
        ["started", "initialize"]
    );
    assert!(
        way.decision().unwrap().why.contains("remembered"),
        "{}",
        way.decision().unwrap()
    );
    way.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("2025-11-25") && !text.contains("read -r"),
        "commands hold secrets: {text}"
    );
}

// spec: versioning-11
#[tokio::test]
async fn a_memory_that_proves_wrong_is_probed_again() {
    let update = r#"[ -e "$log.modern" ] && new=1"#;
    let discover =
        r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
    let initialize = r#"*'"method":"initialize"'*) if [ "$new" ]; then fail -32022 no; else hello 2025-11-25; fi ;;"#;
    let fake = Fake::new(update, &format!("{discover}\n{initialize}"));
    let file = fake.path("eras.json");
    fake.spawn(quick().memory(EraCache::file(&file)))
        .await
        .unwrap()
        .shutdown()
        .await;
    std::fs::write(fake.path("log.modern"), "").unwrap();
    for _ in 0..2 {
        let way = fake
            .spawn(quick().memory(EraCache::file(&file)))
            .await
            .unwrap();
        assert!(way.decision().unwrap().version.is_modern());
        assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
        way.shutdown().await;
    }
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("2026-07-28")
    );
}

// spec: versioning-11
#[tokio::test]
async fn a_server_that_does_not_answer_initialize_any_more_as_it_did_is_probed_again() {
    for change in ["fail -32601 'Method not found'", "exit 1"] {
        let discover = r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
        let initialize = format!(
            r#"*'"method":"initialize"'*) if [ "$new" ]; then {change}; else hello 2025-11-25; fi ;;"#
        );
        let fake = Fake::new(
            r#"[ -e "$log.modern" ] && new=1"#,
            &format!("{discover}\n{initialize}"),
        );
        let file = fake.path("eras.json");
        fake.spawn(quick().memory(EraCache::file(&file)))
            .await
            .unwrap()
            .shutdown()
            .await;
        std::fs::write(fake.path("log.modern"), "").unwrap();
        let way = fake
            .spawn(quick().memory(EraCache::file(&file)))
            .await
            .unwrap();
        assert!(way.decision().unwrap().version.is_modern(), "{change}");
        assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
        way.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_is_replaced_while_it_is_called_is_found_out_anew() {
    let discover =
        r#"*'"method":"server/discover"'*) if [ "$new" ]; then modern; else fail -32601 no; fi ;;"#;
    let initialize = r#"*'"method":"initialize"'*) if [ "$new" ]; then fail -32022 no; else hello 2025-11-25; fi ;;"#;
    let update = r#"*'"name":"update"'*) : >"$log.modern"; exit 0 ;;"#;
    let fake = Fake::new(
        r#"[ -e "$log.modern" ] && new=1"#,
        &format!("{discover}\n{initialize}\n{update}"),
    );
    let way = fake.start().await;
    assert!(call(&way, tool("update")).await.is_err());
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    assert!(way.decision().unwrap().version.is_modern());
    assert_eq!(
        fake.methods()
            .iter()
            .filter(|method| *method == "tools/call")
            .count(),
        2
    );
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_that_exits_again_and_again_is_not_started_in_a_loop() {
    let fake = Fake::new("", r#"*'"method":"tools/call"'*) exit 1 ;;"#);
    let way = fake.start().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert!(call(&way, tool("crash")).await.is_err());
    }
    let starts = fake
        .methods()
        .iter()
        .filter(|method| *method == "started")
        .count();
    assert!((3..12).contains(&starts), "{starts} starts in a second");
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_may_ping_before_hands_are_shaken() {
    let ping = r#"*'"method":"initialize"'*) asked=$id; say '{"jsonrpc":"2.0","id":"p","method":"ping"}' ;;"#;
    let fake = Fake::new(
        "",
        &format!("{ping}\n*'\"id\":\"p\",\"result\":{{}}'*) id=$asked; hello 2025-11-25 ;;"),
    );
    let way = fake.start().await;
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    way.shutdown().await;
}

// 2025-11-25 `basic/lifecycle#error-handling`
#[tokio::test]
async fn a_server_that_names_older_revisions_is_asked_for_one_of_them() {
    let error = r#"{"code":-32602,"message":"Unsupported protocol version","data":{"supported":["2024-11-05"],"requested":"2025-11-25"}}"#;
    let refuse = format!(
        r#"*'"protocolVersion":"2025-11-25"'*) printf '{{"jsonrpc":"2.0","id":%s,"error":%s}}\n' "$id" '{error}' ;;"#
    );
    let fake = Fake::new(
        "",
        &format!("{refuse}\n*'\"protocolVersion\":\"2024-11-05\"'*) hello 2024-11-05 ;;"),
    );
    let way = fake.start().await;
    assert_eq!(
        way.decision().unwrap().version,
        ProtocolVersion::V2024_11_05
    );
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    way.shutdown().await;
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_is_begun_anew() {
    let fake = Fake::plain();
    let file = fake.path("eras.json");
    std::fs::write(&file, "{half of a fi").unwrap();
    let way = fake
        .spawn(quick().memory(EraCache::file(&file)))
        .await
        .unwrap();
    assert_eq!(testkit::answer(&way, tool("a")).await.text(), "done");
    way.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap()
            .is_object(),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_exited_is_started_again_by_the_next_call_and_nothing_is_sent_twice() {
    let fake = Fake::new("", r#"*'"name":"crash"'*) exit 1 ;;"#);
    let way = fake.start().await;
    let error = call(&way, tool("crash")).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error}");
    assert_eq!(testkit::answer(&way, tool("fine")).await.text(), "done");
    let methods = fake.methods();
    // What it is was found out once.
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
    way.shutdown().await;
}

#[tokio::test]
async fn a_server_that_wants_another_revision_gets_it_or_a_clear_no() {
    let other = |version: &str| {
        Fake::new(
            "",
            &format!(r#"*'"method":"initialize"'*) hello {version} ;;"#),
        )
    };
    for (version, name) in [
        (ProtocolVersion::V2024_11_05, "2024-11-05"),
        (ProtocolVersion::V2025_06_18, "2025-06-18"),
    ] {
        let fake = other(name);
        let way = fake.start().await;
        assert_eq!(
            fake.messages()[1]["params"]["protocolVersion"],
            "2025-11-25"
        );
        assert_eq!(way.decision().unwrap().version, version);
        way.shutdown().await;
    }
    let error = other("1999-01-01").spawn(quick()).await.unwrap_err();
    assert!(error.to_string().contains("1999-01-01"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let fake = Fake::new("", "*) ;;");
    let start = Instant::now();
    let options = quick()
        .probe_timeout(Duration::from_millis(50))
        .handshake_timeout(Duration::from_millis(1500));
    let error = fake.spawn(options).await.unwrap_err();
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
        fake.methods()[..4],
        ["started", "server/discover", "ping", "initialize"]
    );
}

#[tokio::test]
async fn the_process_ends_with_the_way_to_it() {
    let fake = Fake::new("", "");
    let way = fake.start().await;
    let status = way.shutdown().await.unwrap();
    assert!(
        status.success(),
        "standard input was closed, so it exits by itself: {status}"
    );
    assert!(call(&way, tool("late")).await.is_err());
    assert!(!fake.methods().contains(&"tools/call".to_owned()));

    // A stream that somebody still holds does not keep it.
    let fake = Fake::new("", "");
    let way = fake.start().await;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut changes = testkit::stream(&way, testkit::call("subscriptions/listen", filter)).await;
    testkit::next_notification(&mut changes).await;
    drop(way);
    let ended = async {
        while !fake.methods().contains(&"ended".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(testkit::PATIENCE, ended)
        .await
        .expect("the process ends with the last clone");
}

#[tokio::test]
async fn errors_about_a_start_name_the_program_and_none_of_its_arguments() {
    let exits = ServerCommand::new("/bin/sh").args(["-c", "exit 3", "--token=s3cret"]);
    let missing = ServerCommand::new("/no/such/program").args(["--token=s3cret"]);
    for (command, says) in [
        (exits, "\"/bin/sh\" exited before the handshake: "),
        (missing, "\"/no/such/program\""),
    ] {
        for era in [Era::Auto, Era::Legacy] {
            let failed = Stdio::spawn(command.clone(), quick().era(era))
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
async fn a_refused_handshake_is_the_refusal_of_the_server() {
    let fake = Fake::new(
        "",
        "*'\"method\":\"initialize\"'*) fail -32603 'no license' ;;",
    );
    let refused = fake.spawn(quick().era(Era::Legacy)).await.unwrap_err();
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
