//! The keys of `_meta` (`basic/index#_meta`).

/// The keys of `_meta`: the reserved ones, and the rules for all others.
pub mod meta_key {
    /// Opts a request into progress notifications.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// The protocol version of a request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// The software of the client.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// The client's capabilities for a request.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// The minimum severity of log messages for a request.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// The software of the server.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The subscription that a notification belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// W3C Trace Context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C Trace Context.
    pub const TRACESTATE: &str = "tracestate";
    /// W3C Baggage.
    pub const BAGGAGE: &str = "baggage";

    /// Returns whether `key` is well formed: an optional prefix of dot-separated labels and a
    /// slash, then a name.
    #[must_use]
    pub fn is_valid(key: &str) -> bool {
        match key.split_once('/') {
            Some((prefix, name)) => prefix.split('.').all(is_label) && is_name(name),
            None => is_name(key),
        }
    }

    /// Returns whether `key` is reserved: the second label of its prefix is `modelcontextprotocol`
    /// or `mcp`, or it is one of the reserved keys without a prefix.
    #[must_use]
    pub fn is_reserved(key: &str) -> bool {
        match key.split_once('/') {
            Some((prefix, _)) => matches!(
                prefix.split('.').nth(1),
                Some("modelcontextprotocol" | "mcp")
            ),
            None => matches!(key, PROGRESS_TOKEN | TRACEPARENT | TRACESTATE | BAGGAGE),
        }
    }

    /// Returns whether `id` is a valid extension id: a well-formed key with a prefix
    /// (`basic/versioning#extension-negotiation`).
    #[must_use]
    pub fn extension_id_is_valid(id: &str) -> bool {
        id.contains('/') && is_valid(id)
    }

    /// Matches a label: starts with a letter, ends with a letter or digit, with letters, digits and
    /// hyphens in between.
    fn is_label(label: &str) -> bool {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    }

    /// Matches a name: empty, or starts and ends with a letter or digit, with these and `-`, `_`,
    /// `.` in between.
    fn is_name(name: &str) -> bool {
        let bytes = name.as_bytes();
        let outer = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
        outer(bytes.first())
            && outer(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    }
}
