//! Decodes the messages of both sides: bytes to a [`Call`], a [`Response`](crate::Response) or a
//! [`Notification`].
//!
//! One scan finds the members of the envelope, of `params` and of `_meta`; values stay text until
//! their type is known. A request is [validated](crate::validate) here, so that nothing behind
//! has to check it again.

mod envelope;
mod lenient;
mod server;

pub use lenient::read_error;
pub use server::{ServerMessage, decode_server_message};

pub(crate) use lenient::read_lenient_id;

use crate::json::decode_string;
use crate::validate::{DecodedRequest, Rejection, validate};
use crate::{Call, Meta, MetaCache, MetaError, Notification, Params};
use bytes::Bytes;
use carryall_types::{ErrorObject, Method, RawJson, RequestId};
use envelope::Envelope;
use http::HeaderMap;
use std::ops::Range;

/// A message from a client (`basic/transports/index#messages`).
#[derive(Debug)]
pub enum ClientMessage {
    /// A request.
    Call(Call),
    /// A notification. It is never answered.
    Notification(Notification),
}

/// Decodes and validates the body of an HTTP POST: envelope, mirrored headers, `_meta`, version.
///
/// # Errors
/// The JSON-RPC error and HTTP status that the specification defines for the fault.
pub fn decode_http(headers: HeaderMap, body: Bytes) -> Result<ClientMessage, Rejection> {
    decode(&body, Some(headers), None)
}

/// As [`decode_http`], faster if the request has the same `_meta` text as an earlier one. The
/// result does not depend on the cache.
///
/// # Errors
/// As for [`decode_http`].
pub fn decode_http_cached(
    headers: HeaderMap,
    body: Bytes,
    cache: &mut MetaCache,
) -> Result<ClientMessage, Rejection> {
    decode_cached(&body, Some(headers), cache)
}

/// Decodes and validates one message of a binding without headers (stdio, sockets).
///
/// # Errors
/// The JSON-RPC error that the specification defines for the fault.
pub fn decode_frame(frame: Bytes) -> Result<ClientMessage, Rejection> {
    decode(&frame, None, None)
}

/// As [`decode_frame`], faster if the request has the same `_meta` text as an earlier one. The
/// result does not depend on the cache.
///
/// # Errors
/// As for [`decode_frame`].
pub fn decode_frame_cached(
    frame: Bytes,
    cache: &mut MetaCache,
) -> Result<ClientMessage, Rejection> {
    decode_cached(&frame, None, cache)
}

/// Whether `text` is a message whose `_meta` has a protocol version, supported or not: only clients
/// of this era send one
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
    let params = Params::from_members(slice(text, params.range), params.members);
    let meta = params.ok().and_then(|params| params.get("_meta"));
    meta.and_then(|meta| Params::parse(meta).ok())
        .is_some_and(|meta| meta.get(crate::key::PROTOCOL_VERSION).is_some())
}

fn decode_cached(
    text: &Bytes,
    headers: Option<HeaderMap>,
    cache: &mut MetaCache,
) -> Result<ClientMessage, Rejection> {
    let message = decode(text, headers, cache.entry())?;
    if let ClientMessage::Call(call) = &message {
        cache.record(call.meta());
    }
    Ok(message)
}

fn decode(
    text: &Bytes,
    headers: Option<HeaderMap>,
    cached: Option<&Meta>,
) -> Result<ClientMessage, Rejection> {
    let Envelope { id, method, params } = Envelope::read(text, cached)?;
    let Some(id) = id else {
        return Ok(ClientMessage::Notification(Notification {
            method: method.into_owned().into(),
            params: params.map(|params| slice(text, params.range)),
        }));
    };
    let (params, meta) = match params {
        Some(params) => (
            Params::from_members(slice(text, params.range), params.members),
            params.meta,
        ),
        None => (Ok(Params::empty()), None),
    };
    let params = match params {
        Ok(params) => params,
        Err(error) => {
            let error = ErrorObject::invalid_params(format!("Invalid params: {error}"));
            return Err(Rejection::bad_request(Some(id), error));
        }
    };
    let meta = match meta {
        Some((meta, range)) => meta.decode(slice(text, range)),
        // `_meta` is missing, not an object, or its name is written with escapes.
        None => params
            .get("_meta")
            .ok_or(MetaError::Missing("_meta"))
            .and_then(Meta::parse),
    };
    let request = DecodedRequest {
        id,
        method: Method::from(&*method),
        params,
        meta,
    };
    validate(request, headers).map(ClientMessage::Call)
}

/// Decodes a request id; `None` for anything but a string or an integer.
fn read_id(token: &str) -> Option<RequestId> {
    match token.as_bytes().first()? {
        b'"' => decode_string(token).map(|text| RequestId::String(text.into())),
        b'-' | b'0'..=b'9' => token.parse().ok().map(RequestId::Number),
        _ => None,
    }
}

/// Returns a value of a message, sharing its buffer.
#[allow(unsafe_code)]
fn slice(text: &Bytes, range: Range<usize>) -> RawJson {
    // SAFETY: all callers have checked the encoding before they scanned the text, and a value found
    // by a scan begins and ends at character boundaries.
    unsafe { RawJson::from_utf8_unchecked(text.slice(range)) }
}
