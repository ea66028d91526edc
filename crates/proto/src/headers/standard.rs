//! The three standard headers: parsed for routing, or checked against the body.

use super::names::{MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION};
use super::{HeaderMismatch, decode_value, value::visible};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

const VERSION: &str = "MCP-Protocol-Version";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";

/// The standard headers of one request. Absent headers are `None`; whether that is an error depends
/// on the method and the era.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandardHeaders<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`, decoded.
    pub name: Option<Cow<'a, str>>,
}

impl<'a> StandardHeaders<'a> {
    /// Parses the standard headers without the body, as a router does.
    ///
    /// # Errors
    /// When a header is malformed or occurs twice, even with equal values: what is behind may use
    /// either.
    pub fn parse(headers: &'a HeaderMap) -> Result<Self, HeaderMismatch> {
        RawStandardHeaders::find(headers)?.parse()
    }
}

/// The undecoded values of the standard headers.
#[derive(Default)]
struct RawStandardHeaders<'a> {
    version: Option<&'a HeaderValue>,
    method: Option<&'a HeaderValue>,
    name: Option<&'a HeaderValue>,
}

impl<'a> RawStandardHeaders<'a> {
    fn find(headers: &'a HeaderMap) -> Result<Self, HeaderMismatch> {
        // One pass over the few headers of a request is cheaper than three look-ups.
        let mut raw = Self::default();
        for (header, value) in headers {
            let (slot, shown) = if *header == MCP_PROTOCOL_VERSION {
                (&mut raw.version, VERSION)
            } else if *header == MCP_METHOD {
                (&mut raw.method, METHOD)
            } else if *header == MCP_NAME {
                (&mut raw.name, NAME)
            } else {
                continue;
            };
            if slot.replace(value).is_some() {
                return Err(HeaderMismatch::repeated(shown));
            }
        }
        Ok(raw)
    }

    fn parse(self) -> Result<StandardHeaders<'a>, HeaderMismatch> {
        let malformed = |why| HeaderMismatch::malformed(NAME, why);
        Ok(StandardHeaders {
            version: self.version.map(|raw| plain(raw, VERSION)).transpose()?,
            method: self.method.map(|raw| plain(raw, METHOD)).transpose()?,
            name: self
                .name
                .map(|raw| decode_value(raw.as_bytes()).map_err(malformed))
                .transpose()?,
        })
    }
}

/// Compares the standard headers with the body
/// (`basic/transports/streamable-http#server-validation`).
///
/// `body_version` is `None` if the body has no version to compare with; the header is required
/// nevertheless. `name` is the member of the body that `Mcp-Name` mirrors, for methods that have
/// one; for the others the header is ignored unless it is malformed.
///
/// # Errors
/// When a header is missing, repeated, malformed or differs from the body.
pub fn check_standard(
    headers: &HeaderMap,
    body_version: Option<&str>,
    method: &str,
    name: Option<&str>,
) -> Result<(), HeaderMismatch> {
    let raw = RawStandardHeaders::find(headers)?;
    // Nearly always the values are the very text of the body, and nothing has to be decoded.
    let equals = |raw: Option<&HeaderValue>, body: &str| {
        raw.is_some_and(|raw| raw.as_bytes() == body.as_bytes()) && body.is_ascii()
    };
    if body_version.is_some_and(|version| equals(raw.version, version))
        && equals(raw.method, method)
        && name.map_or(raw.name.is_none(), |name| {
            let is_literal = !name.starts_with("=?") && name.trim_ascii().len() == name.len();
            is_literal && equals(raw.name, name)
        })
    {
        return Ok(());
    }
    let headers = raw.parse()?;
    let version = headers
        .version
        .ok_or_else(|| HeaderMismatch::missing(VERSION))?;
    if let Some(body_version) = body_version {
        compare(VERSION, version, body_version)?;
    }
    let header_method = headers
        .method
        .ok_or_else(|| HeaderMismatch::missing(METHOD))?;
    compare(METHOD, header_method, method)?;
    if let Some(name) = name {
        let header_name = headers.name.ok_or_else(|| HeaderMismatch::missing(NAME))?;
        compare(NAME, &header_name, name)?;
    }
    Ok(())
}

/// Returns the only value of a header, `None` if the header is absent.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &str,
) -> Result<Option<&'a HeaderValue>, HeaderMismatch> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(HeaderMismatch::repeated(shown));
    }
    Ok(first)
}

fn plain<'a>(raw: &'a HeaderValue, shown: &str) -> Result<&'a str, HeaderMismatch> {
    visible(raw.as_bytes()).map_err(|why| HeaderMismatch::malformed(shown, why))
}

fn compare(header: &str, value: &str, body: &str) -> Result<(), HeaderMismatch> {
    if value == body {
        Ok(())
    } else {
        Err(HeaderMismatch::differs(header, value, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn call(version: &str, method: &str, name: &str) -> HeaderMap {
        headers(&[
            ("mcp-protocol-version", version),
            ("mcp-method", method),
            ("mcp-name", name),
        ])
    }

    fn check(headers: &HeaderMap) -> Result<(), HeaderMismatch> {
        check_standard(headers, Some("2026-07-28"), "tools/call", Some("add"))
    }

    // spec: http-headers-35, http-headers-edge-08
    #[test]
    fn agreeing_headers_pass_with_or_without_white_space() {
        assert_eq!(check(&call("2026-07-28", "tools/call", "add")), Ok(()));
        assert_eq!(
            check(&call(" 2026-07-28\t", "\ttools/call", "  add ")),
            Ok(())
        );
        assert_eq!(
            check_standard(
                &call("2026-07-28", "tools/list", "x"),
                Some("2026-07-28"),
                "tools/list",
                None
            ),
            Ok(())
        );
    }

    // spec: http-headers-41, http-headers-edge-09
    #[test]
    fn any_difference_is_refused_including_case() {
        for bad in [
            call("2025-11-25", "tools/call", "add"),
            call("2026-07-28", "Tools/Call", "add"),
            call("2026-07-28", "tools/list", "add"),
            call("2026-07-28", "tools/call", "Add"),
            call("2026-07-28", "tools/call", "add, add"),
            call("2026-07-28", "=?base64?dG9vbHMvY2FsbA==?=", "add"),
        ] {
            assert_eq!(check(&bad).unwrap_err().to_error().code, -32020);
        }
    }

    #[test]
    fn each_required_header_must_be_there() {
        for gone in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
            let mut map = call("2026-07-28", "tools/call", "add");
            map.remove(gone);
            let message = check(&map).unwrap_err().message().to_lowercase();
            assert!(
                message.contains(gone) && message.contains("missing"),
                "{message}"
            );
        }
    }

    #[test]
    fn two_values_are_refused_even_when_equal_and_even_when_unused() {
        for twice in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
            let mut map = call("2026-07-28", "tools/list", "add");
            let value = map[twice].clone();
            map.append(twice, value);
            assert!(
                check_standard(&map, Some("2026-07-28"), "tools/list", None).is_err(),
                "{twice}"
            );
            assert!(StandardHeaders::parse(&map).is_err(), "{twice}");
        }
    }

    // spec: http-headers-29
    #[test]
    fn names_are_decoded_before_they_are_compared() {
        let map = call("2026-07-28", "tools/call", "=?base64?6L+95Yqg?=");
        assert_eq!(
            StandardHeaders::parse(&map).unwrap().name.as_deref(),
            Some("追加")
        );
        assert_eq!(
            check_standard(&map, Some("2026-07-28"), "tools/call", Some("追加")),
            Ok(())
        );
        assert!(
            check_standard(
                &map,
                Some("2026-07-28"),
                "tools/call",
                Some("=?base64?6L+95Yqg?=")
            )
            .is_err()
        );
        assert!(
            check(&call("2026-07-28", "tools/call", "=?base64?YWRk=?=")).is_err(),
            "bad padding"
        );
    }

    #[test]
    fn a_task_id_is_compared_like_any_name() {
        let map = call("2026-07-28", "tasks/get", "t-1");
        assert_eq!(
            check_standard(&map, Some("2026-07-28"), "tasks/get", Some("t-1")),
            Ok(())
        );
        assert_eq!(
            check_standard(&map, Some("2026-07-28"), "tasks/get", Some("t-2"))
                .unwrap_err()
                .to_error()
                .code,
            -32020
        );
    }

    #[test]
    fn bytes_outside_ascii_are_refused() {
        let mut map = call("2026-07-28", "tools/list", "x");
        map.insert("mcp-name", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap());
        assert!(check_standard(&map, Some("2026-07-28"), "tools/list", None).is_err());
        map.insert("mcp-name", HeaderValue::from_static("x"));
        map.insert(
            "mcp-method",
            HeaderValue::from_bytes(b"tools/list\xff").unwrap(),
        );
        assert!(check_standard(&map, Some("2026-07-28"), "tools/list", None).is_err());
    }

    #[test]
    fn without_a_body_version_the_header_is_still_required() {
        let mut map = call("2099-01-01", "tools/call", "add");
        assert_eq!(
            check_standard(&map, None, "tools/call", Some("add")),
            Ok(())
        );
        map.remove("mcp-protocol-version");
        assert!(check_standard(&map, None, "tools/call", Some("add")).is_err());
    }
}
