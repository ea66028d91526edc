//! Properties that hold for arbitrary input. Each function panics if its property is violated.

use bytes::{Bytes, BytesMut};
use carryall_proto::cursor::{Cursor, MAX_CURSOR_BYTES};
use carryall_proto::frame::{LineDecoder, encode_line, one_line};
use carryall_proto::headers::{
    ParamHeaders, StandardHeaders, check_standard, decode_value, encode_value,
};
use carryall_proto::seal::{Keyring, SealingKey};
use carryall_proto::sse::{SseDecoder, encode_event};
use carryall_proto::{decode, trace};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

/// Decoding a frame never panics, and text that is not JSON is rejected.
pub fn message(data: &[u8]) {
    let accepted = decode::decode_frame(Bytes::copy_from_slice(data));
    if serde_json::from_slice::<&serde_json::value::RawValue>(data).is_err() {
        assert!(accepted.is_err(), "text that is not JSON was accepted");
    }
}

/// Arbitrary headers and bodies cause no panic, and a server accepts the headers that a client mirrors.
pub fn headers(data: &[u8]) {
    let (first, second) = halves(data);
    let mut map = HeaderMap::new();
    for (name, raw) in [
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-param-p",
        "mcp-method",
    ]
    .into_iter()
    .zip(data.split(|&byte| byte == b'\n'))
    {
        if let Ok(value) = HeaderValue::from_bytes(raw) {
            map.append(HeaderName::from_static(name), value);
        }
    }
    let text = String::from_utf8_lossy(second);
    if check_standard(&map, Some("2026-07-28"), "tools/call", Some(&text)).is_ok() {
        assert_eq!(
            StandardHeaders::parse(&map)
                .expect("checked")
                .name
                .as_deref(),
            Some(&*text)
        );
    }
    trace_members(&text);
    mirrored(&text);
    if let Ok(Value::Object(schema)) = serde_json::from_slice(first)
        && let Ok(compiled) = ParamHeaders::compile(&schema)
    {
        let arguments: Map<String, Value> = serde_json::from_slice(second).unwrap_or_default();
        let _ = compiled.check(&map, &arguments);
        if let Ok(pairs) = compiled.mirror(&arguments) {
            assert_eq!(
                compiled.check(&pairs.into_iter().collect(), &arguments),
                Ok(())
            );
        }
    }
}

/// Encoding and decoding a header value returns the original text, and decoding an arbitrary header
/// value never panics.
pub fn sentinel(data: &[u8]) {
    if let Ok(text) = decode_value(data) {
        let again = encode_value(&text);
        assert_eq!(decode_value(again.as_bytes()).as_deref(), Ok(&*text));
    }
    let text = String::from_utf8_lossy(data);
    let encoded = encode_value(&text);
    assert!(
        HeaderValue::from_str(&encoded).is_ok(),
        "not a header value: {encoded:?}"
    );
    assert_eq!(decode_value(encoded.as_bytes()).as_deref(), Ok(&*text));
}

/// The result does not depend on how the stream is split, events are bounded, and decoding reverses
/// encoding.
pub fn sse(data: &[u8]) {
    const LIMIT: usize = 256;
    let whole = decode_events(&[data], LIMIT);
    let pieces: Vec<_> = uneven(data).collect();
    assert_eq!(decode_events(&pieces, LIMIT), whole);
    let mut framed = BytesMut::new();
    encode_event(data, &mut framed);
    let mut decoder = SseDecoder::new(framed.len());
    decoder.push(&framed);
    let event = decoder
        .next()
        .expect("one event")
        .expect("within the limit");
    assert_eq!(normalised(&event.data), normalised(data));
    assert!(decoder.next().is_none());
}

/// The result does not depend on how the stream is split, lines are bounded, and an encoded message is
/// one line.
pub fn frame(data: &[u8]) {
    const LIMIT: usize = 64;
    let whole = decode_lines(&[data], LIMIT);
    let pieces: Vec<_> = uneven(data).collect();
    assert_eq!(decode_lines(&pieces, LIMIT), whole);
    for line in whole.iter().flatten() {
        assert!(line.len() <= LIMIT && !line.contains(&b'\n'));
    }
    let mut out = BytesMut::new();
    encode_line(data, &mut out);
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(one_line(Bytes::copy_from_slice(data)), out[..out.len() - 1]);
}

/// Only encoded cursors decode, and a token that was not sealed cannot be opened.
pub fn cursor(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ring = Keyring::new(SealingKey::new(1, [9; 32]));
    if let Ok(cursor) = Cursor::decode("tools/list", &text) {
        assert_eq!(cursor.encode().as_deref(), Ok(&*text));
    }
    assert!(Cursor::open("tools/list", &ring, b"", 0, &text).is_err());
    let cursor = Cursor::new("tools/list", &*text);
    match cursor.encode() {
        Ok(encoded) => {
            assert!(encoded.len() <= MAX_CURSOR_BYTES);
            assert!(Cursor::decode("prompts/list", &encoded).is_err());
            assert_eq!(Cursor::decode("tools/list", &encoded), Ok(cursor));
        }
        Err(_) => assert!(text.len() > MAX_CURSOR_BYTES / 2),
    }
}

fn trace_members(text: &str) {
    let mut meta: Map<String, Value> = trace::KEYS
        .iter()
        .map(|key| ((*key).to_owned(), Value::from(text)))
        .collect();
    trace::remove_invalid(&mut meta);
    assert!(trace::is_valid(&meta));
}

fn mirrored(text: &str) {
    let schema = json!({"properties": {"p": {"type": "string", "x-mcp-header": "P"}}});
    let tool = ParamHeaders::compile(schema.as_object().expect("an object")).expect("valid");
    let arguments = json!({"p": text});
    let arguments = arguments.as_object().expect("an object");
    let headers = tool
        .mirror(arguments)
        .expect("a string")
        .into_iter()
        .collect();
    assert_eq!(tool.check(&headers, arguments), Ok(()));
    let other = json!({"p": format!("{text}x")});
    assert!(
        tool.check(&headers, other.as_object().expect("an object"))
            .is_err()
    );
}

fn decode_events(pieces: &[&[u8]], limit: usize) -> Vec<Option<Bytes>> {
    let mut decoder = SseDecoder::new(limit);
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        decoded.extend(
            decoder
                .by_ref()
                .map(|event| event.ok().map(|event| event.data)),
        );
    }
    decoded
}

fn decode_lines(pieces: &[&[u8]], limit: usize) -> Vec<Option<Bytes>> {
    let mut decoder = LineDecoder::new(limit);
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        decoded.extend(decoder.by_ref().map(Result::ok));
    }
    decoded.extend(decoder.finish().map(Some));
    decoded
}

/// Splits the input into pieces of 1, 2, 3, ... 7, 1, ... bytes.
fn uneven(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    (1..=7).cycle().map_while(move |length: usize| {
        let (piece, rest) = data.split_at(length.min(data.len()));
        data = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let cut = data
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(data.len() / 2);
    (&data[..cut], &data[cut..])
}

/// Replaces every line ending by a line feed, as in the data of a decoded event.
fn normalised(data: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(data.len());
    for (index, &byte) in data.iter().enumerate() {
        match byte {
            b'\r' => lines.push(b'\n'),
            b'\n' if index > 0 && data[index - 1] == b'\r' => {}
            other => lines.push(other),
        }
    }
    lines
}
