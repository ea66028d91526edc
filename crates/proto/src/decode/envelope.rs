//! The JSON-RPC envelope of a client's message.

use super::read_id;
use crate::Meta;
use crate::json::{Scanner, SyntaxError, ValueKind, decode_name, decode_string};
use crate::meta::ScannedMeta;
use crate::params::{ParamMember, scan_members_with};
use crate::validate::Rejection;
use bytes::Bytes;
use carryall_types::{ErrorObject, RequestId, code};
use std::borrow::Cow;
use std::ops::Range;

/// The value of `jsonrpc`.
pub(super) const VERSION: &str = "\"2.0\"";
/// The member that most messages begin with.
const JSONRPC_MEMBER: &[u8] = b"\"jsonrpc\":\"2.0\"";

/// The members of a client's message. Without an id it is a notification.
pub(super) struct Envelope<'a> {
    pub(super) id: Option<RequestId>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Option<ParamsText<'a>>,
}

/// The `params` of a message, scanned.
pub(super) struct ParamsText<'a> {
    /// Where they are in the message.
    pub(super) range: Range<usize>,
    /// The members, relative to the beginning of the params.
    pub(super) members: Vec<ParamMember>,
    /// `_meta`, if it is an object, and where it is in the message.
    pub(super) meta: Option<(ScannedMeta<'a>, Range<usize>)>,
}

impl<'a> Envelope<'a> {
    /// Scans a message and checks its envelope (`basic/index#messages`).
    pub(super) fn read(text: &'a Bytes, cached: Option<&'a Meta>) -> Result<Self, Rejection> {
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
        let mut members = EnvelopeMembers::default();
        members
            .scan(&mut scanner, text, cached)
            .and_then(|()| scanner.end())
            .map_err(|error| parse_error(&error))?;
        members.check(text)
    }
}

impl<'a> ParamsText<'a> {
    /// Scans the value that comes next.
    fn scan(
        scanner: &mut Scanner<'a>,
        text: &'a str,
        is_object: bool,
        cached: Option<&'a Meta>,
    ) -> Result<Self, SyntaxError> {
        let start = scanner.position();
        let (mut members, mut meta) = (Vec::new(), None);
        if is_object {
            members = scan_members_with(scanner, |name, scanner| {
                if &text[name] != "_meta" || scanner.kind()? != ValueKind::Object {
                    return scanner.skip_value();
                }
                let start = scanner.position();
                let scanned = ScannedMeta::scan(scanner, text, cached)?;
                let range = start..scanner.position();
                meta = Some((scanned, range.clone()));
                Ok(range)
            })?;
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

/// The members of an envelope before they are checked.
#[derive(Default)]
struct EnvelopeMembers<'a> {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<ParamsText<'a>>,
    params_is_object: bool,
    has_outcome: bool,
    duplicate: Option<&'static str>,
}

impl<'a> EnvelopeMembers<'a> {
    fn scan(
        &mut self,
        scanner: &mut Scanner<'a>,
        text: &'a str,
        cached: Option<&'a Meta>,
    ) -> Result<(), SyntaxError> {
        let mut members = scanner.object()?;
        // Nearly all clients write this member first, and exactly so.
        if scanner.skip_first_member(&mut members, JSONRPC_MEMBER) {
            self.jsonrpc = Some(scanner.position() - VERSION.len()..scanner.position());
        }
        let mut duplicate = None;
        while let Some(name) = members.next_key(scanner)? {
            let name = if scanner.had_escapes() {
                decode_name(&text[name])
            } else {
                Cow::Borrowed(&text[name])
            };
            let (name, is_duplicate) = match name.as_ref() {
                "jsonrpc" => (
                    "jsonrpc",
                    self.jsonrpc.replace(scanner.skip_value()?).is_some(),
                ),
                "id" => ("id", self.id.replace(scanner.skip_value()?).is_some()),
                "method" => (
                    "method",
                    self.method.replace(scanner.skip_value()?).is_some(),
                ),
                "params" => {
                    self.params_is_object = scanner.kind()? == ValueKind::Object;
                    let params = ParamsText::scan(scanner, text, self.params_is_object, cached)?;
                    ("params", self.params.replace(params).is_some())
                }
                other => {
                    self.has_outcome |= matches!(other, "result" | "error");
                    scanner.skip_value()?;
                    continue;
                }
            };
            if is_duplicate {
                duplicate = Some(name);
            }
        }
        self.duplicate = duplicate;
        Ok(())
    }

    fn check(self, text: &'a str) -> Result<Envelope<'a>, Rejection> {
        let id = match self.id.map(|range| read_id(&text[range])) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => {
                return Err(invalid_request(
                    None,
                    "the id must be a string or an integer",
                ));
            }
        };
        if let Some(name) = self.duplicate {
            return Err(invalid_request(
                id,
                &format!("member {name:?} occurs twice"),
            ));
        }
        if self.jsonrpc.map(|range| &text[range]) != Some(VERSION) {
            return Err(invalid_request(id, "\"jsonrpc\" must be \"2.0\""));
        }
        let Some(method) = self.method else {
            let why = if self.has_outcome {
                "clients do not send responses"
            } else {
                "\"method\" is missing"
            };
            return Err(invalid_request(id, why));
        };
        let Some(method) = decode_string(&text[method]) else {
            return Err(invalid_request(id, "\"method\" must be a string"));
        };
        if self.has_outcome {
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

fn parse_error(why: &dyn std::fmt::Display) -> Rejection {
    Rejection::bad_request(
        None,
        ErrorObject::new(code::PARSE_ERROR, format!("Parse error: {why}")),
    )
}

fn invalid_request(id: Option<RequestId>, why: &str) -> Rejection {
    Rejection::bad_request(
        id,
        ErrorObject::new(code::INVALID_REQUEST, format!("Invalid request: {why}")),
    )
}
