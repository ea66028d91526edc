//! The door: bytes to a [`Call`], or the reason why not.
//!
//! One scan over the text finds the envelope's members and those of `params`; everything below
//! stays text until somebody knows its type. What passes here is never validated again further in.

mod lenient;

pub use lenient::read_error;

pub(crate) use lenient::read_loose_id;

use crate::call::{ParamMember, scan_members_with};
use crate::headers::standard;
use crate::json::{Scanner, SyntaxError, ValueKind};
use crate::meta::ScannedMeta;
use crate::{Call, Meta, MetaError, Outcome, Params, Response};
use bytes::Bytes;
use carryall_types::{
    ErrorObject, Method, ProtocolVersion, RawJson, RequestId, code, decode_text,
    replace_lone_surrogates,
};
use http::{HeaderMap, StatusCode};
use std::borrow::Cow;
use std::ops::Range;

/// The versions that this implementation serves.
pub const SUPPORTED_VERSIONS: &[ProtocolVersion] = &[ProtocolVersion::V2026_07_28];

/// The value of `jsonrpc`, and how most messages begin.
const VERSION: &str = "\"2.0\"";
const JSONRPC_MEMBER: &[u8] = b"\"jsonrpc\":\"2.0\"";

/// What a client may send (`basic/transports/index#messages`).
#[derive(Debug)]
pub enum ClientMessage {
    /// A request.
    Call(Call),
    /// A notification. It is never answered.
    Notification(crate::Notification),
}

/// Why a message does not pass the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The id of the request, when it could be read.
    pub id: Option<RequestId>,
    /// What to tell the client.
    pub error: ErrorObject,
    /// The HTTP status on that binding.
    pub status: StatusCode,
}

impl Rejection {
    /// A rejection with status 400.
    #[must_use]
    pub fn bad_request(id: Option<RequestId>, error: ErrorObject) -> Self {
        Self {
            id,
            error,
            status: StatusCode::BAD_REQUEST,
        }
    }

    /// The rejection as one JSON-RPC message.
    #[must_use]
    pub fn encode(&self) -> crate::Encoded {
        crate::encode_error(self.id.as_ref(), &self.error)
    }
}

/// Admits the body of an HTTP POST: envelope, mirrored headers, `_meta`, version.
///
/// # Errors
/// The JSON-RPC error and HTTP status that the specification names for what is wrong.
pub fn decode_http(headers: HeaderMap, body: Bytes) -> Result<ClientMessage, Rejection> {
    decode_http_cached(headers, body, None)
}

/// As [`decode_http`], quicker if the `_meta` of the request is the same text as that of `known`
/// ([`Meta::to_cache_key`]). What comes out is the same in any case.
///
/// # Errors
/// As for [`decode_http`].
pub fn decode_http_cached(
    headers: HeaderMap,
    body: Bytes,
    known: Option<&Meta>,
) -> Result<ClientMessage, Rejection> {
    let mut admitted = accept(&body, Some(&headers), known)?;
    if let ClientMessage::Call(call) = &mut admitted {
        call.headers = Some(headers);
    }
    Ok(admitted)
}

/// Admits one message of a binding without headers: stdio, sockets.
///
/// # Errors
/// The JSON-RPC error that the specification names for what is wrong.
pub fn decode_frame(frame: Bytes) -> Result<ClientMessage, Rejection> {
    accept(&frame, None, None)
}

/// As [`decode_frame`], quicker if the `_meta` of the request is the same text as that of `known`.
///
/// # Errors
/// As for [`decode_frame`].
pub fn decode_frame_cached(frame: Bytes, known: Option<&Meta>) -> Result<ClientMessage, Rejection> {
    accept(&frame, None, known)
}

/// Whether `text` is a message whose `_meta` names a protocol version, known or not: whoever writes
/// that is of this era
/// (`basic/versioning#backward-compatibility-with-initialization-based-versions`).
#[must_use]
pub fn names_protocol_version(text: &Bytes) -> bool {
    let Ok(Envelope {
        params: Some(params),
        ..
    }) = Envelope::read(text, None)
    else {
        return false;
    };
    let params = Params::from_members(part(text, params.range), params.members);
    let meta = params.ok().and_then(|params| params.get("_meta"));
    meta.and_then(|meta| Params::parse(meta).ok())
        .is_some_and(|meta| meta.get(crate::key::PROTOCOL_VERSION).is_some())
}

fn accept(
    text: &Bytes,
    headers: Option<&HeaderMap>,
    known: Option<&Meta>,
) -> Result<ClientMessage, Rejection> {
    let envelope = Envelope::read(text, known)?;
    let raw = |range| part(text, range);
    let Some(id) = envelope.id else {
        let params = envelope.params.map(|params| raw(params.range));
        return Ok(ClientMessage::Notification(crate::Notification {
            method: envelope.method.into_owned().into(),
            params,
        }));
    };
    let method = Method::from(envelope.method.as_ref());
    let refuse = |error| Err(Rejection::bad_request(Some(id.clone()), error));
    let (params, meta) = match envelope.params {
        Some(params) => (
            Params::from_members(raw(params.range), params.members),
            params.meta,
        ),
        None => (Params::parse(RawJson::EMPTY_OBJECT), None),
    };
    let params = match params {
        Ok(params) => params,
        Err(error) => {
            return refuse(ErrorObject::invalid_params(format!(
                "Invalid params: {error}"
            )));
        }
    };
    let meta = match meta {
        Some((meta, range)) => meta.read(raw(range)),
        // Something else than an object, or its name is written with escapes.
        None => params
            .get("_meta")
            .ok_or(MetaError::Missing("_meta"))
            .and_then(Meta::parse),
    };
    let is_initialize = method.as_str() == "initialize";
    if is_initialize && matches!(meta, Err(MetaError::Missing(_) | MetaError::Malformed(_))) {
        return refuse(initialize_refused(&params));
    }
    if let Some(headers) = headers {
        let version = match &meta {
            Ok(meta) => Some(meta.version.as_str()),
            Err(MetaError::UnknownVersion(version)) => Some(version.as_str()),
            Err(_) => None,
        };
        let name = method
            .name_member()
            .and_then(|member| params.get_str(member))
            .and_then(string_value);
        if let Err(mismatch) =
            standard::check_standard(headers, version, method.as_str(), name.as_deref())
        {
            return refuse(mismatch.to_error());
        }
    }
    let meta = match meta {
        Ok(meta) if SUPPORTED_VERSIONS.contains(&meta.version) => meta,
        Ok(meta) => return refuse(unsupported_version(meta.version.as_str())),
        Err(MetaError::UnknownVersion(version)) => return refuse(unsupported_version(&version)),
        Err(error) => return refuse(ErrorObject::invalid_params(error.to_string())),
    };
    if is_initialize {
        return Err(Rejection {
            id: Some(id),
            error: initialize_removed(),
            status: StatusCode::NOT_FOUND,
        });
    }
    Ok(ClientMessage::Call(Call::new(id, method, params, meta)))
}

/// `-32022` for `requested` (`basic/versioning#protocol-version-negotiation`).
#[must_use]
pub fn unsupported_version(requested: &str) -> ErrorObject {
    let supported: Vec<&str> = SUPPORTED_VERSIONS
        .iter()
        .map(|version| version.as_str())
        .collect();
    let data = serde_json::json!({"supported": supported, "requested": requested});
    ErrorObject::new(
        code::UNSUPPORTED_PROTOCOL_VERSION,
        format!(
            "Unsupported protocol version; this server supports {}",
            supported.join(", ")
        ),
    )
    .with_data(RawJson::from(&data))
}

/// A legacy client cannot find out anything but what this error tells it, so it names the versions
/// (`basic/versioning#backward-compatibility-with-initialization-based-versions`).
fn initialize_refused(params: &Params) -> ErrorObject {
    let requested = params.get_str("protocolVersion").and_then(string_value);
    unsupported_version(
        requested
            .as_deref()
            .unwrap_or("(initialize without protocolVersion)"),
    )
}

/// `initialize` with all that a modern request carries is one more method that there is not
/// (`basic/transports/streamable-http#server-validation`), and still an answer that names the
/// versions.
fn initialize_removed() -> ErrorObject {
    let supported: Vec<&str> = SUPPORTED_VERSIONS
        .iter()
        .map(|version| version.as_str())
        .collect();
    let data = RawJson::from(&serde_json::json!({"supported": supported}));
    let message = format!(
        "Method not found: initialize; this server supports {}",
        supported.join(", ")
    );
    ErrorObject::new(code::METHOD_NOT_FOUND, message).with_data(data)
}

/// Reads a message that came from a server: a response or a notification. Faults that leave no
/// doubt about what was meant are tolerated: an error object is read by [`read_error`], and `null`
/// stands for an absent `result` or `error`.
///
/// Half of a surrogate pair in a string becomes U+FFFD, here and therefore for everybody the
/// message is passed on to: a text that was cut in the middle of an emoji must not cost the result
/// of a call that was executed.
///
/// # Errors
/// A description of what is wrong with it. Requests are refused: servers never send any. On a
/// channel that many requests share, [`frame::response_id`](crate::frame::response_id) tells which
/// of them the message answers.
pub fn decode_server_message(text: &Bytes) -> Result<ServerMessage, String> {
    let str = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    let mut scanner = Scanner::new(str);
    let mut seen = ServerMembers::default();
    if let Err(error) = seen.scan(&mut scanner, str).and_then(|()| scanner.end()) {
        return match replace_lone_surrogates(str) {
            Some(repaired) => decode_server_message(&repaired.into()),
            None => Err(format!("not a JSON-RPC message: {error}")),
        };
    }
    let raw = |range| part(text, range);
    if seen.jsonrpc.map(|range| &str[range]) != Some(VERSION) {
        return Err("\"jsonrpc\" is not \"2.0\"".into());
    }
    let id = match seen.id.map(|range| &str[range]) {
        None | Some("null") => None,
        Some(id) => Some(read_loose_id(id).ok_or("the id is neither a string nor an integer")?),
    };
    if let Some(method) = seen.method {
        if id.is_some() {
            return Err("a server must not send requests".into());
        }
        let method = string_value(&str[method]).ok_or("the method is not a string")?;
        let params = seen.params.map(raw);
        return Ok(ServerMessage::Notification(crate::Notification {
            method: method.into_owned().into(),
            params,
        }));
    }
    // Many a JSON-RPC library writes both members, and `null` into the one that does not apply.
    let error = seen.error.filter(|error| &str[error.clone()] != "null");
    let result = seen
        .result
        .filter(|result| error.is_none() || &str[result.clone()] != "null");
    let outcome = match (result, error) {
        (Some(result), None) => Outcome::Result(raw(result)),
        (None, Some(error)) => Outcome::Error(read_error(&str[error])),
        _ => return Err("a response needs exactly one of \"result\" and \"error\"".into()),
    };
    match (id, outcome) {
        (Some(id), outcome) => Ok(ServerMessage::Response(Response { id, outcome })),
        (None, Outcome::Error(error)) => Ok(ServerMessage::ErrorWithoutId(error)),
        (None, Outcome::Result(_)) => Err("a result without an id".into()),
    }
}

/// What a server may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The answer to a request.
    Response(Response),
    /// A notification.
    Notification(crate::Notification),
    /// An error about a message whose id the server could not read.
    ErrorWithoutId(ErrorObject),
}

#[derive(Default)]
struct ServerMembers {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl ServerMembers {
    fn scan(&mut self, scanner: &mut Scanner<'_>, text: &str) -> Result<(), SyntaxError> {
        let mut members = scanner.object()?;
        while let Some(key) = members.next_key(scanner)? {
            let value = scanner.skip_value()?;
            let slot = match &text[key] {
                "jsonrpc" => &mut self.jsonrpc,
                "id" => &mut self.id,
                "method" => &mut self.method,
                "params" => &mut self.params,
                "result" => &mut self.result,
                "error" => &mut self.error,
                _ => continue,
            };
            *slot = Some(value);
        }
        Ok(())
    }
}

/// The members of a client's message.
struct Envelope<'a> {
    id: Option<RequestId>,
    method: Cow<'a, str>,
    params: Option<ParamsText<'a>>,
}

struct ParamsText<'a> {
    range: Range<usize>,
    members: Vec<ParamMember>,
    /// What is known of `_meta`, found on the way, and where it stands.
    meta: Option<(ScannedMeta<'a>, Range<usize>)>,
}

impl<'a> ParamsText<'a> {
    fn scan(
        scanner: &mut Scanner<'a>,
        text: &'a str,
        start: usize,
        is_object: bool,
        known: Option<&'a Meta>,
    ) -> Result<Self, SyntaxError> {
        let (mut members, mut meta) = (Vec::new(), None);
        if is_object {
            members = scan_members_with(scanner, |key, scanner| {
                if &text[key] != "_meta" || scanner.kind()? != ValueKind::Object {
                    return scanner.skip_value();
                }
                let start = scanner.position();
                let found = ScannedMeta::scan(scanner, text, known)?;
                meta = Some((found, start..scanner.position()));
                Ok(start..scanner.position())
            })?;
            // The members stand relative to the params' own text.
            members
                .iter_mut()
                .for_each(|member| member.make_relative_to(start));
        } else {
            scanner.skip_value()?;
        }
        Ok(Self {
            range: start..scanner.position(),
            members,
            meta,
        })
    }
}

impl<'a> Envelope<'a> {
    fn read(text: &'a Bytes, known: Option<&'a Meta>) -> Result<Self, Rejection> {
        let parse_error = |why: &dyn std::fmt::Display| {
            Rejection::bad_request(
                None,
                ErrorObject::new(code::PARSE_ERROR, format!("Parse error: {why}")),
            )
        };
        let text = std::str::from_utf8(text).map_err(|error| parse_error(&error))?;
        let mut scanner = Scanner::new(text);
        if scanner.kind().map_err(|error| parse_error(&error))? != ValueKind::Object {
            scanner
                .skip_value()
                .and_then(|_| scanner.end())
                .map_err(|error| parse_error(&error))?;
            return Err(invalid_request(
                None,
                "the message is not a single JSON-RPC object (batches are not supported)",
            ));
        }
        let mut found = ClientMembers::default();
        found
            .scan(&mut scanner, text, known)
            .and_then(|()| scanner.end())
            .map_err(|error| parse_error(&error))?;
        found.check(text)
    }
}

#[derive(Default)]
struct ClientMembers<'a> {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<ParamsText<'a>>,
    params_is_object: bool,
    answers: bool,
    twice: Option<&'static str>,
}

impl<'a> ClientMembers<'a> {
    fn scan(
        &mut self,
        scanner: &mut Scanner<'a>,
        text: &'a str,
        known: Option<&'a Meta>,
    ) -> Result<(), SyntaxError> {
        let mut members = scanner.object()?;
        if scanner.skip_first_member(&mut members, JSONRPC_MEMBER) {
            // It needs no reading where it stands as everybody writes it.
            self.jsonrpc = Some(scanner.position() - VERSION.len()..scanner.position());
        }
        while let Some(key) = members.next_key(scanner)? {
            let key = if scanner.had_escapes() {
                unescaped(&text[key])
            } else {
                Cow::Borrowed(&text[key])
            };
            match key.as_ref() {
                "jsonrpc" => Self::put(
                    &mut self.jsonrpc,
                    scanner.skip_value()?,
                    "jsonrpc",
                    &mut self.twice,
                ),
                "id" => Self::put(&mut self.id, scanner.skip_value()?, "id", &mut self.twice),
                "method" => Self::put(
                    &mut self.method,
                    scanner.skip_value()?,
                    "method",
                    &mut self.twice,
                ),
                "params" => {
                    self.params_is_object = scanner.kind()? == ValueKind::Object;
                    let start = scanner.position();
                    let params =
                        ParamsText::scan(scanner, text, start, self.params_is_object, known)?;
                    Self::put(&mut self.params, params, "params", &mut self.twice);
                }
                key => {
                    self.answers |= matches!(key, "result" | "error");
                    scanner.skip_value()?;
                }
            }
        }
        Ok(())
    }

    fn put<T>(
        slot: &mut Option<T>,
        value: T,
        name: &'static str,
        twice: &mut Option<&'static str>,
    ) {
        if slot.replace(value).is_some() {
            *twice = Some(name);
        }
    }

    fn check(self, text: &'a str) -> Result<Envelope<'a>, Rejection> {
        let id = match self.id.map(|range| &text[range]) {
            None => None,
            Some(id) => match read_id(id) {
                Some(id) => Some(id),
                None => {
                    return Err(invalid_request(
                        None,
                        "the id must be a string or an integer",
                    ));
                }
            },
        };
        if let Some(name) = self.twice {
            return Err(invalid_request(
                id,
                &format!("member {name:?} occurs twice"),
            ));
        }
        if self.jsonrpc.as_ref().map(|range| &text[range.clone()]) != Some(VERSION) {
            return Err(invalid_request(id, "\"jsonrpc\" must be \"2.0\""));
        }
        let Some(method) = self.method else {
            let why = if self.answers {
                "clients do not send responses"
            } else {
                "\"method\" is missing"
            };
            return Err(invalid_request(id, why));
        };
        let Some(method) = string_value(&text[method]) else {
            return Err(invalid_request(id, "\"method\" must be a string"));
        };
        if self.answers {
            return Err(invalid_request(
                id,
                "a request has neither \"result\" nor \"error\"",
            ));
        }
        if self.params.is_some() && !self.params_is_object {
            return Err(invalid_request(id, "\"params\" must be an object"));
        }
        Ok(Envelope {
            id,
            method,
            params: self.params,
        })
    }
}

fn invalid_request(id: Option<RequestId>, why: &str) -> Rejection {
    Rejection::bad_request(
        id,
        ErrorObject::new(code::INVALID_REQUEST, format!("Invalid request: {why}")),
    )
}

/// The value of a JSON string token; no copy when it has no escapes.
pub(crate) fn string_value(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        decode_text(token).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A member's name with its escapes resolved.
pub(crate) fn unescaped(key: &str) -> Cow<'_, str> {
    if !key.contains('\\') {
        return Cow::Borrowed(key);
    }
    decode_text(&format!("\"{key}\"")).map_or(Cow::Borrowed(key), Cow::Owned)
}

fn read_id(token: &str) -> Option<RequestId> {
    match token.as_bytes().first()? {
        b'"' => string_value(token).map(|text| RequestId::String(text.into())),
        b'-' | b'0'..=b'9' => token.parse().ok().map(RequestId::Number),
        _ => None,
    }
}

/// A value of a message, sharing its buffer.
#[allow(unsafe_code)]
fn part(text: &Bytes, range: Range<usize>) -> RawJson {
    // SAFETY: all callers have checked the encoding before they scanned the text, and a value that
    // a scan has found begins and ends with a character of its own.
    unsafe { RawJson::from_utf8_unchecked(text.slice(range)) }
}
