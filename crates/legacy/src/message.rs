//! JSON-RPC as earlier revisions use it: both sides send requests, and 2025-03-26 allows several
//! messages in one array.

use bytes::Bytes;
use carryall_proto::decode::read_error;
use carryall_proto::frame::response_id;
use carryall_proto::json::{Scanner, SyntaxError, ValueKind, write_str};
use carryall_proto::{Encoded, Notification, Outcome, Response, encode_error};
use carryall_types::{ErrorObject, RawJson, RequestId, code, decode_text, replace_lone_surrogates};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Maximum number of messages in one array.
const MAX_BATCH: usize = 100;

/// One message, from either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Request(LegacyRequest),
    Notification(Notification),
    Response(Response),
    /// An error about a message whose id the other side could not read.
    ErrorWithoutId(ErrorObject),
}

/// A request, from either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LegacyRequest {
    pub(crate) id: RequestId,
    pub(crate) method: String,
    /// An object. Empty if the request has none.
    pub(crate) params: RawJson,
}

/// The content of one line, body or event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedBody {
    One(Incoming),
    /// An array. A malformed message does not affect the others.
    Batch(Vec<Result<Incoming, MalformedMessage>>),
}

/// Text that is not a message, with the error to answer it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MalformedMessage {
    pub(crate) id: Option<RequestId>,
    pub(crate) error: ErrorObject,
    /// It was meant to be the response to request `id` of this side. There will be no other.
    pub(crate) is_response: bool,
}

impl MalformedMessage {
    fn new(id: Option<RequestId>, code: i64, why: impl fmt::Display) -> Self {
        Self {
            id,
            error: ErrorObject::new(code, why.to_string()),
            is_response: false,
        }
    }

    fn parse_error(why: impl fmt::Display) -> Self {
        Self::new(None, code::PARSE_ERROR, format_args!("Parse error: {why}"))
    }

    fn invalid(id: Option<RequestId>, why: impl fmt::Display) -> Self {
        let why = format_args!("Invalid request: {why}");
        Self::new(id, code::INVALID_REQUEST, why)
    }

    /// Finds out which request `text` was meant to answer, if it is a response.
    fn answering(mut self, text: &[u8]) -> Self {
        if let Some(id) = response_id(text) {
            (self.id, self.is_response) = (Some(id), true);
        }
        self
    }

    pub(crate) fn encode(&self) -> Encoded {
        // The id of a response is one of this side. The other side does not wait for an answer.
        encode_error(self.id.as_ref().filter(|_| !self.is_response), &self.error)
    }
}

/// Parses one message or an array of messages, in one pass over the text.
///
/// A lone surrogate becomes U+FFFD, because the text is passed on to readers that refuse it.
///
/// # Errors
/// When the text is not JSON, or is an empty or too long array. Other faults are those of one
/// message.
pub(crate) fn parse(text: &Bytes) -> Result<ParsedBody, MalformedMessage> {
    let refuse = |why: &dyn fmt::Display| Err(MalformedMessage::parse_error(why).answering(text));
    let str = match std::str::from_utf8(text) {
        Ok(str) => str,
        Err(error) => return refuse(&error),
    };
    match BodyRanges::scan(str) {
        Ok(messages) => messages.read(text, str),
        Err(error) => match replace_lone_surrogates(str) {
            Some(repaired) => match BodyRanges::scan(&repaired) {
                Ok(messages) => messages.read(&repaired.clone().into(), &repaired),
                Err(error) => refuse(&error),
            },
            None => refuse(&error),
        },
    }
}

/// Where the messages of a text and their members stand.
enum BodyRanges {
    One(MessageRanges),
    /// Up to [`MAX_BATCH`] messages, and how many there are.
    Batch(Vec<MessageRanges>, usize),
}

impl BodyRanges {
    fn scan(text: &str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let messages = if scanner.kind()? == ValueKind::Array {
            let (mut messages, mut count) = (Vec::new(), 0);
            let mut items = scanner.array()?;
            while items.next_item(&mut scanner)? {
                count += 1;
                if count <= MAX_BATCH {
                    messages.push(MessageRanges::scan(&mut scanner, text)?);
                } else {
                    scanner.skip_value()?;
                }
            }
            Self::Batch(messages, count)
        } else {
            Self::One(MessageRanges::scan(&mut scanner, text)?)
        };
        scanner.end()?;
        Ok(messages)
    }

    /// Reads the messages. `text` is the buffer of `str`.
    fn read(self, text: &Bytes, str: &str) -> Result<ParsedBody, MalformedMessage> {
        match self {
            Self::One(message) => message.read(text, str).map(ParsedBody::One),
            Self::Batch(_, 0) => Err(MalformedMessage::invalid(None, "an empty batch")),
            Self::Batch(_, count) if count > MAX_BATCH => {
                let why = format!("{count} messages in one batch, over {MAX_BATCH}");
                Err(MalformedMessage::invalid(None, why))
            }
            Self::Batch(messages, _) => Ok(ParsedBody::Batch(
                messages
                    .into_iter()
                    .map(|message| message.read(text, str))
                    .collect(),
            )),
        }
    }
}

/// Where the members of one message stand in the text.
#[derive(Default)]
struct MessageRanges {
    whole: Range<usize>,
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
    fault: Option<&'static str>,
}

impl MessageRanges {
    fn scan(scanner: &mut Scanner<'_>, text: &str) -> Result<Self, SyntaxError> {
        let mut message = Self::default();
        if scanner.kind()? != ValueKind::Object {
            message.whole = scanner.skip_value()?;
            message.fault = Some("a message must be an object");
            return Ok(message);
        }
        let start = scanner.position();
        let mut members = scanner.object()?;
        while let Some(key) = members.next_key(scanner)? {
            let key = if scanner.had_escapes() {
                let quoted = &text[key.start - 1..key.end + 1];
                Cow::Owned(serde_json::from_str(quoted).unwrap_or_default())
            } else {
                Cow::Borrowed(&text[key])
            };
            let value = scanner.skip_value()?;
            let member = match &*key {
                "jsonrpc" => &mut message.jsonrpc,
                "id" => &mut message.id,
                "method" => &mut message.method,
                "params" => &mut message.params,
                "result" => &mut message.result,
                "error" => &mut message.error,
                _ => continue,
            };
            if member.replace(value).is_some() {
                message.fault = Some("a member occurs twice");
            }
        }
        message.whole = start..scanner.position();
        Ok(message)
    }

    fn read(self, text: &Bytes, str: &str) -> Result<Incoming, MalformedMessage> {
        let whole = self.whole.clone();
        self.read_members(text, str)
            .map_err(|malformed| malformed.answering(&text[whole]))
    }

    fn read_members(self, text: &Bytes, str: &str) -> Result<Incoming, MalformedMessage> {
        if let Some(fault) = self.fault {
            return Err(MalformedMessage::invalid(None, fault));
        }
        // `null` stands for an absent member.
        let present =
            |member: Option<Range<usize>>| member.filter(|range| &str[range.clone()] != "null");
        let (params, result) = (present(self.params), present(self.result));
        let method: Option<String> = match present(self.method) {
            None => None,
            Some(method) => Some(
                serde_json::from_str(&str[method])
                    .map_err(|_| MalformedMessage::invalid(None, "the method must be a string"))?,
            ),
        };
        let id = match present(self.id) {
            None => None,
            Some(id) => match decode_text(&str[id]) {
                Ok(id) => Some(id),
                Err(_) => {
                    // A response may write the id 7 as `7.0`.
                    let id = response_id(&text[self.whole]).filter(|_| method.is_none());
                    Some(id.ok_or_else(|| {
                        MalformedMessage::invalid(None, "the id must be a string or an integer")
                    })?)
                }
            },
        };
        if self
            .jsonrpc
            .is_none_or(|version| &str[version] != "\"2.0\"")
        {
            return Err(MalformedMessage::invalid(id, "\"jsonrpc\" must be \"2.0\""));
        }
        if params
            .as_ref()
            .is_some_and(|params| !str[params.clone()].starts_with('{'))
        {
            return Err(MalformedMessage::invalid(
                id,
                "\"params\" must be an object",
            ));
        }
        // Copied, so that messages which wait in a queue do not retain the buffer they came in.
        let params =
            params.map(|range| RawJson::from_trusted(Bytes::copy_from_slice(&text[range])));
        let error = present(self.error).map(|range| read_error(&str[range]));
        match (method, result, error) {
            (Some(method), None, None) => Ok(match id {
                Some(id) => Incoming::Request(LegacyRequest {
                    id,
                    method,
                    params: params.unwrap_or(RawJson::EMPTY_OBJECT),
                }),
                None => Incoming::Notification(Notification {
                    method: method.into(),
                    params,
                }),
            }),
            (None, Some(result), None) => match id {
                Some(id) => Ok(Incoming::Response(Response {
                    id,
                    outcome: Outcome::Result(part(text, result)),
                })),
                None => Err(MalformedMessage::invalid(None, "a result without an id")),
            },
            (None, None, Some(error)) => Ok(match id {
                Some(id) => Incoming::Response(Response::error(id, error)),
                None => Incoming::ErrorWithoutId(error),
            }),
            _ => Err(MalformedMessage::invalid(
                id,
                "a message has a method, or a result, or an error",
            )),
        }
    }
}

/// A value within `text`. It shares the buffer unless it would retain much more than itself.
fn part(text: &Bytes, range: Range<usize>) -> RawJson {
    RawJson::from_trusted(if range.len() >= text.len() / 2 {
        text.slice(range)
    } else {
        Bytes::copy_from_slice(&text[range])
    })
}

impl LegacyRequest {
    /// The approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.method.len() + self.params.as_bytes().len()
    }

    pub(crate) fn encode(&self) -> Encoded {
        let id = RawJson::from_value(&self.id).unwrap_or(RawJson::NULL);
        let mut text = Vec::with_capacity(64 + id.as_bytes().len() + self.size());
        text.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        text.extend_from_slice(id.as_bytes());
        text.extend_from_slice(br#","method":"#);
        write_str(&mut text, &self.method);
        text.extend_from_slice(br#","params":"#);
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
    fn the_members_decide_the_kind_of_message() {
        let request = LegacyRequest {
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
    fn text_that_is_not_a_message_is_refused_with_the_code_of_its_fault() {
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
    fn a_malformed_response_still_names_its_request() {
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
        // The id of a request is one of the other side.
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
    fn a_malformed_message_does_not_affect_the_rest_of_its_batch() {
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
    fn a_lone_surrogate_is_replaced() {
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
    fn an_encoded_request_parses_to_the_same_request() {
        let request = LegacyRequest {
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

    #[test]
    fn escaped_and_duplicate_members_are_read_as_serde_reads_them() {
        assert_eq!(
            one(r#"{"jsonrpc":"2.0","i\u0064":1,"result":{"a":1}}"#),
            Incoming::Response(Response::result(
                1.into(),
                RawJson::from_trusted(Bytes::from_static(br#"{"a":1}"#))
            ))
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#),
            (None, code::INVALID_REQUEST)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":2}"#),
            (None, code::INVALID_REQUEST)
        );
    }

    #[test]
    fn parts_do_not_retain_a_much_larger_buffer() {
        let padding = "x".repeat(10_000);
        let text = Bytes::from(format!(
            r#"[{{"jsonrpc":"2.0","id":1,"result":{{"a":1}}}},{{"jsonrpc":"2.0","method":"m","params":{{}},"x":"{padding}"}}]"#
        ));
        let Ok(ParsedBody::Batch(items)) = parse(&text) else {
            panic!()
        };
        let within = text.as_ptr_range();
        for item in items {
            let part = match item {
                Ok(Incoming::Response(Response {
                    outcome: Outcome::Result(result),
                    ..
                })) => result,
                Ok(Incoming::Notification(notification)) => notification.params.unwrap(),
                other => panic!("{other:?}"),
            };
            assert!(!within.contains(&part.as_bytes().as_ptr()));
        }
    }
}
