//! What a client has found out about a server
//! (`basic/versioning#backward-compatibility-with-initialization-based-versions`).

use carryall_types::ProtocolVersion;
use std::borrow::Cow;
use std::fmt;

/// Which revision a server is spoken to in, and why. Whoever decides it keeps it for all calls
/// after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraDecision {
    /// The revision; [`ProtocolVersion::is_modern`] tells the era.
    pub version: ProtocolVersion,
    /// For people: what the server did, or who said so.
    pub why: Cow<'static, str>,
}

impl fmt::Display for EraDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let era = if self.version.is_modern() {
            "modern"
        } else {
            "legacy"
        };
        write!(f, "{era} ({}): {}", self.version.as_str(), self.why)
    }
}
