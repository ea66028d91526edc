//! JSON-RPC as earlier revisions use it: both sides send requests, and 2025-03-26 sends several
//! messages in one array.

use bytes::Bytes;
use carryall_proto::decode::read_error;
use carryall_proto::frame::response_id;
use carryall_proto::{Encoded, Notification, Outcome, Response};
use carryall_types::{ErrorObject, RawJson, RequestId, code, replace_lone_surrogates};
use serde::Deserialize;

/// At most so many messages come in one array.
const MAX_BATCH: usize = 100;

/// One message, from either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Request(Request),
    Notification(Notification),
    Response(Response),
    /// An error about a message whose id the other side could not read.
    ErrorWithoutId(ErrorObject),
}

/// A request, from either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) method: String,
    /// An object; empty when the request has none.
    pub(crate) params: RawJson,
}

/// What one line, body or event holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedBody {
    One(Incoming),
    /// An array. Each message stands or falls by itself.
    Batch(Vec<Result<Incoming, Malformed>>),
}

/// Why a message is none, as the error response that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) id: Option<RequestId>,
    pub(crate) error: ErrorObject,
    /// It was meant as the response to the request `id` of this side, which no other response will
    /// come for.
    pub(crate) is_response: bool,
}

impl Malformed {
    fn new(id: Option<RequestId>, code: i64, why: impl std::fmt::Display) -> Self {
        Self {
            id,
            error: ErrorObject::new(code, why.to_string()),
            is_response: false,
        }
    }

    /// The same about `text`, which may say whose response it was meant to be.
    fn answering(mut self, text: &[u8]) -> Self {
        if let Some(id) = response_id(text) {
            (self.id, self.is_response) = (Some(id), true);
        }
        self
    }

    pub(crate) fn encode(&self) -> Encoded {
        // The id of a response is one of this side's own: nobody there waits for an answer to it.
        carryall_proto::encode_error(self.id.as_ref().filter(|_| !self.is_response), &self.error)
    }
}

/// Reads one message or an array of them. Half of a surrogate pair becomes U+FFFD, because what is
/// passed on has to be text that everybody can read.
pub(crate) fn parse(text: &Bytes) -> Result<ParsedBody, Malformed> {
    let raw = RawJson::parse(text.clone()).map_err(|error| {
        Malformed::new(
            None,
            code::PARSE_ERROR,
            format_args!("Parse error: {error}"),
        )
        .answering(text)
    })?;
    let raw = match replace_lone_surrogates(raw.as_str()) {
        Some(repaired) => RawJson::from_trusted(repaired.into()),
        None => raw,
    };
    if !raw.as_str().trim_ascii_start().starts_with('[') {
        return incoming(&raw).map(ParsedBody::One);
    }
    let items: Vec<RawJson> = raw.decode().map_err(|error| {
        Malformed::new(
            None,
            code::PARSE_ERROR,
            format_args!("Parse error: {error}"),
        )
    })?;
    let refuse = |why: String| Err(Malformed::new(None, code::INVALID_REQUEST, why));
    match items.len() {
        0 => refuse("Invalid request: an empty batch".into()),
        count if count > MAX_BATCH => refuse(format!(
            "Invalid request: {count} messages in one batch, over {MAX_BATCH}"
        )),
        _ => Ok(ParsedBody::Batch(items.iter().map(incoming).collect())),
    }
}

fn incoming(raw: &RawJson) -> Result<Incoming, Malformed> {
    read(raw).map_err(|malformed| malformed.answering(raw.as_bytes()))
}

fn read(raw: &RawJson) -> Result<Incoming, Malformed> {
    let invalid = |id, why: &str| {
        Malformed::new(
            id,
            code::INVALID_REQUEST,
            format_args!("Invalid request: {why}"),
        )
    };
    let wire: Wire = raw
        .decode()
        .map_err(|error| invalid(None, &error.to_string()))?;
    let id = match wire.id.as_ref().filter(|id| id.as_str() != "null") {
        None => None,
        Some(id) => match id.decode() {
            Ok(id) => Some(id),
            Err(_) => {
                // `7.0` is the 7 that was sent.
                let id = response_id(raw.as_bytes()).filter(|_| wire.method.is_none());
                Some(id.ok_or_else(|| invalid(None, "the id must be a string or an integer"))?)
            }
        },
    };
    if wire.jsonrpc.as_deref() != Some("2.0") {
        return Err(invalid(id, "\"jsonrpc\" must be \"2.0\""));
    }
    if wire
        .params
        .as_ref()
        .is_some_and(|params| !params.as_str().starts_with('{'))
    {
        return Err(invalid(id, "\"params\" must be an object"));
    }
    match (wire.method, wire.result, wire.error) {
        (Some(method), None, None) => Ok(match id {
            Some(id) => Incoming::Request(Request {
                id,
                method,
                params: wire.params.unwrap_or(RawJson::EMPTY_OBJECT),
            }),
            None => Incoming::Notification(Notification {
                method: method.into(),
                params: wire.params,
            }),
        }),
        (None, Some(result), None) => match id {
            Some(id) => Ok(Incoming::Response(Response {
                id,
                outcome: Outcome::Result(result),
            })),
            None => Err(invalid(None, "a result without an id")),
        },
        (None, None, Some(error)) => {
            let error = read_error(error.as_str());
            Ok(match id {
                Some(id) => Incoming::Response(Response {
                    id,
                    outcome: Outcome::Error(error),
                }),
                None => Incoming::ErrorWithoutId(error),
            })
        }
        _ => Err(invalid(
            id,
            "a message has a method, or a result, or an error",
        )),
    }
}

#[derive(Deserialize)]
struct Wire {
    jsonrpc: Option<String>,
    id: Option<RawJson>,
    method: Option<String>,
    params: Option<RawJson>,
    result: Option<RawJson>,
    error: Option<RawJson>,
}

impl Request {
    pub(crate) fn encode(&self) -> Encoded {
        let id = RawJson::from_value(&self.id).unwrap_or(RawJson::NULL);
        let method = RawJson::from_value(&self.method).unwrap_or(RawJson::NULL);
        let mut text = Vec::with_capacity(64 + method.as_str().len() + self.params.as_str().len());
        for piece in [
            r#"{"jsonrpc":"2.0","id":"#,
            id.as_str(),
            r#","method":"#,
            method.as_str(),
            r#","params":"#,
        ] {
            text.extend_from_slice(piece.as_bytes());
        }
        text.extend_from_slice(self.params.as_bytes());
        text.push(b'}');
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &'static str) -> Incoming {
        match parse(&Bytes::from_static(text.as_bytes())) {
            Ok(ParsedBody::One(incoming)) => incoming,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &'static str) -> (Option<RequestId>, i64) {
        let malformed = parse(&Bytes::from_static(text.as_bytes())).unwrap_err();
        (malformed.id, malformed.error.code)
    }

    #[test]
    fn each_kind_of_message_is_told_by_its_members() {
        let request = Request {
            id: 1.into(),
            method: "ping".into(),
            params: RawJson::EMPTY_OBJECT,
        };
        assert_eq!(
            one(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Incoming::Request(request.clone())
        );
        assert_eq!(
            one(r#" {"params":{},"method":"ping","id":1,"jsonrpc":"2.0"}"#),
            Incoming::Request(request)
        );
        assert!(matches!(
            one(r#"{"jsonrpc":"2.0","method":"x"}"#),
            Incoming::Notification(_)
        ));
        assert!(matches!(
            one(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#),
            Incoming::Response(_)
        ));
        assert!(matches!(
            one(r#"{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":""}}"#),
            Incoming::Response(Response {
                outcome: Outcome::Error(_),
                ..
            })
        ));
        assert!(matches!(
            one(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":""}}"#),
            Incoming::ErrorWithoutId(_)
        ));
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_code_of_its_fault() {
        assert_eq!(refused("{"), (None, code::PARSE_ERROR));
        assert_eq!(refused("[]"), (None, code::INVALID_REQUEST));
        assert_eq!(
            refused(r#"{"id":7,"method":"x"}"#),
            (Some(7.into()), code::INVALID_REQUEST)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#),
            (None, code::INVALID_REQUEST)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":7,"method":"x","params":[]}"#),
            (Some(7.into()), code::INVALID_REQUEST)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":7,"method":"x","result":{}}"#),
            (Some(7.into()), code::INVALID_REQUEST)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","result":{}}"#),
            (None, code::INVALID_REQUEST)
        );
    }

    #[test]
    fn a_response_that_is_none_still_says_what_it_answers() {
        let responses = [
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":"#,
            r#"{"jsonrpc":"2.0","id":7,"result":null}"#,
        ];
        for text in responses {
            let malformed = parse(&Bytes::from_static(text.as_bytes())).unwrap_err();
            assert_eq!(
                (malformed.id, malformed.is_response),
                (Some(7.into()), true),
                "{text}"
            );
        }
        // The ids of requests are the other side's.
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"method":"x","result":{}}"#,
            r#"{"id":7,"method":"x"}"#,
        ] {
            assert!(
                !parse(&Bytes::from_static(text.as_bytes()))
                    .unwrap_err()
                    .is_response,
                "{text}"
            );
        }
        let Incoming::Response(response) =
            one(r#"{"jsonrpc":"2.0","id":7,"error":{"code":"E","message":"no"}}"#)
        else {
            panic!()
        };
        assert!(
            matches!(response.outcome, Outcome::Error(error) if error.code == code::INTERNAL_ERROR)
        );
        let Incoming::Response(response) = one(r#"{"jsonrpc":"2.0","id":7.0,"result":{}}"#) else {
            panic!()
        };
        assert_eq!(response.id, 7.into());
    }

    #[test]
    fn messages_of_a_batch_stand_or_fall_by_themselves() {
        let text = Bytes::from_static(
            br#"[{"jsonrpc":"2.0","method":"x"},7,{"jsonrpc":"2.0","id":1,"method":"y"}]"#,
        );
        let Ok(ParsedBody::Batch(items)) = parse(&text) else {
            panic!()
        };
        assert!(matches!(
            items.as_slice(),
            [
                Ok(Incoming::Notification(_)),
                Err(_),
                Ok(Incoming::Request(_))
            ]
        ));
        let long = Bytes::from(format!("[{}1]", "1,".repeat(MAX_BATCH)));
        assert_eq!(parse(&long).unwrap_err().error.code, code::INVALID_REQUEST);
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud83d","b":"\ud83d\ude00"}}"#;
        let Incoming::Response(Response {
            outcome: Outcome::Result(result),
            ..
        }) = one(text)
        else {
            panic!()
        };
        assert_eq!(result.as_str(), r#"{"a":"\ufffd","b":"\ud83d\ude00"}"#);
    }

    #[test]
    fn a_request_is_written_as_it_is_read() {
        let request = Request {
            id: RequestId::String("a\"b".into()),
            method: "x/y".into(),
            params: RawJson::from(&serde_json::json!({"a": 1})),
        };
        let text = request.encode().into_bytes();
        assert_eq!(
            parse(&text),
            Ok(ParsedBody::One(Incoming::Request(request)))
        );
    }
}
