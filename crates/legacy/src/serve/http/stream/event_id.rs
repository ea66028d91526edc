//! The ids of streams and of their events.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_types::RequestId;
use std::sync::Arc;

/// Maximum size of a request id that becomes part of event ids, in bytes of JSON.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// The messages for one request; `None` for those of a batch, or if the request's id is too
    /// long.
    Responses(Option<RequestId>),
    /// Change notifications.
    Changes,
}

impl StreamKind {
    /// Returns a new stream id. It contains the request id, so that a replica that does not hold
    /// the stream can still tell the client that the response is lost.
    pub(super) fn new_stream_id(&self) -> Arc<str> {
        let mut random = [0; 8];
        // An id only has to be unique within its session: nobody else can use it.
        getrandom::fill(&mut random).ok();
        let random = u64::from_be_bytes(random);
        match self {
            Self::Changes => format!("s{random:016x}").into(),
            Self::Responses(request) => {
                let request = request.as_ref().and_then(|id| serde_json::to_vec(id).ok());
                match request.filter(|text| text.len() <= MAX_REQUEST_ID_BYTES) {
                    Some(text) => format!("r{random:016x}.{}", URL_SAFE_NO_PAD.encode(text)).into(),
                    None => format!("r{random:016x}").into(),
                }
            }
        }
    }
}

/// The id of an event: its stream and its number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId<'a> {
    pub(crate) stream: &'a str,
    pub(crate) number: u64,
    pub(crate) kind: StreamKind,
}

impl<'a> EventId<'a> {
    /// Parses `Last-Event-ID`; `None` if this server does not make such ids.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (stream, number) = text.rsplit_once('-')?;
        let number = number.parse().ok()?;
        let kind = match stream.split_at_checked(1)? {
            ("s", _) => StreamKind::Changes,
            ("r", rest) => StreamKind::Responses(rest.split_once('.').and_then(|(_, request)| {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request).ok()?).ok()
            })),
            _ => return None,
        };
        Some(Self {
            stream,
            number,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_names_stream_number_and_request() {
        for request in [RequestId::Number(7), RequestId::String("a-b/\u{e9}".into())] {
            let kind = StreamKind::Responses(Some(request));
            let stream = kind.new_stream_id();
            let text = format!("{stream}-12");
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            let expected = EventId {
                stream: &stream,
                number: 12,
                kind,
            };
            assert_eq!(EventId::parse(&text).unwrap(), expected);
        }
        let long = StreamKind::Responses(Some(RequestId::String("x".repeat(100).into())));
        let kind_of = |kind: StreamKind| {
            EventId::parse(&format!("{}-1", kind.new_stream_id()))
                .unwrap()
                .kind
        };
        assert_eq!(kind_of(long), StreamKind::Responses(None));
        assert_eq!(kind_of(StreamKind::Changes), StreamKind::Changes);
        for bad in ["", "7", "s-", "x00-1", "r00-x", "-1"] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
        assert_ne!(
            StreamKind::Changes.new_stream_id(),
            StreamKind::Changes.new_stream_id()
        );
    }
}
