//! Bounds for fetching all pages of a list from an upstream.

use carryall_proto::Params;
use carryall_types::RawJson;
use std::collections::HashSet;

/// Maximum size of all pages together. Larger than any list known to be in use. It bounds the work
/// for an upstream that sends very large pages.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Limits the number and size of the fetched pages, and detects cursor loops. The caller limits the
/// time.
pub(crate) struct PageBudget {
    seen_cursors: HashSet<String>,
    pages: usize,
    max_pages: usize,
    bytes: usize,
    max_bytes: usize,
}

/// How to continue after a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// Fetch the next page with this cursor.
    Cursor(String),
    /// Stop: this was the last page, or its `nextCursor` was used before.
    End,
    /// Stop: there are further pages, but the limit of this name (`bytes` or `pages`) is reached.
    LimitReached(&'static str),
}

impl PageBudget {
    pub(crate) fn new(max_pages: usize) -> Self {
        Self {
            seen_cursors: HashSet::new(),
            pages: 0,
            max_pages,
            bytes: 0,
            max_bytes: MAX_BYTES,
        }
    }

    /// Starts another list. The page limit applies to each list, the byte limit to all lists
    /// together.
    pub(crate) fn start_list(&mut self) {
        self.seen_cursors.clear();
        self.pages = 0;
    }

    /// Counts a fetched page and returns how to continue.
    pub(crate) fn count_page(&mut self, page: &RawJson) -> NextPage {
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(page.as_bytes().len());
        let cursor = Params::parse(page.clone())
            .ok()
            .and_then(|page| page.get("nextCursor")?.decode::<String>().ok());
        match cursor.filter(|cursor| self.seen_cursors.insert(cursor.clone())) {
            None => NextPage::End,
            Some(_) if self.bytes > self.max_bytes => NextPage::LimitReached("bytes"),
            Some(_) if self.pages >= self.max_pages => NextPage::LimitReached("pages"),
            Some(cursor) => NextPage::Cursor(cursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn page(next: &Value, padding: usize) -> RawJson {
        RawJson::from(&json!({"tools": [], "x": "x".repeat(padding), "nextCursor": next}))
    }

    fn cursor(name: &str) -> NextPage {
        NextPage::Cursor(name.into())
    }

    #[test]
    fn a_list_ends_with_its_last_page_at_a_loop_or_at_a_limit() {
        let mut budget = PageBudget::new(3);
        assert_eq!(budget.count_page(&page(&json!("a"), 0)), cursor("a"));
        assert_eq!(budget.count_page(&page(&json!("b"), 0)), cursor("b"));
        assert_eq!(
            budget.count_page(&page(&json!("c"), 0)),
            NextPage::LimitReached("pages")
        );
        budget.start_list();
        assert_eq!(
            budget.count_page(&page(&json!("a"), 0)),
            cursor("a"),
            "cursors of an earlier list do not count"
        );
        assert_eq!(
            budget.count_page(&page(&json!("a"), 0)),
            NextPage::End,
            "a loop"
        );
        assert_eq!(budget.count_page(&page(&json!(null), 0)), NextPage::End);
    }

    #[test]
    fn the_byte_limit_applies_to_all_lists_together() {
        let mut budget = PageBudget {
            max_bytes: 1000,
            ..PageBudget::new(100)
        };
        assert_eq!(budget.count_page(&page(&json!("a"), 900)), cursor("a"));
        budget.start_list();
        assert_eq!(
            budget.count_page(&page(&json!("a"), 200)),
            NextPage::LimitReached("bytes")
        );
        assert_eq!(
            budget.count_page(&page(&json!(null), 100)),
            NextPage::End,
            "there are no further pages"
        );
    }
}
