//! Messages from a server.

use super::envelope::VERSION;
use super::{read_error, read_lenient_id, slice};
use crate::json::{Scanner, SyntaxError, decode_string};
use crate::{Notification, Outcome, Response};
use bytes::Bytes;
use carryall_types::{ErrorObject, replace_lone_surrogates};
use std::ops::Range;

/// A message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The response to a request.
    Response(Response),
    /// A notification.
    Notification(Notification),
    /// An error about a message whose id the server could not read.
    ErrorWithoutId(ErrorObject),
}

/// Decodes a message from a server. Faults that leave no doubt about the meaning are tolerated: an
/// error object is read by [`read_error`], and `null` means an absent `result` or `error`.
///
/// Lone surrogates in strings are replaced by U+FFFD, here and therefore for everybody the message
/// is forwarded to: text that was cut in the middle of an emoji must not cost the result of a call
/// that was executed.
///
/// # Errors
/// A description of the fault. Requests are refused: servers never send any. On a shared channel,
/// [`frame::response_id`](crate::frame::response_id) finds the request that a malformed message
/// answers.
pub fn decode_server_message(text: &Bytes) -> Result<ServerMessage, String> {
    let str = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    let mut scanner = Scanner::new(str);
    let mut members = ServerMembers::default();
    if let Err(error) = members.scan(&mut scanner, str).and_then(|()| scanner.end()) {
        return match replace_lone_surrogates(str) {
            Some(repaired) => decode_server_message(&repaired.into()),
            None => Err(format!("not a JSON-RPC message: {error}")),
        };
    }
    if members.jsonrpc.map(|range| &str[range]) != Some(VERSION) {
        return Err("\"jsonrpc\" is not \"2.0\"".into());
    }
    let id = match members.id.map(|range| &str[range]) {
        None | Some("null") => None,
        Some(id) => Some(read_lenient_id(id).ok_or("the id is neither a string nor an integer")?),
    };
    if let Some(method) = members.method {
        if id.is_some() {
            return Err("a server must not send requests".into());
        }
        let method = decode_string(&str[method]).ok_or("the method is not a string")?;
        return Ok(ServerMessage::Notification(Notification {
            method: method.into_owned().into(),
            params: members.params.map(|range| slice(text, range)),
        }));
    }
    // Some JSON-RPC libraries write both members, with `null` in the one that does not apply.
    let error = members.error.filter(|error| &str[error.clone()] != "null");
    let result = members
        .result
        .filter(|result| error.is_none() || &str[result.clone()] != "null");
    let outcome = match (result, error) {
        (Some(result), None) => Outcome::Result(slice(text, result)),
        (None, Some(error)) => Outcome::Error(read_error(&str[error])),
        _ => return Err("a response needs exactly one of \"result\" and \"error\"".into()),
    };
    match (id, outcome) {
        (Some(id), outcome) => Ok(ServerMessage::Response(Response { id, outcome })),
        (None, Outcome::Error(error)) => Ok(ServerMessage::ErrorWithoutId(error)),
        (None, Outcome::Result(_)) => Err("a result without an id".into()),
    }
}

/// Where the members of a server's message are in its text.
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
        while let Some(name) = members.next_key(scanner)? {
            let value = scanner.skip_value()?;
            let member = match &text[name] {
                "jsonrpc" => &mut self.jsonrpc,
                "id" => &mut self.id,
                "method" => &mut self.method,
                "params" => &mut self.params,
                "result" => &mut self.result,
                "error" => &mut self.error,
                _ => continue,
            };
            *member = Some(value);
        }
        Ok(())
    }
}
