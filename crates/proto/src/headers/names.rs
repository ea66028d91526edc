//! Names of the headers that mirror body fields.

use http::HeaderName;

/// Mirrors `_meta["io.modelcontextprotocol/protocolVersion"]`.
pub static MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Mirrors the JSON-RPC `method`.
pub static MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Mirrors `params.name`, `params.uri` or `params.taskId`, whichever the method has.
pub static MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The prefix before the name of an `x-mcp-header` annotation.
pub const MCP_PARAM_PREFIX: &str = "mcp-param-";

/// The request headers a browser client sends, for `Access-Control-Allow-Headers`.
///
/// `Mcp-Param-*` headers are not in this list: CORS has no prefix wildcard, so a server that
/// annotates parameters adds their names (or, without credentials, answers `*`).
pub const CORS_REQUEST_HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cors_list_names_every_standard_header() {
        for name in [&MCP_PROTOCOL_VERSION, &MCP_METHOD, &MCP_NAME] {
            assert!(CORS_REQUEST_HEADERS.contains(&name.as_str()), "{name}");
        }
    }

    // spec: http-headers-40
    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(
            HeaderName::from_bytes(b"MCP-PROTOCOL-version").unwrap(),
            MCP_PROTOCOL_VERSION
        );
        assert_eq!(HeaderName::from_bytes(b"Mcp-METHOD").unwrap(), MCP_METHOD);
        assert_eq!(HeaderName::from_bytes(b"mcp-Name").unwrap(), MCP_NAME);
    }
}
