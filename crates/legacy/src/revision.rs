//! What each revision supports. All comparisons of versions are here.

use carryall_types::ProtocolVersion;

/// The revisions with a handshake, newest first.
pub const REVISIONS: [ProtocolVersion; 4] = [
    ProtocolVersion::V2025_11_25,
    ProtocolVersion::V2025_06_18,
    ProtocolVersion::V2025_03_26,
    ProtocolVersion::V2024_11_05,
];

/// The differences between the revisions.
pub(crate) trait Revision {
    /// Whether several messages may be sent in one array. Only 2025-03-26 allows that.
    fn has_batches(self) -> bool;
    /// Whether HTTP requests after the handshake have the header `MCP-Protocol-Version`.
    fn sends_version_header(self) -> bool;
    /// Whether servers may send a form to the user.
    fn has_elicitation(self) -> bool;
    /// Whether servers may send the user to a URL, and announce when that is done
    /// (`notifications/elicitation/complete`).
    fn has_url_elicitation(self) -> bool;
    /// Whether sampling requests may offer tools.
    fn has_sampling_tools(self) -> bool;
    /// Whether there are (experimental) tasks.
    fn has_tasks(self) -> bool;
    /// Whether a server may close a stream before the response, so that the client polls. Such
    /// streams begin with an event id.
    fn has_polling(self) -> bool;
    /// Whether completion is a declared capability, tools have annotations, content may be audio, and
    /// progress has messages.
    fn has_completions_capability(self) -> bool;
}

impl Revision for ProtocolVersion {
    fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    fn sends_version_header(self) -> bool {
        self >= Self::V2025_06_18
    }

    fn has_elicitation(self) -> bool {
        self >= Self::V2025_06_18
    }

    fn has_url_elicitation(self) -> bool {
        self >= Self::V2025_11_25
    }

    fn has_sampling_tools(self) -> bool {
        self >= Self::V2025_11_25
    }

    fn has_tasks(self) -> bool {
        self == Self::V2025_11_25
    }

    fn has_polling(self) -> bool {
        self >= Self::V2025_11_25
    }

    fn has_completions_capability(self) -> bool {
        self >= Self::V2025_03_26
    }
}

/// The revision to answer `initialize` with: the requested one if it is known, else the newest, which
/// the client may decline (2025-11-25 `basic/lifecycle#version-negotiation`).
pub(crate) fn negotiate(requested: &str) -> ProtocolVersion {
    requested
        .parse()
        .ok()
        .filter(|version: &ProtocolVersion| !version.is_modern())
        .unwrap_or(REVISIONS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_revision_is_answered_with_the_newest() {
        for known in REVISIONS {
            assert_eq!(negotiate(known.as_str()), known);
        }
        for unknown in ["2026-07-28", "2099-01-01", "1.0", ""] {
            assert_eq!(negotiate(unknown), ProtocolVersion::V2025_11_25);
        }
    }

    #[test]
    fn newer_revisions_support_more() {
        use ProtocolVersion as V;
        let table = REVISIONS.map(|v| {
            (
                v.has_elicitation(),
                v.has_url_elicitation(),
                v.has_completions_capability(),
            )
        });
        assert_eq!(
            table,
            [
                (true, true, true),
                (true, false, true),
                (false, false, true),
                (false, false, false)
            ]
        );
        assert!(
            V::V2025_03_26.has_batches()
                && !V::V2025_06_18.has_batches()
                && !V::V2024_11_05.has_batches()
        );
    }
}
