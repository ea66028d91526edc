//! Which era a server belongs to, as detected by a client
//! (`basic/versioning#backward-compatibility-with-initialization-based-versions`).

use carryall_types::ProtocolVersion;
use std::borrow::Cow;
use std::fmt;

/// Which revision a server is called in, and why. Decided once per server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraDecision {
    /// The revision; [`ProtocolVersion::is_modern`] tells the era.
    pub version: ProtocolVersion,
    /// The reason, for display: what the server did, or which configuration said so.
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
