//! Request validation: what is accepted, what is rejected, and with which error.

use bytes::Bytes;
use carryall_proto::decode::{
    ClientMessage, ServerMessage, decode_frame, decode_http, decode_server_message,
};
use carryall_proto::validate::Rejection;
use carryall_proto::{Call, MetaCache, Outcome};
use carryall_types::{
    ErrorObject, LoggingLevel, Method, ProgressToken, ProtocolVersion, RequestId,
};
use http::HeaderMap;
use serde_json::{Value, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn meta() -> Value {
    json!({VERSION: "2026-07-28", CAPABILITIES: {}})
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn post(pairs: &[(&'static str, &str)], body: &Value) -> Result<ClientMessage, Rejection> {
    decode_http(headers(pairs), Bytes::from(body.to_string()))
}

fn frame(body: &Value) -> Result<ClientMessage, Rejection> {
    decode_frame(Bytes::from(body.to_string()))
}

fn call(decode: Result<ClientMessage, Rejection>) -> Call {
    match decode.unwrap() {
        ClientMessage::Call(call) => call,
        ClientMessage::Notification(other) => panic!("a notification: {other:?}"),
    }
}

fn code(decode: Result<ClientMessage, Rejection>) -> (u16, i64) {
    let rejection = decode.unwrap_err();
    (rejection.status.as_u16(), rejection.error.code)
}

// spec: base-jsonrpc-02, transport-general-01
#[test]
fn text_that_is_not_json_is_a_parse_error_without_an_id() {
    for text in [
        &b"{"[..],
        b"",
        b"nonsense",
        b"{\"a\":1}x",
        b"\"\xff\"",
        b"{\"id\":1,}",
        b"\xef\xbb\xbf{}",
    ] {
        let rejection = decode_frame(Bytes::copy_from_slice(text)).unwrap_err();
        assert_eq!(
            (
                rejection.status.as_u16(),
                rejection.error.code,
                rejection.id
            ),
            (400, -32700, None),
            "{text:?}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(code(decode_frame(deep.into())), (400, -32700));
}

// spec: base-jsonrpc-02, http-send-04
#[test]
fn batches_and_other_values_are_invalid_requests() {
    for body in [
        json!([]),
        json!([request("server/discover", json!({"_meta": meta()}))]),
        json!(1),
        json!(null),
    ] {
        assert_eq!(code(frame(&body)), (400, -32600), "{body}");
    }
}

// spec: base-jsonrpc-03, base-jsonrpc-04, base-jsonrpc-14
#[test]
fn an_id_is_a_string_or_an_integer() {
    for id in [
        json!(null),
        json!(1.5),
        json!(true),
        json!({}),
        json!([1]),
        json!(u64::MAX),
    ] {
        let mut body = request("tools/list", json!({"_meta": meta()}));
        body["id"] = id.clone();
        let rejection = frame(&body).unwrap_err();
        assert_eq!((rejection.error.code, rejection.id), (-32600, None), "{id}");
    }
    for (id, read) in [
        (json!(0), RequestId::from(0)),
        (json!(-7), RequestId::from(-7)),
        (json!("a\"b"), RequestId::from("a\"b")),
    ] {
        let mut body = request("tools/list", json!({"_meta": meta()}));
        body["id"] = id;
        assert_eq!(*call(frame(&body)).id(), read);
    }
}

// spec: base-jsonrpc-02, base-jsonrpc-14, http-send-05, stdio-07, transport-general-02
#[test]
fn malformed_envelopes_are_refused_under_the_id_they_bring() {
    let good = request("tools/list", json!({"_meta": meta()}));
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let bad = [
        without("jsonrpc"),
        with("jsonrpc", json!("1.0")),
        without("method"),
        with("method", json!(1)),
        with("params", json!([1])),
        with("params", json!(null)),
        with("result", json!({})),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}}),
    ];
    for body in bad {
        let rejection = frame(&body).unwrap_err();
        assert_eq!(
            (rejection.error.code, rejection.id),
            (-32600, Some(RequestId::from(1))),
            "{body}"
        );
    }
    let twice =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{}}"#;
    assert_eq!(code(decode_frame(twice.into())), (400, -32600));
    let twice =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#;
    assert_eq!(code(decode_frame(twice.into())), (400, -32602));
}

// spec: base-jsonrpc-28
#[test]
fn a_message_without_an_id_is_a_notification() {
    let body =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}});
    match frame(&body).unwrap() {
        ClientMessage::Notification(notification) => {
            assert_eq!(notification.method, "notifications/cancelled")
        }
        ClientMessage::Call(call) => panic!("a call: {call:?}"),
    }
}

// spec: meta-08, meta-09, meta-10, meta-11, statelessness-01
#[test]
fn a_request_without_the_required_meta_is_malformed() {
    let pairs = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/list"),
    ];
    let bad = [
        json!({}),
        json!({"_meta": {}}),
        json!({"_meta": {VERSION: "2026-07-28"}}),
        json!({"_meta": {CAPABILITIES: {}}}),
        json!({"_meta": {VERSION: 20260728, CAPABILITIES: {}}}),
        json!({"_meta": {VERSION: "2026-07-28", CAPABILITIES: []}}),
        json!({"_meta": []}),
        json!({"_meta": null}),
    ];
    for params in bad {
        assert_eq!(
            code(frame(&request("tools/list", params.clone()))),
            (400, -32602),
            "{params}"
        );
        assert_eq!(
            code(post(&pairs, &request("tools/list", params.clone()))),
            (400, -32602),
            "{params}"
        );
    }
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(code(frame(&bare)), (400, -32602));
}

// spec: meta-13, meta-01, progress-02, logging-06
#[test]
fn meta_is_read_into_types() {
    let read = call(frame(&request("tools/list", json!({"_meta": meta()}))))
        .meta()
        .clone();
    assert_eq!(
        (
            read.version(),
            read.client_info(),
            read.log_level(),
            read.progress_token()
        ),
        (ProtocolVersion::V2026_07_28, None, None, None)
    );
    let mut full = meta();
    full["progressToken"] = json!("t");
    full["io.modelcontextprotocol/logLevel"] = json!("warning");
    full["com.example/other"] = json!({"kept": [1]});
    let read = call(frame(&request("tools/list", json!({"_meta": full}))))
        .meta()
        .clone();
    assert_eq!(read.progress_token(), Some(&ProgressToken::from("t")));
    assert_eq!(read.log_level(), Some(LoggingLevel::Warning));
    assert_eq!(read.get("com.example/other"), Some(json!({"kept": [1]})));
    for (name, value) in [
        ("progressToken", json!(1.5)),
        ("progressToken", json!({})),
        ("io.modelcontextprotocol/logLevel", json!("loud")),
    ] {
        let mut bad = meta();
        bad[name] = value;
        assert_eq!(
            code(frame(&request("tools/list", json!({"_meta": bad})))),
            (400, -32602),
            "{name}"
        );
    }
}

// spec: versioning-01, http-headers-04
#[test]
fn an_unknown_or_old_version_is_refused_with_the_supported_ones() {
    for version in ["1900-01-01", "2025-11-25", "", "2026-07-28 "] {
        let body = request(
            "tools/list",
            json!({"_meta": {VERSION: version, CAPABILITIES: {}}}),
        );
        let rejection = frame(&body).unwrap_err();
        assert_eq!(
            (rejection.status.as_u16(), rejection.error.code),
            (400, -32022)
        );
        let data: Value = rejection.error.data.unwrap().decode().unwrap();
        assert_eq!(
            data,
            json!({"supported": ["2026-07-28"], "requested": version})
        );
    }
    let body = request(
        "tools/list",
        json!({"_meta": {VERSION: "1900-01-01", CAPABILITIES: {}}}),
    );
    let pairs = [
        ("mcp-protocol-version", "1900-01-01"),
        ("mcp-method", "tools/list"),
    ];
    assert_eq!(code(post(&pairs, &body)), (400, -32022));
}

// spec: versioning-12
#[test]
fn initialize_is_told_which_versions_there_are() {
    let body = request(
        "initialize",
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}),
    );
    for rejection in [frame(&body), post(&[], &body)].map(Result::unwrap_err) {
        assert!(
            rejection.error.message.contains("2026-07-28"),
            "{}",
            rejection.error.message
        );
        let data: Value = rejection.error.data.unwrap().decode().unwrap();
        assert_eq!(
            (&data["requested"], &data["supported"][0]),
            (&json!("2025-11-25"), &json!("2026-07-28"))
        );
    }
}

// spec: versioning-12
#[test]
fn a_modern_request_for_initialize_is_an_unknown_method_and_still_told_the_versions() {
    let body = request("initialize", json!({"_meta": meta()}));
    let pairs = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "initialize"),
    ];
    for rejection in [frame(&body), post(&pairs, &body)].map(Result::unwrap_err) {
        assert_eq!(
            (rejection.status.as_u16(), rejection.error.code),
            (404, -32601)
        );
        assert_eq!(rejection.id, Some(RequestId::from(1)));
        let data: Value = rejection.error.data.unwrap().decode().unwrap();
        assert_eq!(data["supported"][0], "2026-07-28");
    }
}

// spec: http-headers-03, http-headers-07, http-headers-36, http-headers-41, http-headers-43
// spec: http-headers-edge-09
#[test]
fn mirrored_headers_have_to_be_there_and_agree() {
    let body = request("tools/call", json!({"name": "echo", "_meta": meta()}));
    let good = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    assert_eq!(*call(post(&good, &body)).method(), Method::ToolsCall);
    for missing in 0..good.len() {
        let mut pairs = good.to_vec();
        pairs.remove(missing);
        assert_eq!(code(post(&pairs, &body)), (400, -32020), "{pairs:?}");
    }
    for (at, value) in [
        (0, "2025-11-25"),
        (1, "tools/list"),
        (1, "Tools/Call"),
        (2, "other"),
        (2, "Echo"),
        (2, "=?base64?!!?="),
    ] {
        let mut pairs = good.to_vec();
        pairs[at].1 = value;
        assert_eq!(code(post(&pairs, &body)), (400, -32020), "{pairs:?}");
    }
    for twice in good {
        let mut pairs = good.to_vec();
        pairs.push(twice);
        assert_eq!(code(post(&pairs, &body)), (400, -32020), "{pairs:?}");
    }
}

// spec: http-headers-29, http-headers-35, http-headers-edge-06, http-headers-edge-08
#[test]
fn names_are_decoded_before_they_are_compared() {
    let body = request("resources/read", json!({"uri": "x://é", "_meta": meta()}));
    let with = |name: &str| {
        let pairs = [
            ("mcp-protocol-version", " 2026-07-28 "),
            ("mcp-method", "resources/read"),
            ("mcp-name", name),
        ];
        let mut headers = HeaderMap::new();
        for (key, value) in pairs {
            headers.append(
                key,
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        decode_http(headers, Bytes::from(body.to_string()))
    };
    assert_eq!(
        *call(with("=?base64?eDovL8Op?=")).method(),
        Method::ResourcesRead
    );
    assert_eq!(code(with("=?base64?eDovL8OpfQ==?=")), (400, -32020));
    assert_eq!(code(with("=?base64?eDovL8O?=")), (400, -32020));
}

// spec: ext-tasks-37
#[test]
fn a_request_about_a_task_names_it_in_its_header() {
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let body = request(
            method,
            json!({"taskId": "t1", "inputResponses": {}, "_meta": meta()}),
        );
        let with = |name: Option<&'static str>| {
            let mut pairs = vec![
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", method),
            ];
            pairs.extend(name.map(|name| ("mcp-name", name)));
            post(&pairs, &body)
        };
        assert_eq!(call(with(Some("t1"))).name(), Some("t1"));
        assert_eq!(code(with(Some("t2"))), (400, -32020));
        assert_eq!(code(with(None)), (400, -32020));
    }
}

// spec: http-headers-40
#[test]
fn a_name_written_with_escapes_is_still_the_same_name() {
    let pairs = [
        ("MCP-PROTOCOL-VERSION", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"n\u0061me":"\u0065cho","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    assert_eq!(
        call(decode_http(headers(&pairs), body.into())).name(),
        Some("echo")
    );
    let other = body.replace(r"\u0065cho", "evil");
    assert_eq!(
        code(decode_http(headers(&pairs), other.into())),
        (400, -32020)
    );
}

#[test]
fn half_a_surrogate_pair_does_not_cost_the_answer() {
    let text =
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ab\ud83d"}]}}"#;
    let Ok(ServerMessage::Response(response)) =
        decode_server_message(&Bytes::from_static(text.as_bytes()))
    else {
        panic!()
    };
    let Outcome::Result(result) = response.outcome else {
        panic!()
    };
    assert_eq!(
        result.as_str(),
        r#"{"content":[{"type":"text","text":"ab\ufffd"}]}"#
    );
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1.0,"message":"\udc00"}}"#;
    let Ok(ServerMessage::Response(response)) =
        decode_server_message(&Bytes::from_static(error.as_bytes()))
    else {
        panic!()
    };
    assert_eq!(
        response.outcome,
        Outcome::Error(ErrorObject::new(-1, "\u{fffd}"))
    );
    assert!(
        decode_server_message(&Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":1,"result":"\ud83"}"#
        ))
        .is_err()
    );
}

#[test]
fn an_answer_is_read_strictly() {
    let read = |value: Value| decode_server_message(&Bytes::from(value.to_string()));
    match read(json!({"jsonrpc": "2.0", "id": "a", "result": {"x": 1}})).unwrap() {
        ServerMessage::Response(response) => {
            assert_eq!(response.id, RequestId::from("a"));
            assert!(
                matches!(response.outcome, Outcome::Result(raw) if raw.as_str() == r#"{"x":1}"#)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        read(json!({"jsonrpc": "2.0", "method": "notifications/x"})),
        Ok(ServerMessage::Notification(_))
    ));
    assert!(matches!(
        read(json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "m"}})),
        Ok(ServerMessage::ErrorWithoutId(_))
    ));
    for bad in [
        json!({"jsonrpc": "2.0", "id": 1}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "m"}}),
        json!({"jsonrpc": "2.0", "result": {}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"}),
        json!({"id": 1, "result": {}}),
        json!([]),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn an_answer_with_faults_that_leave_no_doubt_is_taken() {
    let read = |value: Value| match decode_server_message(&Bytes::from(value.to_string())).unwrap()
    {
        ServerMessage::Response(response) => response,
        other => panic!("{other:?}"),
    };
    for error in [
        json!({"code": "1", "message": "m"}),
        json!({"code": 1.0, "message": "m"}),
    ] {
        let response = read(json!({"jsonrpc": "2.0", "id": 1, "result": null, "error": error}));
        let Outcome::Error(read) = response.outcome else {
            panic!("{error}")
        };
        assert_eq!((read.code, read.message.as_str()), (1, "m"));
    }
    let response = read(json!({"jsonrpc": "2.0", "id": 1.0, "result": {}, "error": null}));
    assert_eq!(response.id, RequestId::from(1));
    assert!(matches!(response.outcome, Outcome::Result(raw) if raw.as_str() == "{}"));
}

// spec: statelessness-01
#[test]
fn a_cached_meta_has_the_meaning_of_its_text_and_no_other() {
    use carryall_proto::decode::decode_frame_cached;
    let body = |meta: &str| {
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta},"x":1}}}}"#
        ))
    };
    let plain = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#;
    let filled = || {
        let mut cache = MetaCache::new();
        call(decode_frame_cached(body(plain), &mut cache));
        cache
    };
    // The same text, with other text around it.
    for meta in [plain, &format!(" {plain}"), &format!("{plain} ")] {
        let cached = call(decode_frame_cached(body(meta), &mut filled()));
        let read = call(decode_frame(body(meta)));
        assert_eq!(
            format!("{:?}", cached.meta()),
            format!("{:?}", read.meta()),
            "{meta}"
        );
        assert_eq!(cached.params().get_str("x"), Some("1"));
    }
    // Another text, however alike, is read for itself.
    let other = plain.replace("elicitation", "sampling");
    let more = format!(
        r#"{},"io.modelcontextprotocol/logLevel":"info"}}"#,
        plain.strip_suffix('}').unwrap()
    );
    for meta in [other.as_str(), more.as_str()] {
        let read = call(decode_frame_cached(body(meta), &mut filled()));
        assert_eq!(
            format!("{:?}", read.meta()),
            format!("{:?}", call(decode_frame(body(meta))).meta()),
            "{meta}"
        );
    }
    // What follows the cached text still has to be JSON, and keys still have to be there once.
    let broken = Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{plain}x}}}}"#
    ));
    assert_eq!(
        code(decode_frame_cached(broken, &mut filled())),
        (400, -32700)
    );
    let twice = Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{plain},"_meta":{{}}}}}}"#
    ));
    assert_eq!(
        code(decode_frame_cached(twice, &mut filled())),
        (400, -32602)
    );
}
