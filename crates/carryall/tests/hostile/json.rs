//! JSON that is too deep, or not quite JSON.

use crate::support::{Server, meta, post, tool_call};
use carryall::Server as Builder;
use carryall::server::Tool;
use carryall::types::{JsonObject, JsonValue};
use serde_json::{Map, Value, json};
use std::io::Write as _;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;

fn nested(levels: usize) -> String {
    r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels)
}

/// The error code for a body.
fn code(server: &Server, body: &[u8]) -> i64 {
    let (status, answer) = server.send("anything", body);
    assert_eq!(
        status,
        400,
        "{answer} for {}",
        String::from_utf8_lossy(&body[..body.len().min(300)])
    );
    assert!(
        !answer["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .is_empty(),
        "{answer}"
    );
    answer["error"]["code"].as_i64().expect("a code")
}

#[test]
fn nesting_too_deep_is_refused_wherever_it_stands() {
    let server = Server::start();
    server.withstands(32, || {
        let call = tool_call(1, "anything", &json!({"x": "HERE"}));
        assert_eq!(code(&server, "[".repeat(100_000).as_bytes()), PARSE_ERROR);
        assert_eq!(code(&server, nested(100_000).as_bytes()), PARSE_ERROR);
        for deep in [
            nested(10_000),
            "[".repeat(10_000) + &"]".repeat(10_000),
            nested(100_000),
            "[".repeat(100_000),
        ] {
            assert_eq!(
                code(&server, call.replace("\"HERE\"", &deep).as_bytes()),
                PARSE_ERROR
            );
        }
        let as_arguments = call.replace(r#"{"x":"HERE"}"#, &nested(10_000));
        assert_eq!(code(&server, as_arguments.as_bytes()), PARSE_ERROR);
        for place in ["\"_meta\":{", "\"params\":{", "{"] {
            let body = call.replacen(place, &format!("{place}\"deep\":{},", nested(10_000)), 1);
            assert_eq!(code(&server, body.as_bytes()), PARSE_ERROR);
        }
        // What is allowed is answered.
        let (status, answer) = server.send(
            "anything",
            call.replace("\"HERE\"", &nested(100)).as_bytes(),
        );
        assert_eq!(status, 200, "{answer}");
    });
}

#[test]
fn text_that_is_not_json_has_the_code_for_it() {
    let server = Server::start();
    let call = tool_call(1, "anything", &json!({"x": "HERE"}));
    let with = |value: &[u8]| {
        let at = call.find("\"HERE\"").expect("it is there");
        [&call.as_bytes()[..at], value, &call.as_bytes()[at + 6..]].concat()
    };
    let not_json: [&[u8]; 16] = [
        b"\"\\ud800\"",
        b"\"\\udc00\"",
        b"\"\\ud800\\ud800\"",
        b"\"\\ud800x\"",
        b"\"\xff\xfe\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\0\"",
        b"\0",
        b"01",
        b"1e",
        b"- 1",
        b"NaN",
        b"Infinity",
        b"0x10",
        b"\"\\x41\"",
    ];
    for value in not_json {
        assert_eq!(
            code(&server, &with(value)),
            PARSE_ERROR,
            "{}",
            String::from_utf8_lossy(value)
        );
    }
    for body in [
        &b""[..],
        b"\0",
        b"\xff",
        b"{",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"'a'",
        b"{\"a\":1,}",
    ] {
        assert_eq!(code(&server, body), PARSE_ERROR, "{body:?}");
    }
    // NUL as an escape is a character like others.
    assert_eq!(server.send("anything", &with(b"\"\\u0000\"")).0, 200);
    server.answers();
}

#[test]
fn numbers_of_any_size_are_no_more_than_numbers() {
    let server = Server::start();
    let long = "9".repeat(100_000);
    for number in [
        "1e400",
        "-1e400",
        "1e999999999999",
        "1e-999999999999",
        "0.11e1",
        &long,
        &format!("0.{long}"),
    ] {
        let body = tool_call(1, "next", &json!({"number": "HERE"})).replace("\"HERE\"", number);
        let (status, answer) = server.send("next", body.as_bytes());
        assert!(
            status == 200 && answer["result"]["isError"] == true || status == 400,
            "{status} {answer}"
        );
        let id = tool_call("HERE", "anything", &json!({})).replace("\"HERE\"", number);
        assert_eq!(code(&server, id.as_bytes()), INVALID_REQUEST);
    }
    // An integer, in a notation that ids do not have.
    let (_, answer) = server.send(
        "next",
        tool_call(1, "next", &json!({"number": "HERE"}))
            .replace("\"HERE\"", "0.1e1")
            .as_bytes(),
    );
    assert_eq!(answer["result"]["content"][0]["text"], "2");
    for number in [i64::MAX, i64::MIN, 0, -1] {
        assert_eq!(
            server.call("next", json!({"number": number})),
            number.wrapping_add(1).to_string()
        );
        let (_, answer) = server.send(
            "anything",
            tool_call(number, "anything", &json!({})).as_bytes(),
        );
        assert_eq!(answer["id"], number);
    }
    server.answers();
}

#[test]
fn a_name_given_twice_is_refused_where_two_readers_could_differ() {
    let server = Server::start();
    let call = tool_call(1, "anything", &json!({"x": 1}));
    for (from, to, expected) in [
        (r#""id":1"#, r#""id":1,"id":2"#, INVALID_REQUEST),
        (r#""id":1"#, r#""id":1,"\u0069d":2"#, INVALID_REQUEST),
        (
            r#""method":"#,
            r#""method":"tools/list","method":"#,
            INVALID_REQUEST,
        ),
        (
            r#""params":{"#,
            r#""params":{},"params":{"#,
            INVALID_REQUEST,
        ),
        (
            r#""name":"anything""#,
            r#""name":"echo","name":"anything""#,
            INVALID_PARAMS,
        ),
        (
            r#""name":"anything""#,
            r#""name":"anything","n\u0061me":"echo""#,
            INVALID_PARAMS,
        ),
        (
            r#""arguments":"#,
            r#""arguments":{},"arguments":"#,
            INVALID_PARAMS,
        ),
    ] {
        let body = call.replacen(from, to, 1);
        assert_ne!(body, call, "{from}");
        assert_eq!(code(&server, body.as_bytes()), expected, "{to}");
    }
    let meta = meta().to_string();
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let twice = meta.replacen(
        version,
        &format!(r#""io.modelcontextprotocol/protocolVersion":"2025-06-18",{version}"#),
        1,
    );
    assert_eq!(
        code(&server, call.replacen(&meta, &twice, 1).as_bytes()),
        INVALID_PARAMS
    );
    server.answers();
}

#[test]
fn a_connection_lives_on_after_messages_that_were_refused() {
    let server = Server::start();
    let mut stream = server.connect();
    for body in [
        "[",
        "[]",
        "{}",
        "null",
        "\"\\ud800\"",
        "{\"jsonrpc\":\"2.0\"}",
    ] {
        stream
            .write_all(format!("{}{body}", crate::support::head("echo", body.len())).as_bytes())
            .unwrap();
        assert_eq!(
            crate::support::answer(&mut stream).expect("an answer").0,
            400
        );
    }
    stream
        .write_all(post("echo", &json!({"text": "still"})).as_bytes())
        .unwrap();
    let (status, body) = crate::support::answer(&mut stream).expect("an answer");
    assert_eq!(
        (status, crate::support::text_of(&body).as_str()),
        (200, "still")
    );
}

/// `keyword` in itself, so many levels deep. Not with `json!`, which copies what it is given, by
/// recursion.
fn deep_schema(levels: usize, keyword: &str) -> JsonObject {
    let object = |key: &str, value: Value| Value::Object(Map::from_iter([(key.to_owned(), value)]));
    let inner = (0..levels).fold(Value::Bool(true), |inner, _| match keyword {
        "properties" => object("properties", object("a", inner)),
        "allOf" => object("allOf", Value::Array(vec![inner])),
        other => object(other, inner),
    });
    let mut schema = JsonObject::from_iter([("type".to_owned(), JsonValue::from("object"))]);
    schema.insert("not".to_owned(), inner);
    schema
}

// spec: json-schema-13
#[test]
fn a_tool_whose_schema_is_10_000_deep_is_refused_with_the_reason() {
    let tool = |schema| Tool::dynamic("deep", schema, async |_: JsonObject| "never");
    let refused = |tool: Tool| {
        Builder::new("s", "1")
            .tool(tool)
            .build()
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    for keyword in ["not", "properties", "allOf", "x-anything"] {
        let why = refused(tool(deep_schema(10_000, keyword)));
        assert!(
            why.contains("\"deep\"") && why.contains("deeper than 64"),
            "{why}"
        );
        let shallow = || tool(deep_schema(1, "not"));
        let why = refused(shallow().output_schema(deep_schema(10_000, keyword)));
        assert!(
            why.contains("output schema") && why.contains("deeper than 64"),
            "{why}"
        );
        let why = refused(shallow().input_schema(deep_schema(10_000, keyword)));
        assert!(
            why.contains("input schema") && why.contains("deeper than 64"),
            "{why}"
        );
    }
    // A running server refuses it as well, and goes on.
    let server = Builder::new("s", "1").build().unwrap();
    let deep = tool(deep_schema(10_000, "not"));
    let why = server
        .change(|catalogue| _ = catalogue.tool(deep))
        .unwrap_err()
        .to_string();
    assert!(why.contains("deeper than 64"), "{why}");
}
