//! Bounds for walks over the pages of an upstream's list that the gateway makes for itself.

use carryall_proto::Params;
use carryall_types::RawJson;
use std::collections::HashSet;

/// The pages of one walk together, in bytes. More than the largest listings in use, and little
/// enough for a walk to end soon whatever the size of a page is.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// How far a walk has come. How long it may take is for its caller to say.
pub(crate) struct PageBudget {
    seen: HashSet<String>,
    pages: usize,
    max_pages: usize,
    bytes: usize,
    max_bytes: usize,
}

/// Where a walk goes on after a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// At this cursor.
    To(String),
    /// That was the last page, or leads back to one that was read.
    Done,
    /// There is more, and it is not read: this limit is reached.
    Stopped(&'static str),
}

impl PageBudget {
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

    pub(crate) fn onward(&mut self, page: &RawJson) -> NextPage {
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(page.as_bytes().len());
        let next = Params::parse(page.clone())
            .ok()
            .and_then(|page| page.get("nextCursor")?.decode::<String>().ok());
        match next.filter(|next| self.seen.insert(next.clone())) {
            None => NextPage::Done,
            Some(_) if self.bytes > self.max_bytes => NextPage::Stopped("bytes"),
            Some(_) if self.pages >= self.max_pages => NextPage::Stopped("pages"),
            Some(next) => NextPage::To(next),
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
        let mut walk = PageBudget::new(3);
        assert_eq!(walk.onward(&page(&json!("a"), 0)), NextPage::To("a".into()));
        assert_eq!(walk.onward(&page(&json!("b"), 0)), NextPage::To("b".into()));
        assert_eq!(
            walk.onward(&page(&json!("c"), 0)),
            NextPage::Stopped("pages")
        );
        walk.next_list();
        assert_eq!(
            walk.onward(&page(&json!("a"), 0)),
            NextPage::To("a".into()),
            "of the other list"
        );
        assert_eq!(
            walk.onward(&page(&json!("a"), 0)),
            NextPage::Done,
            "a circle"
        );
        assert_eq!(walk.onward(&page(&json!(null), 0)), NextPage::Done);
    }

    #[test]
    fn the_limit_of_bytes_holds_for_all_lists_together() {
        let mut walk = PageBudget {
            max_bytes: 1000,
            ..PageBudget::new(100)
        };
        assert_eq!(
            walk.onward(&page(&json!("a"), 900)),
            NextPage::To("a".into())
        );
        walk.next_list();
        assert_eq!(
            walk.onward(&page(&json!("a"), 200)),
            NextPage::Stopped("bytes")
        );
        assert_eq!(
            walk.onward(&page(&json!(null), 100)),
            NextPage::Done,
            "all there is has been read"
        );
    }
}
