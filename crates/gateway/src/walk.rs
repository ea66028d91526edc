//! Bounds for walks over the pages of an upstream's list that the gateway makes for itself.

use carryall_proto::Params;
use carryall_types::RawJson;
use std::collections::HashSet;

/// The pages of one walk together, in bytes. More than the largest listings in use, and little
/// enough for a walk to end soon whatever the size of a page is.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// How far a walk has come. How long it may take is for its caller to say.
pub(crate) struct Walk {
    seen: HashSet<String>,
    pages: usize,
    max_pages: usize,
    bytes: usize,
    max_bytes: usize,
}

/// Where a walk goes on after a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// At this cursor.
    To(String),
    /// That was the last page, or leads back to one that was read.
    Done,
    /// There is more, and it is not read: this limit is reached.
    Stopped(&'static str),
}

impl Walk {
    pub(crate) fn new(max_pages: usize) -> Self {
        Self {
            seen: HashSet::new(),
            pages: 0,
            max_pages,
            bytes: 0,
            max_bytes: MAX_BYTES,
        }
    }

    /// Turns to another list. The limit of bytes holds for all lists of a walk together.
    pub(crate) fn next_list(&mut self) {
        self.seen.clear();
        self.pages = 0;
    }

    pub(crate) fn onward(&mut self, page: &RawJson) -> Onward {
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(page.as_bytes().len());
        let next = Params::parse(page.clone())
            .ok()
            .and_then(|page| page.get("nextCursor")?.decode::<String>().ok());
        match next.filter(|next| self.seen.insert(next.clone())) {
            None => Onward::Done,
            Some(_) if self.bytes > self.max_bytes => Onward::Stopped("bytes"),
            Some(_) if self.pages >= self.max_pages => Onward::Stopped("pages"),
            Some(next) => Onward::To(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(next: &serde_json::Value, padding: usize) -> RawJson {
        RawJson::from(&json!({"tools": [], "x": "x".repeat(padding), "nextCursor": next}))
    }

    #[test]
    fn a_walk_ends_with_its_pages_or_at_a_limit() {
        let mut walk = Walk::new(3);
        assert_eq!(walk.onward(&page(&json!("a"), 0)), Onward::To("a".into()));
        assert_eq!(walk.onward(&page(&json!("b"), 0)), Onward::To("b".into()));
        assert_eq!(walk.onward(&page(&json!("c"), 0)), Onward::Stopped("pages"));
        walk.next_list();
        assert_eq!(
            walk.onward(&page(&json!("a"), 0)),
            Onward::To("a".into()),
            "of the other list"
        );
        assert_eq!(walk.onward(&page(&json!("a"), 0)), Onward::Done, "a circle");
        assert_eq!(walk.onward(&page(&json!(null), 0)), Onward::Done);
    }

    #[test]
    fn the_limit_of_bytes_holds_for_all_lists_together() {
        let mut walk = Walk {
            max_bytes: 1000,
            ..Walk::new(100)
        };
        assert_eq!(walk.onward(&page(&json!("a"), 900)), Onward::To("a".into()));
        walk.next_list();
        assert_eq!(
            walk.onward(&page(&json!("a"), 200)),
            Onward::Stopped("bytes")
        );
        assert_eq!(
            walk.onward(&page(&json!(null), 100)),
            Onward::Done,
            "all there is has been read"
        );
    }
}
