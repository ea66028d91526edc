//! What callers keep beyond their requests, in bytes and items.

use carryall_proto::Caller;
use carryall_proto::budget::{Amount, Budget, BudgetExceeded, Reservation};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a kept row takes besides its value: its key, its place in the indexes of the store, and its
/// entry here.
const OVERHEAD: usize = 512;

/// Accounts for the rows that this process has written, by caller, until they expire.
///
/// It needs no access to the store, so it costs a plain write nothing. The price is that each
/// replica accounts for what it has written itself: in a shared store a caller can hold its share
/// once for each replica.
#[derive(Debug)]
pub(crate) struct Ledger {
    budget: Budget,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    expiry: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct Entry {
    reservation: Reservation,
    expires_at: u64,
}

impl Ledger {
    pub(crate) fn new(total: Amount, per_caller: Amount) -> Self {
        Self {
            budget: Budget::new(total, per_caller),
            entries: Mutex::default(),
        }
    }

    /// Accounts for a row with a value of so many bytes until `expires_at`, `None` for ever. A row
    /// that is known already stays with the caller that it was accounted to, and has this size and
    /// expiry from now on.
    ///
    /// # Errors
    /// When the share of the caller or the total is used up. Nothing has changed then.
    pub(crate) fn hold(
        &self,
        caller: &Caller,
        key: &str,
        bytes: usize,
        expires_at: Option<u64>,
        now: u64,
    ) -> Result<(), BudgetExceeded> {
        let expires_at = expires_at.unwrap_or(u64::MAX);
        let mut entries = self.entries();
        entries.expire(now);
        if let Some(entry) = entries.by_key.get_mut(key) {
            entry.reservation.resize(OVERHEAD.saturating_add(bytes))?;
            let before = std::mem::replace(&mut entry.expires_at, expires_at);
            if before != expires_at {
                entries.expiry.remove(&(before, key.to_owned()));
                entries.expiry.insert((expires_at, key.to_owned()));
            }
            return Ok(());
        }
        let reservation = self
            .budget
            .reserve(caller, OVERHEAD.saturating_add(bytes))?;
        entries.by_key.insert(
            key.to_owned(),
            Entry {
                reservation,
                expires_at,
            },
        );
        entries.expiry.insert((expires_at, key.to_owned()));
        Ok(())
    }

    /// Notes the new size of a row that must be written in any case. One that this process does not
    /// account for stays so.
    pub(crate) fn resize(&self, key: &str, bytes: usize) {
        if let Some(entry) = self.entries().by_key.get_mut(key) {
            // What cannot be reserved was refused to somebody else before; this write makes the row
            // smaller or is our own.
            let _ = entry.reservation.resize(OVERHEAD.saturating_add(bytes));
        }
    }

    /// The row is gone.
    pub(crate) fn release(&self, key: &str) {
        let mut entries = self.entries();
        if let Some(entry) = entries.by_key.remove(key) {
            entries.expiry.remove(&(entry.expires_at, key.to_owned()));
        }
    }

    /// Releases what has expired.
    pub(crate) fn expire(&self, now: u64) {
        self.entries().expire(now);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
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
    use super::{Ledger, OVERHEAD};
    use carryall_proto::Caller;
    use carryall_proto::budget::{Amount, BudgetExceeded};

    fn caller(last: u8) -> Caller {
        Caller::Address([10, 0, 0, last].into())
    }

    #[test]
    fn what_is_kept_counts_until_it_expires_or_is_removed() {
        let ledger = Ledger::new(Amount::new(3, 1 << 20), Amount::new(2, 1 << 20));
        ledger.hold(&caller(1), "a", 10, Some(100), 0).unwrap();
        ledger.hold(&caller(1), "b", 10, None, 0).unwrap();
        assert_eq!(
            ledger.hold(&caller(1), "c", 10, None, 99),
            Err(BudgetExceeded::Caller)
        );
        ledger.hold(&caller(1), "a", 10, Some(200), 99).unwrap();
        assert_eq!(
            ledger.hold(&caller(1), "c", 10, None, 199),
            Err(BudgetExceeded::Caller),
            "a was renewed"
        );
        ledger.hold(&caller(1), "c", 10, Some(300), 200).unwrap();
        ledger.release("c");
        ledger.hold(&caller(1), "d", 10, Some(300), 200).unwrap();
        ledger.hold(&caller(2), "e", 10, None, 200).unwrap();
        assert_eq!(
            ledger.hold(&caller(3), "f", 10, None, 200),
            Err(BudgetExceeded::Total)
        );
        ledger.expire(300);
        assert_eq!(
            ledger.budget.used(),
            Amount::new(2, 2 * (OVERHEAD + 10)),
            "b and e are left"
        );
        assert_eq!(ledger.entries().expiry.len(), 2);
    }

    #[test]
    fn a_row_that_grows_is_held_to_the_bytes_of_its_caller() {
        let ledger = Ledger::new(Amount::new(9, 1 << 20), Amount::new(9, OVERHEAD + 100));
        ledger.hold(&caller(1), "a", 10, None, 0).unwrap();
        assert_eq!(
            ledger.hold(&caller(2), "a", 101, None, 0),
            Err(BudgetExceeded::Caller),
            "whoever makes it grow"
        );
        ledger.hold(&caller(2), "a", 100, None, 0).unwrap();
        assert_eq!(ledger.budget.used_by(&caller(2)), Amount::default());
        ledger.resize("a", 0);
        ledger.resize("unknown", 50);
        assert_eq!(ledger.budget.used(), Amount::new(1, OVERHEAD));
    }
}
