//! Roots: the directories and files that a client exposes to a server (`client/roots`).
//!
//! Deprecated by SEP-2577 as of 2026-07-28. The earliest removal is the first revision released on
//! or after 2027-07-28; until then servers and clients that use roots stay valid. Pass directories
//! or files as tool arguments, as resource URIs or by server configuration instead.

use crate::{JsonObject, percent};
use serde::{Deserialize, Serialize};

/// The parameters of a `roots/list` input request: only `_meta`.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListRootsRequestParams {
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ListRootsRequestParams {
    /// Creates empty parameters, the usual ones of `roots/list`.
    #[deprecated(
        note = "SEP-2577: roots are deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; pass directories or files as tool arguments, resource URIs or configuration"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the parameters with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }

    /// Returns whether there are no members, so that `params` may be omitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meta.is_none() && self.extra.is_empty()
    }
}

/// The client's response to `roots/list`.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListRootsResult {
    /// The roots that the user exposes to the server.
    pub roots: Vec<Root>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ListRootsResult {
    /// Creates a response with these roots.
    #[deprecated(
        note = "SEP-2577: roots are deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; pass directories or files as tool arguments, resource URIs or configuration"
    )]
    #[must_use]
    pub fn new(roots: Vec<Root>) -> Self {
        Self {
            roots,
            extra: JsonObject::new(),
        }
    }

    /// Checks every root with [`Root::check`].
    ///
    /// # Errors
    /// A message that names the first invalid root and the reason.
    pub fn check(&self) -> Result<(), String> {
        self.roots.iter().try_for_each(Root::check)
    }
}

/// A directory or file that the server may work on.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// The directory or file, as a `file://` URI.
    pub uri: String,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl Root {
    /// Creates a root without a name. [`Root::check`] validates the URI.
    #[deprecated(
        note = "SEP-2577: roots are deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; pass directories or files as tool arguments, resource URIs or configuration"
    )]
    #[must_use]
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            name: None,
            meta: None,
            extra: JsonObject::new(),
        }
    }

    /// Returns the root with a display name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Returns the root with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }

    /// Checks that the URI starts with `file://` (`client/roots#root`) and that its path contains
    /// no `..` segment (`client/roots#security-considerations`).
    ///
    /// Percent-encoding is decoded once for the check, as it is when the file is opened. The file
    /// system (links, permissions) is not consulted.
    ///
    /// # Errors
    /// A message with the URI and the problem.
    pub fn check(&self) -> Result<(), String> {
        let uri = &self.uri;
        // RFC 3986, 3.1: the scheme is case-insensitive.
        let rest = match uri.split_at_checked("file://".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file://") => rest,
            _ => return Err(format!("root {uri:?} is not a file:// URI")),
        };
        let Some(path) = rest.find('/').map(|start| &rest[start..]) else {
            return Err(format!("root {uri:?} has no path"));
        };
        let path = percent::decode(path)
            .ok_or_else(|| format!("root {uri:?} has malformed percent-encoding"))?;
        if path.iter().any(|byte| byte.is_ascii_control()) {
            return Err(format!("root {uri:?} contains a control character"));
        }
        // A backslash separates segments on Windows.
        if path
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|segment| segment == b"..")
        {
            return Err(format!("root {uri:?} contains a `..` segment"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_root_keeps_its_name_meta_and_unknown_members() {
        let wire = json!({"uri": "file:///home/a", "name": "A", "_meta": {"k": 1}, "later": true});
        let root: Root = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(root.extra["later"], json!(true));
        assert_eq!(serde_json::to_value(&root).unwrap(), wire);
    }

    #[test]
    fn a_list_keeps_its_order_and_omits_absent_members() {
        let result = ListRootsResult::new(vec![
            Root::new("file:///b"),
            Root::new("file:///a").with_name("A"),
        ]);
        assert_eq!(
            serde_json::to_string(&result).unwrap(),
            r#"{"roots":[{"uri":"file:///b"},{"uri":"file:///a","name":"A"}]}"#
        );
    }

    // spec: roots-03
    #[test]
    fn only_file_uris_are_roots() {
        for good in [
            "file:///home/user",
            "FILE:///C:/work",
            "file://host/share",
            "file:///with%20space",
        ] {
            assert_eq!(Root::new(good).check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/home/user",
            "https://example.com/",
            "file:/home",
            "file://",
            "xfile:///a",
            "fil\u{e9}:///",
        ] {
            assert!(Root::new(bad).check().is_err(), "{bad}");
        }
    }

    // spec: roots-04
    #[test]
    fn parent_segments_are_rejected_in_every_encoding() {
        for bad in [
            "file:///a/../b",
            "file:///a/%2e%2e/b",
            "file:///a/..",
            "file:///a%2F..%2fb",
            "file:///a\\..\\b",
        ] {
            assert!(Root::new(bad).check().is_err(), "{bad}");
        }
        for bad in ["file:///a%00b", "file:///a%2", "file:///a%zz"] {
            assert!(Root::new(bad).check().is_err(), "{bad}");
        }
        assert_eq!(Root::new("file:///a/..b/c..").check(), Ok(()));
        assert!(
            ListRootsResult::new(vec![Root::new("file:///a"), Root::new("file:///../b")])
                .check()
                .is_err()
        );
    }
}
