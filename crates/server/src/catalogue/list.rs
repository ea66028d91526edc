//! One list of the catalogue, and its pages (`server/utilities/pagination`).

use crate::call::errors::concise;
use crate::call::result_writer::{CachePolicy, ResultWriter};
use crate::state::sealer::Sealer;
use carryall_proto::Principal;
use carryall_proto::cursor::Cursor;
use carryall_types::{CacheScope, ErrorObject, Method, RawJson};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// The longest name or URI of an entry. A longer one would not fit into a cursor, and the pages
/// behind it could not be reached.
const MAX_KEY_BYTES: usize = 4096;

/// The page size of lists, and how long they may be cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListSettings {
    pub(crate) page_size: usize,
    pub(crate) cache: CachePolicy,
}

impl ListSettings {
    /// Returns how long a page may be cached. Where callers see different lists, no page may be
    /// shared.
    pub(crate) fn cache_of(self, is_restricted: bool) -> CachePolicy {
        let mut cache = self.cache;
        if is_restricted {
            cache.scope = CacheScope::Private;
        }
        cache
    }
}

/// An entry of a list.
pub(crate) trait Listed {
    fn key(&self) -> &str;
    /// The entry as lists show it.
    fn json(&self) -> &RawJson;
    fn allows(&self, caller: Option<&Principal>) -> bool;
    /// Whether some callers may not know of the entry.
    fn is_restricted(&self) -> bool;
}

/// The method that returns a list, and the member of its result that has the entries.
#[derive(Debug)]
pub(crate) struct ListKind {
    pub(crate) method: Method,
    member: &'static str,
}

impl ListKind {
    pub(crate) const TOOLS: Self = Self {
        method: Method::ToolsList,
        member: "tools",
    };
    pub(crate) const PROMPTS: Self = Self {
        method: Method::PromptsList,
        member: "prompts",
    };
    pub(crate) const RESOURCES: Self = Self {
        method: Method::ResourcesList,
        member: "resources",
    };
    pub(crate) const TEMPLATES: Self = Self {
        method: Method::ResourcesTemplatesList,
        member: "resourceTemplates",
    };

    pub(crate) fn member(&self) -> &'static str {
        self.member
    }

    /// Whether an entry may have this key.
    pub(crate) fn is_valid_key(key: &str) -> bool {
        key.len() <= MAX_KEY_BYTES
    }
}

/// The cursors of one list, for one caller.
pub(crate) struct PageCursors<'a> {
    list: &'a str,
    caller: Option<&'a Principal>,
    /// Seals cursors for their caller, where callers see different lists: the name in one may be a
    /// name that others must not know.
    sealer: Option<&'a Sealer>,
}

impl<'a> PageCursors<'a> {
    pub(crate) fn new(
        kind: &'a ListKind,
        caller: Option<&'a Principal>,
        sealer: Option<&'a Sealer>,
    ) -> Self {
        let list = kind.method.as_str();
        Self {
            list,
            caller,
            sealer,
        }
    }

    /// Returns the key that the page of a cursor comes after.
    ///
    /// # Errors
    /// `-32602`, when the cursor is not one of this list for this caller.
    pub(crate) fn open(&self, cursor: &str) -> Result<String, ErrorObject> {
        Ok(match self.sealer {
            Some(sealer) => sealer
                .open_cursor(self.list, self.caller, cursor)?
                .after
                .into(),
            None => Cursor::decode(self.list, cursor)?.after.into(),
        })
    }

    /// Returns the cursor of the page that comes after a key.
    pub(crate) fn after(&self, key: &str) -> Option<String> {
        let cursor = Cursor::new(self.list, key);
        match self.sealer {
            Some(sealer) => sealer.seal_cursor(&cursor, self.caller),
            None => cursor.encode().ok(),
        }
    }
}

/// Which page of a list is asked for, and by whom.
#[derive(Clone, Copy, Default)]
pub(crate) struct PageRequest<'a> {
    pub(crate) cursor: Option<&'a str>,
    pub(crate) caller: Option<&'a Principal>,
    /// Seals cursors, where all replicas have the keys.
    pub(crate) sealer: Option<&'a Sealer>,
}

/// Entries by key, in the order of their keys.
pub(crate) struct List<T> {
    entries: BTreeMap<Box<str>, Arc<T>>,
    index: HashMap<Box<str>, Arc<T>>,
    first_page: Option<RawJson>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            index: HashMap::new(),
            first_page: None,
        }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            index: self.index.clone(),
            first_page: self.first_page.clone(),
        }
    }
}

impl<T: Listed> List<T> {
    /// Returns the entry under `key`, unless the caller may not know of it.
    pub(crate) fn get(&self, key: &str, caller: Option<&Principal>) -> Option<&Arc<T>> {
        self.find(key).filter(|entry| entry.allows(caller))
    }

    /// Returns the entry under `key`, whoever may know of it.
    pub(crate) fn find(&self, key: &str) -> Option<&Arc<T>> {
        self.index.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.entries.values()
    }

    /// Returns the entries after `key`, in the order of their keys, whoever may know of them.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = &Arc<T>> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.entries.range::<str, _>((start, Bound::Unbounded));
        range.map(|(_, entry)| entry)
    }

    pub(crate) fn is_restricted(&self) -> bool {
        self.entries.values().any(|entry| entry.is_restricted())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry. Returns `false` if it replaced another one with its key.
    ///
    /// # Errors
    /// When the key is too long.
    pub(crate) fn insert(&mut self, entry: T) -> Result<bool, String> {
        let key: Box<str> = entry.key().into();
        if !ListKind::is_valid_key(&key) {
            return Err(format!(
                "{:?} is longer than {MAX_KEY_BYTES} bytes",
                concise(&key)
            ));
        }
        let entry = Arc::new(entry);
        self.index.insert(key.clone(), Arc::clone(&entry));
        Ok(self.entries.insert(key, entry).is_none())
    }

    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.index.remove(key);
        self.entries.remove(key).is_some()
    }

    /// Renders the first page in advance, if it is the same for every caller.
    pub(super) fn render_first_page(
        &mut self,
        kind: &ListKind,
        settings: ListSettings,
        results: &ResultWriter,
    ) {
        self.first_page = None;
        if !self.is_restricted() {
            self.first_page = self
                .page(kind, PageRequest::default(), settings, results)
                .ok();
        }
    }

    /// Returns a page as its caller may see it.
    ///
    /// # Errors
    /// `-32602`, when the cursor is not one of this list for this caller.
    pub(crate) fn page(
        &self,
        kind: &ListKind,
        request: PageRequest<'_>,
        settings: ListSettings,
        results: &ResultWriter,
    ) -> Result<RawJson, ErrorObject> {
        let is_restricted = self.is_restricted();
        let sealer = request.sealer.filter(|_| is_restricted);
        let cursors = PageCursors::new(kind, request.caller, sealer);
        let after = match (request.cursor, &self.first_page) {
            (None, Some(page)) => return Ok(page.clone()),
            (None, None) => None,
            (Some(cursor), _) => Some(cursors.open(cursor)?),
        };
        let mut visible = self
            .after(after.as_deref())
            .filter(|entry| entry.allows(request.caller));
        let page: Vec<&Arc<T>> = visible.by_ref().take(settings.page_size).collect();
        let next = match (visible.next(), page.last()) {
            (Some(_), Some(last)) => cursors.after(last.key()),
            _ => None,
        };
        Ok(results.page(
            kind.member,
            page.iter().map(|entry| entry.json()),
            next.as_deref(),
            settings.cache_of(is_restricted),
        ))
    }
}

/// Whether any caller may see a difference between two lists. Access rules cannot be compared, so
/// that a restricted entry that was replaced counts as different.
pub(crate) fn differs<T: Listed>(before: &List<T>, after: &List<T>) -> bool {
    let is_same = |(old, new): (&Arc<T>, &Arc<T>)| {
        let is_same_rule = Arc::ptr_eq(old, new) || !(old.is_restricted() || new.is_restricted());
        old.key() == new.key() && old.json() == new.json() && is_same_rule
    };
    before.entries.len() != after.entries.len() || !before.iter().zip(after.iter()).all(is_same)
}
