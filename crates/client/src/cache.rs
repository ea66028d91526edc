//! Caches responses for as long as the server allows (`server/utilities/caching`).

use carryall_proto::freshness::{Audience, CacheKey, Freshness, Invalidation, may_cache};
use carryall_proto::sync::Mutex;
use carryall_types::{JsonObject, RawJson};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// The default bounds of a cache.
const MAX_ENTRIES: usize = 512;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A response cache. Clones share it, and so may clients: entries are kept apart by server, and
/// private ones by authorization context.
///
/// Bounded in entries and in bytes of text; the least recently used entry is evicted first. It
/// starts no background work: freshness is checked when an entry is looked up.
///
/// ```
/// # use carryall_client::{Client, ClientBuilder, ResponseCache};
/// // Two clients of different servers share at most 4 MiB.
/// let cache = ResponseCache::new(256, 4 * 1024 * 1024);
/// let builders: Vec<ClientBuilder> = (0..2)
///     .map(|_| Client::builder().cache(cache.clone()))
///     .collect();
/// ```
#[derive(Clone)]
pub struct ResponseCache {
    entries: Arc<Mutex<CacheEntries>>,
    origin: Instant,
}

struct CacheEntries {
    by_key: HashMap<(Arc<str>, CacheKey), CacheEntry>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
    /// The number of uses so far, which orders entries by their last use.
    uses: u64,
    /// The number of invalidations so far. A response requested before an invalidation and received
    /// after it may be stale and is not cached.
    epoch: u64,
}

struct CacheEntry {
    result: RawJson,
    freshness: Freshness,
    last_use: u64,
}

/// The part of a cache that one client sees: its server and its authorization context.
#[derive(Clone, Debug)]
pub(crate) struct CacheView {
    pub(crate) cache: ResponseCache,
    pub(crate) server_id: Arc<str>,
    pub(crate) auth_context: Arc<str>,
}

impl Default for ResponseCache {
    /// A cache of at most 512 responses and 16 MiB of text.
    fn default() -> Self {
        Self::new(MAX_ENTRIES, MAX_BYTES)
    }
}

impl ResponseCache {
    /// Creates a cache of at most `max_entries` responses with at most `max_bytes` of text.
    #[must_use]
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        let entries = CacheEntries {
            by_key: HashMap::new(),
            bytes: 0,
            max_entries,
            max_bytes,
            uses: 0,
            epoch: 0,
        };
        Self {
            entries: Arc::new(Mutex::new(entries)),
            origin: Instant::now(),
        }
    }

    /// Returns the number of cached responses, stale ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Returns whether the cache is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all responses.
    pub fn clear(&self) {
        let mut entries = self.lock();
        entries.by_key.clear();
        entries.bytes = 0;
        entries.epoch += 1;
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, CacheEntries> {
        self.entries.lock()
    }
}

impl CacheView {
    /// Returns the key of private responses to this request.
    pub(crate) fn key(&self, method: &str, params: &JsonObject) -> CacheKey {
        CacheKey::new(
            method,
            Some(params),
            Audience::Private((*self.auth_context).into()),
        )
    }

    /// Returns a fresh response: one private to this context, else a public one.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<RawJson> {
        let now = self.cache.now();
        let mut entries = self.cache.lock();
        [key.clone(), key.for_audience(Audience::Public)]
            .into_iter()
            .find_map(|key| {
                entries.uses += 1;
                let use_count = entries.uses;
                let entry = entries.by_key.get_mut(&(self.server_id.clone(), key))?;
                if !entry.freshness.is_fresh(now) {
                    return None;
                }
                entry.last_use = use_count;
                Some(entry.result.clone())
            })
    }

    /// Returns the current epoch, to be read before the request and passed to [`put`](Self::put).
    pub(crate) fn epoch(&self) -> u64 {
        self.cache.lock().epoch
    }

    /// Caches a response, if its hints allow and nothing was invalidated since `epoch`.
    pub(crate) fn put(&self, key: CacheKey, result: &RawJson, epoch: u64) {
        let Some(hint) = may_cache(key.method(), false, result) else {
            return;
        };
        let (private, public) = (key.clone(), key.for_audience(Audience::Public));
        let received_at = self.cache.now();
        let mut entries = self.cache.lock();
        // The new response replaces the old one, whatever the audience of either.
        entries.remove(&(self.server_id.clone(), private.clone()));
        entries.remove(&(self.server_id.clone(), public.clone()));
        let bytes = result.as_bytes().len();
        if hint.ttl_ms == 0 || entries.epoch != epoch || bytes > entries.max_bytes {
            return;
        }
        entries.uses += 1;
        let entry = CacheEntry {
            result: result.clone(),
            freshness: Freshness {
                received_at,
                ttl_ms: hint.ttl_ms,
            },
            last_use: entries.uses,
        };
        entries.bytes += bytes;
        let key = if hint.public { public } else { private };
        entries.by_key.insert((self.server_id.clone(), key), entry);
        entries.evict(received_at);
    }

    /// Removes what `invalidation` makes stale, in all authorization contexts.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        self.remove_where(|key| invalidation.hits(key));
    }

    /// Removes every page of a list.
    pub(crate) fn remove_list(&self, method: &str) {
        self.remove_where(|key| key.method() == method);
    }

    fn remove_where(&self, is_stale: impl Fn(&CacheKey) -> bool) {
        let mut entries = self.cache.lock();
        entries.epoch += 1;
        let mut freed = 0;
        entries.by_key.retain(|(server, key), entry| {
            let keep = *server != self.server_id || !is_stale(key);
            if !keep {
                freed += entry.result.as_bytes().len();
            }
            keep
        });
        entries.bytes -= freed;
    }
}

impl CacheEntries {
    fn remove(&mut self, key: &(Arc<str>, CacheKey)) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= entry.result.as_bytes().len();
        }
    }

    /// Evicts until the bounds hold: stale entries first, then the least recently used.
    fn evict(&mut self, now: Duration) {
        if self.by_key.len() <= self.max_entries && self.bytes <= self.max_bytes {
            return;
        }
        self.by_key.retain(|_, entry| entry.freshness.is_fresh(now));
        let sizes = self.by_key.values();
        self.bytes = sizes.map(|entry| entry.result.as_bytes().len()).sum();
        while self.by_key.len() > self.max_entries || self.bytes > self.max_bytes {
            let oldest = self.by_key.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.remove(&oldest);
        }
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        f.debug_struct("ResponseCache")
            .field("entries", &entries.by_key.len())
            .field("bytes", &entries.bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(cache: &ResponseCache, context: &str) -> CacheView {
        CacheView {
            cache: cache.clone(),
            server_id: "s".into(),
            auth_context: context.into(),
        }
    }

    fn response(scope: &str, ttl: i64, text: &str) -> RawJson {
        RawJson::from(
            &json!({"resultType": "complete", "contents": text, "ttlMs": ttl, "cacheScope": scope}),
        )
    }

    fn read_key(view: &CacheView, uri: &str) -> CacheKey {
        view.key("resources/read", json!({"uri": uri}).as_object().unwrap())
    }

    fn put(view: &CacheView, uri: &str, response: &RawJson) {
        view.put(read_key(view, uri), response, view.epoch());
    }

    fn has(view: &CacheView, uri: &str) -> bool {
        view.get(&read_key(view, uri)).is_some()
    }

    // spec: caching-17
    #[test]
    fn private_responses_stay_in_their_context() {
        let cache = ResponseCache::default();
        let (ann, bob) = (view(&cache, "ann"), view(&cache, "bob"));
        put(&ann, "a", &response("private", 1000, "ann's"));
        put(&ann, "b", &response("public", 1000, "everyone's"));
        assert!(has(&ann, "a"));
        assert!(!has(&bob, "a"));
        assert!(has(&bob, "b"));
        let other_server = CacheView {
            server_id: "t".into(),
            ..ann.clone()
        };
        assert!(!has(&other_server, "b"));
    }

    #[test]
    fn a_response_overtaken_by_an_invalidation_is_not_cached() {
        let cache = ResponseCache::default();
        let view = view(&cache, "");
        let epoch = view.epoch();
        view.invalidate(&Invalidation::of("notifications/resources/updated", Some("a")).unwrap());
        view.put(
            read_key(&view, "a"),
            &response("public", 1000, "old"),
            epoch,
        );
        assert!(cache.is_empty());
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_the_least_recently_used_is_evicted() {
        let cache = ResponseCache::new(2, 10_000);
        let view = view(&cache, "");
        for uri in ["a", "b"] {
            put(&view, uri, &response("public", 1000, uri));
        }
        assert!(has(&view, "a"));
        put(&view, "c", &response("public", 1000, "c"));
        assert!(has(&view, "a") && !has(&view, "b"));
        put(&view, "d", &response("public", 1000, &"x".repeat(9_900)));
        assert_eq!(cache.len(), 1);
        put(&view, "e", &response("public", 1000, &"x".repeat(20_000)));
        assert!(!has(&view, "e") && has(&view, "d"));
        cache.clear();
        assert_eq!(cache.lock().bytes, 0);
    }
}
