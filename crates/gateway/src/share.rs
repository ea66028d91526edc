//! The share of the calls in flight that one caller may have.
//!
//! Counting is part of every call, so it takes neither a lock nor memory of its own: callers are
//! counted in a fixed table, in two places each that a keyed hash of the caller selects. A caller
//! has as many calls as the lower of its two counters says, or fewer when it meets others in both.
//! So nobody gets more than its share, and somebody gets less only if others with that many calls
//! happen to have both of its places.

use carryall_proto::{Call, CallerId};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering};

const ROW: usize = 4096;

/// Counts the calls of each caller.
pub(crate) struct CallerQuota {
    rows: Box<[[AtomicU32; ROW]; 2]>,
    /// Random, so that nobody can choose whom to meet.
    hash: RandomState,
    max: u32,
}

/// Where a call is counted. To be given back once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaCounters([u16; 2]);

impl CallerQuota {
    /// At most `max` calls of each caller.
    pub(crate) fn new(max: usize) -> Self {
        let row = || std::array::from_fn(|_| AtomicU32::new(0));
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        Self {
            rows: Box::new([row(), row()]),
            hash: RandomState::new(),
            max,
        }
    }

    /// Counts one more call of whoever makes `call`; `None` if it has as many as it may.
    pub(crate) fn add(&self, call: &Call) -> Option<QuotaCounters> {
        let mut hasher = self.hash.build_hasher();
        CallerId::of(call).hash_quota(&mut hasher);
        let hash = hasher.finish();
        let place = |bits: u64| (bits % ROW as u64) as u16;
        let counted = QuotaCounters([place(hash), place(hash >> 32)]);
        let before = self
            .counters(counted)
            .map(|counter| counter.fetch_add(1, Ordering::Relaxed));
        if before.iter().all(|before| *before >= self.max) {
            self.remove(counted);
            return None;
        }
        Some(counted)
    }

    /// Takes back what [`add`](Self::add) has counted.
    pub(crate) fn remove(&self, counted: QuotaCounters) {
        for counter in self.counters(counted) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The limit.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    fn counters(&self, QuotaCounters([one, other]): QuotaCounters) -> [&AtomicU32; 2] {
        let [first, second] = &*self.rows;
        [&first[usize::from(one)], &second[usize::from(other)]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::{CallSource, Principal};
    use carryall_testkit::call;
    use serde_json::json;
    use std::sync::Arc;

    fn from(address: [u8; 4]) -> Call {
        let mut call = call("tools/list", json!({}));
        call.set_source(CallSource::new(None, Some(address.into())));
        call
    }

    #[test]
    fn every_caller_has_its_own_share_and_gets_it_back() {
        let shares = CallerQuota::new(100);
        let mut counted = Vec::new();
        for caller in 0..50 {
            counted
                .extend((0..100).map(|_| shares.add(&from([10, 0, 0, caller])).expect("its own")));
        }
        for caller in 0..50 {
            assert!(shares.add(&from([10, 0, 0, caller])).is_none(), "{caller}");
        }
        let mut known = from([10, 0, 0, 1]);
        let principal = Principal {
            issuer: "i".into(),
            subject: "s".into(),
            client: None,
            scopes: Vec::new(),
        };
        known.set_principal(Some(Arc::new(principal)));
        counted.push(shares.add(&known).expect("a principal is not its address"));
        counted
            .into_iter()
            .for_each(|counted| shares.remove(counted));
        assert!(
            shares
                .rows
                .iter()
                .flatten()
                .all(|counter| counter.load(Ordering::Relaxed) == 0)
        );
    }

    #[test]
    fn who_meets_others_in_one_place_still_has_its_share() {
        let shares = CallerQuota::new(1);
        let one = shares.add(&from([10, 0, 0, 1])).unwrap();
        shares.remove(one);
        shares.counters(one)[0].store(1000, Ordering::Relaxed);
        let again = shares
            .add(&from([10, 0, 0, 1]))
            .expect("the other place is its own");
        assert_eq!(again.0, one.0);
        assert!(shares.add(&from([10, 0, 0, 1])).is_none());
    }
}
