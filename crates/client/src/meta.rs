//! The `_meta` that the client sends with each request (`basic/index#_meta`).

use crate::ClientError;
use carryall_proto::{Meta, key, trace};
use carryall_types::{
    ClientCapabilities, Implementation, JsonObject, JsonValue, LoggingLevel, ProgressToken,
    ProtocolVersion,
};

/// The options of a request that are sent in its `_meta`.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetaOptions {
    pub(crate) log_level: Option<LoggingLevel>,
    pub(crate) extra: JsonObject,
}

/// The `_meta` of one protocol version, serialised once and copied into each request.
#[derive(Debug)]
pub(crate) struct MetaTemplate {
    meta: Meta,
}

impl MetaTemplate {
    pub(crate) fn new(
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        info: Option<Implementation>,
    ) -> Self {
        let mut meta = Meta::builder(version, capabilities);
        if let Some(info) = info {
            meta = meta.client_info(info);
        }
        Self { meta: meta.build() }
    }

    pub(crate) fn version(&self) -> &str {
        self.meta.version().as_str()
    }

    /// Returns the `_meta` of one request. Without options it shares the text of the template.
    pub(crate) fn render(
        &self,
        options: &MetaOptions,
        progress_token: Option<i64>,
    ) -> Result<Meta, ClientError> {
        if options.log_level.is_none() && options.extra.is_empty() && progress_token.is_none() {
            return Ok(self.meta.clone());
        }
        let token = progress_token.map(ProgressToken::Number);
        self.meta
            .extended(&options.extra, options.log_level, token)
            .map_err(|error| ClientError::Request(format!("_meta: {error}")))
    }
}

/// Checks a `_meta` member set by the user of the client.
pub(crate) fn check_member(name: &str, value: &JsonValue) -> Result<(), String> {
    const RESERVED: [&str; 5] = [
        key::PROTOCOL_VERSION,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        key::LOG_LEVEL,
        key::PROGRESS_TOKEN,
    ];
    if RESERVED.contains(&name) {
        return Err(format!("_meta member {name:?} is set by the client itself"));
    }
    if !is_meta_key(name) {
        return Err(format!(
            "{name:?} is not a _meta key: expected [prefix/]name of letters, digits, '-', '_' and '.'"
        ));
    }
    let text = value.as_str();
    let is_valid = match name {
        "traceparent" => text.is_some_and(trace::is_traceparent),
        "tracestate" => text.is_some_and(trace::is_tracestate),
        "baggage" => text.is_some_and(trace::is_baggage),
        _ => true,
    };
    if is_valid {
        Ok(())
    } else {
        Err(format!(
            "_meta member {name:?} does not have the format that W3C defines"
        ))
    }
}

/// Returns whether `id` identifies an extension: a `_meta` key with a prefix
/// (`basic/versioning#extension-negotiation`).
pub(crate) fn is_extension_id(id: &str) -> bool {
    id.contains('/') && is_meta_key(id)
}

/// Checks the naming rules of `_meta` keys: an optional prefix of dot-separated labels and a slash,
/// then a name.
fn is_meta_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_meta_prefix(prefix) && is_meta_name(name),
        None => is_meta_name(key),
    }
}

fn is_meta_prefix(prefix: &str) -> bool {
    prefix.split('.').all(|label| {
        let bytes = label.as_bytes();
        let inner = bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let ends = bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
        inner && ends
    })
}

fn is_meta_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    // The name may be empty after a prefix; the key as a whole may not.
    let ends = bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric);
    inner && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: meta-02, meta-03, meta-06, meta-07, versioning-05
    #[test]
    fn meta_keys_follow_the_naming_rules() {
        for valid in [
            "a",
            "traceparent",
            "com.example/x",
            "com.example/",
            "a-b.c1/x.y_z-1",
            "x/1",
        ] {
            assert!(is_meta_key(valid), "{valid}");
        }
        for invalid in [
            "/x", "1a.b/x", "a-/x", "a..b/x", "a/_x", "a/x.", "a b", "a/b/c", "ä/x", "a_b/x",
        ] {
            assert!(!is_meta_key(invalid), "{invalid}");
        }
        assert!(is_extension_id("com.example/thing") && !is_extension_id("thing"));
    }

    // spec: meta-21
    #[test]
    fn trace_context_must_be_well_formed() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(check_member("traceparent", &parent.into()), Ok(()));
        assert!(check_member("traceparent", &"00-00".into()).is_err());
        assert!(check_member("tracestate", &JsonValue::from(1)).is_err());
        assert!(check_member("baggage", &"a=1,b=2".into()).is_ok());
    }

    #[test]
    fn reserved_members_are_refused() {
        let error = check_member(key::PROTOCOL_VERSION, &"1900-01-01".into()).unwrap_err();
        assert!(error.contains("set by the client itself"), "{error}");
    }
}
