//! Bounds for listing all pages of an upstream on the gateway's own behalf.

use carryall_proto::Params;
use carryall_types::RawJson;
use std::collections::HashSet;

/// The bytes of all pages together: more than the largest lists in use, and few enough to end soon
/// whatever the size of a page.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bounds the pages and bytes that are fetched, and detects loops of cursors. The time is bounded by
/// the caller.
pub(crate) struct PageBudget {
    seen: HashSet<String>,
    pages: usize,
    max_pages: usize,
    bytes: usize,
    max_bytes: usize,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// The page of this cursor.
    Cursor(String),
    /// Nothing: that was the last page, or its cursor was used before.
    End,
    /// There are further pages, but this limit is reached.
    LimitReached(&'static str),
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

    /// Starts another list. The limit of bytes applies to all lists together.
    pub(crate) fn start_list(&mut self) {
        self.seen.clear();
        self.pages = 0;
    }

    /// Counts a page and returns what follows it.
    pub(crate) fn after(&mut self, page: &RawJson) -> NextPage {
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(page.as_bytes().len());
        let cursor = Params::parse(page.clone())
            .ok()
            .and_then(|page| page.get("nextCursor")?.decode::<String>().ok());
        match cursor.filter(|cursor| self.seen.insert(cursor.clone())) {
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
        assert_eq!(budget.after(&page(&json!("a"), 0)), cursor("a"));
        assert_eq!(budget.after(&page(&json!("b"), 0)), cursor("b"));
        assert_eq!(
            budget.after(&page(&json!("c"), 0)),
            NextPage::LimitReached("pages")
        );
        budget.start_list();
        assert_eq!(
            budget.after(&page(&json!("a"), 0)),
            cursor("a"),
            "of the other list"
        );
        assert_eq!(budget.after(&page(&json!("a"), 0)), NextPage::End, "a loop");
        assert_eq!(budget.after(&page(&json!(null), 0)), NextPage::End);
    }

    #[test]
    fn the_limit_of_bytes_applies_to_all_lists_together() {
        let mut budget = PageBudget {
            max_bytes: 1000,
            ..PageBudget::new(100)
        };
        assert_eq!(budget.after(&page(&json!("a"), 900)), cursor("a"));
        budget.start_list();
        assert_eq!(
            budget.after(&page(&json!("a"), 200)),
            NextPage::LimitReached("bytes")
        );
        assert_eq!(
            budget.after(&page(&json!(null), 100)),
            NextPage::End,
            "there are no further pages"
        );
    }
}
