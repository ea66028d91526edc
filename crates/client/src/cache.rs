//! Answers kept for as long as the server allows (`server/utilities/caching`).

use carryall_proto::freshness::{Audience, CacheKey, Freshness, Invalidation, may_cache};
use carryall_proto::sync::Mutex;
use carryall_types::RawJson;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// How much a cache holds, unless told otherwise.
const MAX_ENTRIES: usize = 512;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A response cache. Clones share it, and so may clients: entries are kept apart by server, and
/// private ones by authorization context.
///
/// It is bounded in entries and in bytes; what was used longest ago goes first. It never fetches
/// anything by itself: freshness is looked at when an answer is asked for.
#[derive(Clone)]
pub struct ResponseCache {
    store: Arc<Mutex<Store>>,
    origin: Instant,
}

struct Store {
    entries: HashMap<(Arc<str>, CacheKey), Entry>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
    /// Counts uses, so that the entry used longest ago can be told.
    uses: u64,
    /// Counts invalidations: an answer that was asked for before one and arrives after it may be
    /// stale already.
    epoch: u64,
}

struct Entry {
    result: RawJson,
    freshness: Freshness,
    used: u64,
}

/// One client's view of a cache: its server, its authorization context.
#[derive(Clone, Debug)]
pub(crate) struct CacheView {
    pub(crate) cache: ResponseCache,
    pub(crate) server: Arc<str>,
    pub(crate) context: Arc<str>,
}

impl Default for ResponseCache {
    fn default() -> Self {
        Self::new(MAX_ENTRIES, MAX_BYTES)
    }
}

impl ResponseCache {
    /// A cache of at most `max_entries` answers with at most `max_bytes` of text.
    #[must_use]
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        let store = Store {
            entries: HashMap::new(),
            bytes: 0,
            max_entries,
            max_bytes,
            uses: 0,
            epoch: 0,
        };
        Self {
            store: Arc::new(Mutex::new(store)),
            origin: Instant::now(),
        }
    }

    /// How many answers are held, stale ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut store = self.lock();
        store.entries.clear();
        store.bytes = 0;
        store.epoch += 1;
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // Every change to the store is complete before anything in it could panic.
        self.store.lock()
    }
}

impl CacheView {
    /// The key under which this client keeps private answers.
    pub(crate) fn key(&self, method: &str, params: &carryall_types::JsonObject) -> CacheKey {
        CacheKey::new(
            method,
            Some(params),
            Audience::Private((*self.context).into()),
        )
    }

    /// A fresh answer: this context's own, else one for everybody.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<RawJson> {
        let now = self.cache.now();
        let mut store = self.cache.lock();
        [key.clone(), key.for_audience(Audience::Public)]
            .into_iter()
            .find_map(|key| {
                store.uses += 1;
                let used = store.uses;
                let entry = store.entries.get_mut(&(self.server.clone(), key))?;
                if !entry.freshness.is_fresh(now) {
                    return None;
                }
                entry.used = used;
                Some(entry.result.clone())
            })
    }

    /// To be taken before asking the server, and given to [`put`](Self::put).
    pub(crate) fn epoch(&self) -> u64 {
        self.cache.lock().epoch
    }

    /// Keeps an answer that has just been received, if its hints allow and nothing was invalidated
    /// meanwhile.
    pub(crate) fn put(&self, key: CacheKey, result: &RawJson, epoch: u64) {
        let Some(hint) = may_cache(key.method(), false, result) else {
            return;
        };
        let (own, public) = (key.clone(), key.for_audience(Audience::Public));
        let received_at = self.cache.now();
        let mut store = self.cache.lock();
        // The new answer stands for the old one, whoever that was for.
        store.remove(&(self.server.clone(), own.clone()));
        store.remove(&(self.server.clone(), public.clone()));
        if hint.ttl_ms == 0 || store.epoch != epoch || result.as_bytes().len() > store.max_bytes {
            return;
        }
        store.uses += 1;
        let freshness = Freshness {
            received_at,
            ttl_ms: hint.ttl_ms,
        };
        let entry = Entry {
            result: result.clone(),
            freshness,
            used: store.uses,
        };
        store.bytes += entry.result.as_bytes().len();
        store.entries.insert(
            (self.server.clone(), if hint.public { public } else { own }),
            entry,
        );
        store.shrink(received_at);
    }

    /// Drops what `invalidation` makes stale, whoever it was kept for.
    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        self.drop_where(|key| invalidation.hits(key));
    }

    /// Drops every page of a list.
    pub(crate) fn drop_list(&self, method: &str) {
        self.drop_where(|key| key.method() == method);
    }

    fn drop_where(&self, stale: impl Fn(&CacheKey) -> bool) {
        let mut store = self.cache.lock();
        store.epoch += 1;
        let mut freed = 0;
        store.entries.retain(|(server, key), entry| {
            let keep = *server != self.server || !stale(key);
            if !keep {
                freed += entry.result.as_bytes().len();
            }
            keep
        });
        store.bytes -= freed;
    }
}

impl Store {
    fn remove(&mut self, key: &(Arc<str>, CacheKey)) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.result.as_bytes().len();
        }
    }

    /// Makes room: first what is stale, then what was used longest ago.
    fn shrink(&mut self, now: Duration) {
        if self.entries.len() <= self.max_entries && self.bytes <= self.max_bytes {
            return;
        }
        self.entries
            .retain(|_, entry| entry.freshness.is_fresh(now));
        self.bytes = self
            .entries
            .values()
            .map(|entry| entry.result.as_bytes().len())
            .sum();
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some(oldest) = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.used)
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            self.remove(&oldest);
        }
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.lock();
        f.debug_struct("ResponseCache")
            .field("entries", &store.entries.len())
            .field("bytes", &store.bytes)
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
            server: "s".into(),
            context: context.into(),
        }
    }

    fn answer(scope: &str, ttl: i64, text: &str) -> RawJson {
        RawJson::from(
            &json!({"resultType": "complete", "contents": text, "ttlMs": ttl, "cacheScope": scope}),
        )
    }

    fn read(view: &CacheView, uri: &str) -> CacheKey {
        view.key("resources/read", json!({"uri": uri}).as_object().unwrap())
    }

    // spec: caching-17
    #[test]
    fn private_answers_stay_in_their_context_and_public_ones_do_not() {
        let cache = ResponseCache::default();
        let (ann, bob) = (view(&cache, "ann"), view(&cache, "bob"));
        ann.put(
            read(&ann, "a"),
            &answer("private", 1000, "ann's"),
            ann.epoch(),
        );
        ann.put(
            read(&ann, "b"),
            &answer("public", 1000, "all's"),
            ann.epoch(),
        );
        assert!(ann.get(&read(&ann, "a")).is_some());
        assert!(bob.get(&read(&bob, "a")).is_none());
        assert!(bob.get(&read(&bob, "b")).is_some());
        let elsewhere = CacheView {
            server: "t".into(),
            ..ann.clone()
        };
        assert!(
            elsewhere.get(&read(&elsewhere, "b")).is_none(),
            "another server's answer"
        );
    }

    #[test]
    fn an_answer_overtaken_by_an_invalidation_is_not_kept() {
        let cache = ResponseCache::default();
        let view = view(&cache, "");
        let asked = view.epoch();
        view.invalidate(&Invalidation::of("notifications/resources/updated", Some("a")).unwrap());
        view.put(read(&view, "a"), &answer("public", 1000, "old"), asked);
        assert!(cache.is_empty());
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_the_least_used_go_first() {
        let cache = ResponseCache::new(2, 10_000);
        let view = view(&cache, "");
        for uri in ["a", "b"] {
            view.put(read(&view, uri), &answer("public", 1000, uri), view.epoch());
        }
        assert!(view.get(&read(&view, "a")).is_some());
        view.put(read(&view, "c"), &answer("public", 1000, "c"), view.epoch());
        assert!(view.get(&read(&view, "a")).is_some() && view.get(&read(&view, "b")).is_none());
        view.put(
            read(&view, "d"),
            &answer("public", 1000, &"x".repeat(9_900)),
            view.epoch(),
        );
        assert_eq!(cache.len(), 1);
        view.put(
            read(&view, "e"),
            &answer("public", 1000, &"x".repeat(20_000)),
            view.epoch(),
        );
        assert!(view.get(&read(&view, "e")).is_none() && view.get(&read(&view, "d")).is_some());
        cache.clear();
        assert_eq!(cache.lock().bytes, 0);
    }
}
