//! The names of ended sessions, so that their tokens do not bring them back.
//!
//! A token is good until it expires, so the end of its session has to be remembered until then,
//! however many sessions end. The names go into Bloom filters, one for each span of expiry times:
//! no ended session is ever forgotten before its token has expired, and the memory is bounded. The
//! price is that a live session may be taken for an ended one; its client is told to begin a new
//! one then. Sessions in the table of this process are not looked up here, so that can only happen
//! to a session which this process has never seen or has forgotten, and it takes hundreds of
//! thousands of ended sessions for it to become likely.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

/// The bits of one filter: 256 KiB. With 100,000 names, one in 1,100 other names is found as well;
/// with 300,000, one in 28.
const BITS: u64 = 1 << 21;
/// How many of them stand for one name.
const HASHES: u64 = 4;
/// How many spans of time the lifetime of a session is divided into.
const SPANS: u64 = 16;
/// How many filters there are. Expiry times after those of the last one share it; only tokens of
/// replicas with a longer lifetime have them.
const MAX_FILTERS: usize = 32;

/// The names of sessions that have ended, until their tokens expire.
pub(super) struct EndedSessions {
    /// Nobody knows the keys of these, so nobody can choose names whose bits are those of others.
    hashers: [RandomState; 2],
    /// The seconds of one span.
    span: u64,
    /// By the number of their span.
    filters: BTreeMap<u64, Filter>,
}

struct Filter {
    bits: Box<[u64]>,
    /// It has names of other spans too.
    is_shared: bool,
}

impl Filter {
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
    /// For sessions that last for so many seconds.
    pub(super) fn new(lifetime: u64) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self {
            hashers,
            span: lifetime.div_ceil(SPANS).max(1),
            filters: BTreeMap::new(),
        }
    }

    /// Remembers a name until `expires_at`. Times are in seconds since the epoch.
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
            // Two spans become one, under the later of the two.
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
        let filter = self.filters.entry(span).or_insert_with(Filter::new);
        bits.for_each(|bit| filter.set(bit));
    }

    /// Whether a session whose token expires at that time has ended, as far as is known.
    pub(super) fn contains(&self, name: &str, expires_at: u64) -> bool {
        let own = expires_at / self.span;
        let mut filters = self
            .filters
            .range(own..)
            .filter(|(span, filter)| **span == own || filter.is_shared);
        filters.any(|(_, filter)| filter.has(self.bits(name)))
    }

    /// Whether a session has ended whose expiry time is not known.
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
    fn no_ended_session_is_forgotten_before_its_token_expires() {
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
    fn what_has_expired_takes_no_room() {
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
    fn live_sessions_are_seldom_taken_for_ended_ones() {
        let mut ended = EndedSessions::new(LIFETIME);
        for n in 0..100_000 {
            ended.insert(&name(n), NOW + LIFETIME, NOW);
        }
        let mistaken = (100_000..200_000)
            .filter(|n| ended.contains(&name(*n), NOW + LIFETIME))
            .count();
        assert!(mistaken < 1_000, "{mistaken} of 100,000");
        let other_span = NOW + LIFETIME / 2;
        assert!(
            (0..100_000).all(|n| !ended.contains(&name(n), other_span)),
            "a flood now does not touch older sessions"
        );
    }

    #[test]
    fn filters_are_bounded_whatever_expiry_times_other_replicas_name() {
        let mut ended = EndedSessions::new(LIFETIME);
        let times: Vec<u64> = (0..1_000).map(|n| NOW + 1 + n * LIFETIME).collect();
        // Not in order, so that there are spans between those that are there.
        for at in (0..1_000).map(|n| n * 7 % 1_000) {
            ended.insert(&name(at), times[at], NOW);
            assert!(ended.filters.len() <= MAX_FILTERS);
        }
        for (at, time) in times.iter().enumerate() {
            assert!(ended.contains(&name(at), *time), "{at}");
        }
    }
}
