//! Remembers ended sessions until their ids expire, so that the ids do not restore them.
//!
//! The names go into Bloom filters, one for each span of expiry times: no ended session is
//! forgotten before its id has expired, however many sessions end, and memory is bounded. In return
//! a live session may be taken for an ended one, and its client has to open a new one. Sessions in
//! the table of this process are not looked up here, so this only happens to sessions that the
//! process has never seen or has evicted, and becomes likely only with hundreds of thousands of
//! ended sessions.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

/// The size of one filter in bits: 256 KiB. With 100,000 names, the false positive rate is 1 in
/// 1,100; with 300,000, it is 1 in 28.
const BITS: u64 = 1 << 21;
/// How many bits a name sets.
const HASHES: u64 = 4;
/// The number of spans that the lifetime of a session is divided into.
const SPANS: u64 = 16;
/// Maximum number of filters. More spans occur only if replicas have different session lifetimes;
/// they share filters then.
const MAX_FILTERS: usize = 32;

/// The names of ended sessions.
pub(super) struct EndedSessions {
    /// Randomly keyed, so that nobody can choose names that collide with others.
    hashers: [RandomState; 2],
    /// The length of one span, in seconds.
    span: u64,
    /// By span number.
    filters: BTreeMap<u64, BloomFilter>,
}

struct BloomFilter {
    bits: Box<[u64]>,
    /// It holds names of other spans too.
    is_shared: bool,
}

impl BloomFilter {
    fn new() -> Self {
        Self {
            bits: vec![0; (BITS / 64) as usize].into(),
            is_shared: false,
        }
    }

    fn set(&mut self, bit: u64) {
        self.bits[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    fn has(&self, mut bits: impl Iterator<Item = u64>) -> bool {
        bits.all(|bit| self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0)
    }
}

impl EndedSessions {
    /// Creates an empty set, for sessions with this lifetime in seconds.
    pub(super) fn new(lifetime: u64) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self {
            hashers,
            span: lifetime.div_ceil(SPANS).max(1),
            filters: BTreeMap::new(),
        }
    }

    /// Remembers a name until `expires_at`. Times are in seconds since the Unix epoch.
    pub(super) fn insert(&mut self, name: &str, expires_at: u64, now: u64) {
        let first = now / self.span;
        while let Some(oldest) = self
            .filters
            .first_entry()
            .filter(|oldest| *oldest.key() < first)
        {
            oldest.remove();
        }
        if expires_at <= now {
            return;
        }
        let bits = self.bits(name);
        let span = expires_at / self.span;
        if self.filters.len() >= MAX_FILTERS && !self.filters.contains_key(&span) {
            // Two spans share one filter, under the number of the later one.
            let later = self.filters.range(span..).next().map(|(later, _)| *later);
            let Some((other, mut filter)) = (match later {
                Some(later) => self.filters.remove_entry(&later),
                None => self.filters.pop_last(),
            }) else {
                return;
            };
            filter.is_shared = true;
            bits.for_each(|bit| filter.set(bit));
            self.filters.insert(other.max(span), filter);
            return;
        }
        let filter = self.filters.entry(span).or_insert_with(BloomFilter::new);
        bits.for_each(|bit| filter.set(bit));
    }

    /// Returns whether a session has ended, given when its id expires. May have false positives.
    pub(super) fn contains(&self, name: &str, expires_at: u64) -> bool {
        let own = expires_at / self.span;
        let mut filters = self
            .filters
            .range(own..)
            .filter(|(span, filter)| **span == own || filter.is_shared);
        filters.any(|(_, filter)| filter.has(self.bits(name)))
    }

    /// As [`contains`](Self::contains), for a session whose expiry time is not known.
    pub(super) fn contains_any(&self, name: &str) -> bool {
        self.filters
            .values()
            .any(|filter| filter.has(self.bits(name)))
    }

    fn bits(&self, name: &str) -> impl Iterator<Item = u64> + use<> {
        let [first, second] = self.hashers.each_ref().map(|hasher| hasher.hash_one(name));
        (0..HASHES).map(move |n| first.wrapping_add(n.wrapping_mul(second | 1)) % BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: u64 = 24 * 60 * 60;
    const NOW: u64 = 1_800_000_000;

    fn name(n: usize) -> String {
        format!("{n:036}")
    }

    #[test]
    fn ended_sessions_are_remembered_until_their_ids_expire() {
        let mut ended = EndedSessions::new(LIFETIME);
        ended.insert("victim", NOW + LIFETIME, NOW);
        for n in 0..100_000 {
            ended.insert(&name(n), NOW + LIFETIME, NOW);
        }
        assert!(ended.contains("victim", NOW + LIFETIME));
        ended.insert("another", NOW + LIFETIME * 3 / 2, NOW + LIFETIME - 1);
        assert!(ended.contains("victim", NOW + LIFETIME) && ended.contains_any("victim"));
    }

    #[test]
    fn expired_filters_are_removed() {
        let mut ended = EndedSessions::new(LIFETIME);
        ended.insert("old", NOW + 10, NOW);
        ended.insert("expired already", NOW, NOW);
        assert_eq!(ended.filters.len(), 1);
        let later = NOW + 2 * LIFETIME;
        ended.insert("new", later + 10, later);
        assert_eq!(ended.filters.len(), 1);
        assert!(!ended.contains_any("old") && ended.contains_any("new"));
    }

    #[test]
    fn false_positives_are_rare() {
        let mut ended = EndedSessions::new(LIFETIME);
        for n in 0..100_000 {
            ended.insert(&name(n), NOW + LIFETIME, NOW);
        }
        let false_positives = (100_000..200_000)
            .filter(|n| ended.contains(&name(*n), NOW + LIFETIME))
            .count();
        assert!(false_positives < 1_000, "{false_positives} of 100,000");
        let other_span = NOW + LIFETIME / 2;
        assert!(
            (0..100_000).all(|n| !ended.contains(&name(n), other_span)),
            "a flood of ends does not affect sessions of other spans"
        );
    }

    #[test]
    fn filters_are_bounded_whatever_the_expiry_times() {
        let mut ended = EndedSessions::new(LIFETIME);
        let times: Vec<u64> = (0..1_000).map(|n| NOW + 1 + n * LIFETIME).collect();
        // Out of order, so that new spans fall between existing ones.
        for at in (0..1_000).map(|n| n * 7 % 1_000) {
            ended.insert(&name(at), times[at], NOW);
            assert!(ended.filters.len() <= MAX_FILTERS);
        }
        for (at, time) in times.iter().enumerate() {
            assert!(ended.contains(&name(at), *time), "{at}");
        }
    }
}
