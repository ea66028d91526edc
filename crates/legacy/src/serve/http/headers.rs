//! Request headers, and what else a request carries besides its body.

use crate::serve::exchange::RequestContext;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_proto::{CallSource, Caller, ClientId, Principal};
use carryall_types::ProtocolVersion;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

pub(super) static MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a request carries besides its body.
pub(super) struct RequestHead {
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) headers: HeaderMap,
    extensions: http::Extensions,
}

impl RequestHead {
    pub(super) fn new(headers: HeaderMap, extensions: http::Extensions) -> Self {
        Self {
            principal: Principal::from_extensions(&extensions),
            headers,
            extensions,
        }
    }

    /// Returns the context of the calls that the request makes. Within a session, the session is
    /// the client, whatever connection the request came on.
    pub(super) fn context(&self, client: Option<ClientId>) -> RequestContext {
        let mut source = self.source();
        source.client = client.or(source.client);
        RequestContext {
            principal: self.principal.clone(),
            extensions: self.extensions.clone(),
            source,
        }
    }

    /// Returns the caller whose quotas the request counts against.
    pub(super) fn caller(&self) -> Caller {
        Caller::accountable_for(self.principal.as_deref(), self.source())
    }

    fn source(&self) -> CallSource {
        self.extensions
            .get::<CallSource>()
            .copied()
            .unwrap_or_default()
    }

    /// Returns whether the request belongs to a legacy session, judging by its headers.
    pub(super) fn is_legacy(&self) -> bool {
        names_legacy_session(&self.headers)
    }
}

/// Returns whether the headers name a session or a legacy version.
pub(super) fn names_legacy_session(headers: &HeaderMap) -> bool {
    headers.contains_key(&MCP_SESSION_ID)
        || matches!(VersionHeader::read(headers), VersionHeader::Legacy(_))
}

/// Returns whether the client accepts each of these media types. Without `Accept` it accepts all.
pub(super) fn accepts(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let values: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let offered = || {
        values
            .iter()
            .flat_map(|value| value.split(','))
            .map(|item| item.split(';').next().unwrap_or(item).trim())
    };
    let takes = |wanted: &str| {
        let group = wanted.split('/').next().unwrap_or_default();
        offered().any(|offered| {
            offered == "*/*"
                || offered.eq_ignore_ascii_case(wanted)
                || offered
                    .strip_suffix("/*")
                    .is_some_and(|offered| offered.eq_ignore_ascii_case(group))
        })
    };
    values.is_empty() || wanted.iter().all(|wanted| takes(wanted))
}

/// The value of `MCP-Protocol-Version`.
pub(super) enum VersionHeader {
    Missing,
    Legacy(ProtocolVersion),
    Modern,
    Unknown,
}

impl VersionHeader {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(&MCP_PROTOCOL_VERSION) else {
            return Self::Missing;
        };
        match value.to_str().ok().and_then(|text| text.parse().ok()) {
            None => Self::Unknown,
            Some(version) if ProtocolVersion::is_modern(version) => Self::Modern,
            Some(version) => Self::Legacy(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_types_must_be_accepted() {
        let accept = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            accepts(&headers, &["application/json", "text/event-stream"])
        };
        for good in [
            "application/json, text/event-stream",
            "text/event-stream;q=0.5,APPLICATION/json; charset=utf-8",
            "*/*",
            "application/*, text/*",
            "text/html, */*;q=0.8",
        ] {
            assert!(accept(good), "{good}");
        }
        for bad in [
            "application/json",
            "text/event-stream",
            "application/*",
            "text/html",
            "application/jsonx, text/event-stream",
        ] {
            assert!(!accept(bad), "{bad}");
        }
        assert!(accepts(&HeaderMap::new(), &["text/event-stream"]));
    }
}
