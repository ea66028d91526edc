//! How much callers may keep in the store, in rows and bytes.

use carryall_proto::Caller;
use carryall_proto::budget::{Amount, Budget, BudgetExceeded, Reservation};
use carryall_proto::sync::Mutex;
use std::collections::{BTreeSet, HashMap};

/// Bytes that a row takes besides its value: its key, the store's indexes and the entry here.
const OVERHEAD: usize = 512;

/// Accounts for the rows that this process has written, by caller, until they expire.
///
/// Accounting in memory costs a write no access to the store. In return each replica accounts only
/// for what it has written itself: in a shared store, a caller can hold its share once per replica.
#[derive(Debug)]
pub(crate) struct StorageQuota {
    budget: Budget,
    rows: Mutex<HeldRows>,
}

#[derive(Debug, Default)]
struct HeldRows {
    by_key: HashMap<String, HeldRow>,
    expiry: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct HeldRow {
    reservation: Reservation,
    expires_at: u64,
}

impl StorageQuota {
    pub(crate) fn new(total: Amount, per_caller: Amount) -> Self {
        Self {
            budget: Budget::new(total, per_caller),
            rows: Mutex::default(),
        }
    }

    /// Accounts for a row with a value of `bytes` bytes until `expires_at` (`None`: forever). For a
    /// row that is accounted for already, updates the size and the expiry; it stays with the caller
    /// that it was accounted to.
    ///
    /// # Errors
    /// When the caller's share or the total is used up. Nothing has changed then.
    pub(crate) fn hold(
        &self,
        caller: &Caller,
        key: &str,
        bytes: usize,
        expires_at: Option<u64>,
        now: u64,
    ) -> Result<(), BudgetExceeded> {
        let expires_at = expires_at.unwrap_or(u64::MAX);
        let mut rows = self.rows.lock();
        rows.expire(now);
        if let Some(row) = rows.by_key.get_mut(key) {
            row.reservation.resize(OVERHEAD.saturating_add(bytes))?;
            let before = std::mem::replace(&mut row.expires_at, expires_at);
            if before != expires_at {
                rows.expiry.remove(&(before, key.to_owned()));
                rows.expiry.insert((expires_at, key.to_owned()));
            }
            return Ok(());
        }
        let reservation = self
            .budget
            .reserve(caller, OVERHEAD.saturating_add(bytes))?;
        rows.by_key.insert(
            key.to_owned(),
            HeldRow {
                reservation,
                expires_at,
            },
        );
        rows.expiry.insert((expires_at, key.to_owned()));
        Ok(())
    }

    /// Updates the size of a row that must be written in any case. Ignores rows that this process
    /// does not account for.
    pub(crate) fn resize(&self, key: &str, bytes: usize) {
        if let Some(row) = self.rows.lock().by_key.get_mut(key) {
            // Such a write shrinks the row or is the server's own; it is not refused for its size.
            let _ = row.reservation.resize(OVERHEAD.saturating_add(bytes));
        }
    }

    /// Releases a row that was removed.
    pub(crate) fn release(&self, key: &str) {
        let mut rows = self.rows.lock();
        if let Some(row) = rows.by_key.remove(key) {
            rows.expiry.remove(&(row.expires_at, key.to_owned()));
        }
    }

    /// Releases the rows that have expired.
    pub(crate) fn expire(&self, now: u64) {
        self.rows.lock().expire(now);
    }
}

impl HeldRows {
    fn expire(&mut self, now: u64) {
        while self.expiry.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiry.pop_first() {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OVERHEAD, StorageQuota};
    use carryall_proto::Caller;
    use carryall_proto::budget::{Amount, BudgetExceeded};

    fn caller(last: u8) -> Caller {
        Caller::Address([10, 0, 0, last].into())
    }

    #[test]
    fn a_row_counts_until_it_expires_or_is_removed() {
        let quota = StorageQuota::new(Amount::new(3, 1 << 20), Amount::new(2, 1 << 20));
        quota.hold(&caller(1), "a", 10, Some(100), 0).unwrap();
        quota.hold(&caller(1), "b", 10, None, 0).unwrap();
        assert_eq!(
            quota.hold(&caller(1), "c", 10, None, 99),
            Err(BudgetExceeded::Caller)
        );
        quota.hold(&caller(1), "a", 10, Some(200), 99).unwrap();
        assert_eq!(
            quota.hold(&caller(1), "c", 10, None, 199),
            Err(BudgetExceeded::Caller),
            "a was renewed"
        );
        quota.hold(&caller(1), "c", 10, Some(300), 200).unwrap();
        quota.release("c");
        quota.hold(&caller(1), "d", 10, Some(300), 200).unwrap();
        quota.hold(&caller(2), "e", 10, None, 200).unwrap();
        assert_eq!(
            quota.hold(&caller(3), "f", 10, None, 200),
            Err(BudgetExceeded::Total)
        );
        quota.expire(300);
        assert_eq!(
            quota.budget.used(),
            Amount::new(2, 2 * (OVERHEAD + 10)),
            "b and e are left"
        );
        assert_eq!(quota.rows.lock().expiry.len(), 2);
    }

    #[test]
    fn a_row_that_grows_is_limited_by_the_share_of_its_caller() {
        let quota = StorageQuota::new(Amount::new(9, 1 << 20), Amount::new(9, OVERHEAD + 100));
        quota.hold(&caller(1), "a", 10, None, 0).unwrap();
        assert_eq!(
            quota.hold(&caller(2), "a", 101, None, 0),
            Err(BudgetExceeded::Caller),
            "whoever makes it grow"
        );
        quota.hold(&caller(2), "a", 100, None, 0).unwrap();
        assert_eq!(quota.budget.used_by(&caller(2)), Amount::default());
        quota.resize("a", 0);
        quota.resize("unknown", 50);
        assert_eq!(quota.budget.used(), Amount::new(1, OVERHEAD));
    }
}
