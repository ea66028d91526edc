//! Cursors of merged lists: the cursors of all upstreams with further pages
//! (`server/utilities/pagination`).
//!
//! Any gateway with the same upstreams can continue a list. Cursors are not trusted: the names in
//! them must be known, and each upstream checks its own part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_types::{ErrorObject, Method};

/// The longest cursor accepted: room for a few dozen upstreams with cursors of ordinary length.
const MAX_BYTES: usize = 64 * 1024;

/// The cursors of the upstreams, in the order of the upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergedCursor {
    /// Whether an earlier page was private. All pages of a list have the same scope
    /// (`server/utilities/caching#interaction-with-pagination`).
    pub(crate) private: bool,
    /// Names of upstreams and their cursors.
    pub(crate) parts: Vec<(String, String)>,
}

impl MergedCursor {
    /// Encodes the cursor; `None` if no upstream has further pages.
    pub(crate) fn encode(&self, list: &Method) -> Option<String> {
        if self.parts.is_empty() {
            return None;
        }
        let text = serde_json::to_vec(&(list.as_str(), self.private, &self.parts)).ok()?;
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// Decodes a cursor that [`encode`](Self::encode) returned for the same list. `is_known` returns
    /// whether there is an upstream of that name.
    pub(crate) fn decode(
        list: &Method,
        text: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, ErrorObject> {
        let invalid = || {
            ErrorObject::invalid_params(
                "Invalid cursor: list again from the start, without a cursor",
            )
        };
        if text.len() > MAX_BYTES {
            return Err(invalid());
        }
        let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let (encoded_list, private, parts): (String, bool, Vec<(String, String)>) =
            serde_json::from_slice(&text).map_err(|_| invalid())?;
        let distinct = parts
            .iter()
            .enumerate()
            .all(|(at, (name, _))| parts[..at].iter().all(|(other, _)| other != name));
        let known = parts.iter().all(|(name, _)| is_known(name));
        if encoded_list == list.as_str() && !parts.is_empty() && distinct && known {
            Ok(Self { private, parts })
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(text: &str) -> Result<MergedCursor, ErrorObject> {
        MergedCursor::decode(&Method::ToolsList, text, |name| name.len() <= 2)
    }

    // spec: pagination-05
    #[test]
    fn cursors_of_other_origin_are_invalid() {
        let cursor = |parts: &[(&str, &str)]| {
            let parts = parts
                .iter()
                .map(|(name, cursor)| ((*name).to_owned(), (*cursor).to_owned()))
                .collect();
            MergedCursor {
                private: false,
                parts,
            }
            .encode(&Method::ToolsList)
            .unwrap()
        };
        assert!(decode(&cursor(&[("a", "1"), ("b", "2")])).is_ok());
        let parts = vec![("a".into(), "1".into())];
        let foreign = MergedCursor {
            private: false,
            parts,
        }
        .encode(&Method::PromptsList)
        .unwrap();
        let long = "A".repeat(MAX_BYTES + 1);
        let twice = cursor(&[("a", "1"), ("a", "2")]);
        let unknown = cursor(&[("weather", "1")]);
        for invalid in [
            "",
            "x",
            "not a cursor",
            "e30",
            &foreign,
            &long,
            &twice,
            &unknown,
        ] {
            assert_eq!(decode(invalid).unwrap_err().code, -32602, "{invalid}");
        }
        assert_eq!(MergedCursor::default().encode(&Method::ToolsList), None);
    }

    proptest! {
        // spec: gateway-derived-06
        #[test]
        fn every_upstream_receives_its_own_cursor(
            cursors in proptest::collection::vec("\\PC{0,40}", 1..9),
            private: bool,
        ) {
            let parts = cursors.into_iter().enumerate().map(|(at, cursor)| (at.to_string(), cursor)).collect();
            let cursor = MergedCursor { private, parts };
            prop_assert_eq!(decode(&cursor.encode(&Method::ToolsList).unwrap()), Ok(cursor));
        }

        #[test]
        fn decoding_never_panics(text in "\\PC{0,60}|[A-Za-z0-9_-]{0,60}") {
            let _ = decode(&text);
        }
    }
}
