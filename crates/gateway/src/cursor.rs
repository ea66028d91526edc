//! Cursors of merged lists: for each upstream that has more, its own cursor
//! (`server/utilities/pagination`).
//!
//! Any gateway with the same upstreams continues where another stopped. Nothing in a cursor is
//! trusted: names must be known, and what an upstream's part is worth the upstream decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_types::{ErrorObject, Method};

/// Longer cursors are not read. Room for a few dozen upstreams with cursors of ordinary length.
const MAX_BYTES: usize = 64 * 1024;

/// Where each upstream goes on, in the order of upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergedCursor {
    /// An earlier page was private, so that all are: pages of one list have the same scope
    /// (`server/utilities/caching#interaction-with-pagination`).
    pub(crate) private: bool,
    pub(crate) parts: Vec<(String, String)>,
}

impl MergedCursor {
    /// The cursor as text; `None` when no upstream has more.
    pub(crate) fn encode(&self, list: &Method) -> Option<String> {
        if self.parts.is_empty() {
            return None;
        }
        let text = serde_json::to_vec(&(list.as_str(), self.private, &self.parts)).ok()?;
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// Reads what [`encode`](Self::encode) returned for the same list. `is_known` says which
    /// upstreams there are.
    pub(crate) fn decode(
        list: &Method,
        text: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, ErrorObject> {
        let bad =
            || ErrorObject::invalid_params("Invalid cursor: begin the list anew, without one");
        if text.len() > MAX_BYTES {
            return Err(bad());
        }
        let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let (of, private, parts): (String, bool, Vec<(String, String)>) =
            serde_json::from_slice(&text).map_err(|_| bad())?;
        let distinct = parts
            .iter()
            .enumerate()
            .all(|(at, (name, _))| parts[..at].iter().all(|(other, _)| other != name));
        let known = parts.iter().all(|(name, _)| is_known(name));
        if of == list.as_str() && !parts.is_empty() && distinct && known {
            Ok(Self { private, parts })
        } else {
            Err(bad())
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
    fn what_was_not_made_here_is_invalid() {
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
        for bad in [
            "",
            "x",
            "not a cursor",
            "e30",
            &foreign,
            &long,
            &twice,
            &unknown,
        ] {
            assert_eq!(decode(bad).unwrap_err().code, -32602, "{bad}");
        }
        assert_eq!(MergedCursor::default().encode(&Method::ToolsList), None);
    }

    proptest! {
        // spec: gateway-derived-06
        #[test]
        fn every_upstream_gets_its_own_cursor_back(
            cursors in proptest::collection::vec("\\PC{0,40}", 1..9),
            private: bool,
        ) {
            let parts = cursors.into_iter().enumerate().map(|(at, cursor)| (at.to_string(), cursor)).collect();
            let cursor = MergedCursor { private, parts };
            prop_assert_eq!(decode(&cursor.encode(&Method::ToolsList).unwrap()), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[A-Za-z0-9_-]{0,60}") {
            let _ = decode(&text);
        }
    }
}
