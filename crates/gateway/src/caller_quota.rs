//! Limits the calls in flight of each caller.
//!
//! Every call is counted, so counting takes no lock and allocates nothing: callers are counted in a
//! fixed table (a count-min sketch), each in two counters that a keyed hash of the caller selects.
//! The lower of the two is an upper bound of the caller's calls. So no caller exceeds the limit, and
//! one is refused below it only if others with that many calls collide with both of its counters.

use carryall_proto::{Call, CallerId};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering};

const ROW_LEN: usize = 4096;

/// Counts the calls in flight of each caller.
pub(crate) struct CallerQuota {
    rows: Box<[[AtomicU32; ROW_LEN]; 2]>,
    /// Randomly keyed, so that callers cannot provoke collisions.
    hash: RandomState,
    max: u32,
}

/// The counters of one call, to be released once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaCounters([u16; 2]);

impl CallerQuota {
    /// Returns a quota of `max` calls for each caller.
    pub(crate) fn new(max: usize) -> Self {
        let row = || std::array::from_fn(|_| AtomicU32::new(0));
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        Self {
            rows: Box::new([row(), row()]),
            hash: RandomState::new(),
            max,
        }
    }

    /// Counts a call; `None` if its caller has reached the limit.
    pub(crate) fn acquire(&self, call: &Call) -> Option<QuotaCounters> {
        let mut hasher = self.hash.build_hasher();
        CallerId::of(call).hash_quota(&mut hasher);
        let hash = hasher.finish();
        let index = |bits: u64| (bits % ROW_LEN as u64) as u16;
        let counters = QuotaCounters([index(hash), index(hash >> 32)]);
        let before = self
            .get(counters)
            .map(|counter| counter.fetch_add(1, Ordering::Relaxed));
        if before.iter().all(|before| *before >= self.max) {
            self.release(counters);
            return None;
        }
        Some(counters)
    }

    /// Releases what [`acquire`](Self::acquire) has counted.
    pub(crate) fn release(&self, counters: QuotaCounters) {
        for counter in self.get(counters) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the limit.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    fn get(&self, QuotaCounters([one, other]): QuotaCounters) -> [&AtomicU32; 2] {
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

    fn call_from(address: [u8; 4]) -> Call {
        let mut call = call("tools/list", json!({}));
        call.set_source(CallSource::new(None, Some(address.into())));
        call
    }

    #[test]
    fn each_caller_has_its_own_quota_which_is_released() {
        let quota = CallerQuota::new(100);
        let mut acquired = Vec::new();
        for caller in 0..50 {
            let call = call_from([10, 0, 0, caller]);
            acquired.extend((0..100).map(|_| quota.acquire(&call).expect("within its quota")));
        }
        for caller in 0..50 {
            let call = call_from([10, 0, 0, caller]);
            assert!(quota.acquire(&call).is_none(), "{caller}");
        }
        let mut call = call_from([10, 0, 0, 1]);
        let principal = Principal {
            issuer: "i".into(),
            subject: "s".into(),
            client: None,
            scopes: Vec::new(),
        };
        call.set_principal(Some(Arc::new(principal)));
        acquired.push(
            quota
                .acquire(&call)
                .expect("a principal is not its address"),
        );
        for counters in acquired {
            quota.release(counters);
        }
        let mut counters = quota.rows.iter().flatten();
        assert!(counters.all(|counter| counter.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_collision_in_one_counter_does_not_reduce_the_quota() {
        let quota = CallerQuota::new(1);
        let counters = quota.acquire(&call_from([10, 0, 0, 1])).unwrap();
        quota.release(counters);
        quota.get(counters)[0].store(1000, Ordering::Relaxed);
        let again = quota
            .acquire(&call_from([10, 0, 0, 1]))
            .expect("the other counter is free");
        assert_eq!(again.0, counters.0);
        assert!(quota.acquire(&call_from([10, 0, 0, 1])).is_none());
    }
}
