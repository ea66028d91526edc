//! Deprecated features, and the notice that is logged once per process when one is used on the wire
//! (`docs/deprecations.md`).

use std::sync::atomic::{AtomicU8, Ordering};

/// A deprecated feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeprecatedFeature {
    /// `roots/list`.
    Roots,
    /// `sampling/createMessage`.
    Sampling,
    /// `notifications/message`.
    Logging,
    /// The transport of 2024-11-05, with one stream for all answers.
    HttpSse,
}

static NOTICED: AtomicU8 = AtomicU8::new(0);

impl DeprecatedFeature {
    /// Returns the notice for the operator.
    #[must_use]
    pub const fn notice(self) -> &'static str {
        match self {
            Self::Roots => {
                "roots are deprecated since 2026-07-28 (SEP-2577) and may be removed from 2027-07-28 on: \
                 pass directories as tool arguments, resource URIs or configuration instead"
            }
            Self::Sampling => {
                "sampling is deprecated since 2026-07-28 (SEP-2577) and may be removed from 2027-07-28 on: \
                 let the server call a model provider itself instead"
            }
            Self::Logging => {
                "logging over MCP is deprecated since 2026-07-28 (SEP-2577) and may be removed from 2027-07-28 on: \
                 log to standard error or OpenTelemetry instead"
            }
            Self::HttpSse => {
                "the HTTP+SSE transport is deprecated since 2025-03-26 (SEP-2596) and may be removed at any time: \
                 use Streamable HTTP instead"
            }
        }
    }

    /// Whether this is the first use in this process, which is the one to log.
    #[must_use]
    pub fn is_first_use(self) -> bool {
        let bit = 1 << self as u8;
        // A load first: a write on every use would contend between cores.
        NOTICED.load(Ordering::Relaxed) & bit == 0
            && NOTICED.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

#[cfg(test)]
mod tests {
    use super::DeprecatedFeature;

    // spec: lifecycle-02
    #[test]
    fn each_feature_is_noticed_once_and_by_itself() {
        for feature in [
            DeprecatedFeature::Roots,
            DeprecatedFeature::Sampling,
            DeprecatedFeature::Logging,
            DeprecatedFeature::HttpSse,
        ] {
            assert!(feature.is_first_use(), "{feature:?}");
            assert!(!feature.is_first_use(), "{feature:?}");
            assert!(
                feature.notice().contains("deprecated since") && feature.notice().contains("SEP-")
            );
        }
    }
}
