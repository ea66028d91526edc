//! What each revision has. One table; nobody else compares versions.

use carryall_types::ProtocolVersion;

/// The revisions with a handshake, the newest first.
pub const REVISIONS: [ProtocolVersion; 4] = [
    ProtocolVersion::V2025_11_25,
    ProtocolVersion::V2025_06_18,
    ProtocolVersion::V2025_03_26,
    ProtocolVersion::V2024_11_05,
];

/// What differs between the revisions.
pub(crate) trait Revision {
    /// Whether several messages may come in one array: 2025-03-26 only.
    fn has_batches(self) -> bool;
    /// Whether requests after the handshake name the version in a header (`MCP-Protocol-Version`).
    fn sends_version_header(self) -> bool;
    /// Whether servers may ask the user by form.
    fn has_elicitation(self) -> bool;
    /// Whether servers may ask by URL, and announce that it is done
    /// (`notifications/elicitation/complete`).
    fn has_url_elicitation(self) -> bool;
    /// Whether sampling may come with tools.
    fn has_sampling_tools(self) -> bool;
    /// Whether there are the experimental tasks.
    fn has_tasks(self) -> bool;
    /// Whether streams begin with an event id and may be closed by the server before the answer, to
    /// be polled.
    fn has_polling(self) -> bool;
    /// Whether completion is a declared capability, tools have annotations, content may be audio,
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

/// The revision to answer `initialize` with: the one asked for if it is known, else the newest one,
/// which the client may decline (2025-11-25 `basic/lifecycle#version-negotiation`).
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
    fn a_known_revision_is_taken_and_any_other_gets_the_newest() {
        for known in REVISIONS {
            assert_eq!(negotiate(known.as_str()), known);
        }
        for unknown in ["2026-07-28", "2099-01-01", "1.0", ""] {
            assert_eq!(negotiate(unknown), ProtocolVersion::V2025_11_25);
        }
    }

    #[test]
    fn revisions_grow() {
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
