//! Limits on the state that outlives a request, in items and bytes, in total and per caller.

use crate::Caller;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, MutexGuard};

/// An amount of state: the number of items and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of items.
    pub items: usize,
    /// The total size of the items, in bytes.
    pub bytes: usize,
}

impl Amount {
    /// Creates an amount.
    #[must_use]
    pub const fn new(items: usize, bytes: usize) -> Self {
        Self { items, bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_sub(other.items),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn exceeds(self, limit: Self) -> bool {
        self.items > limit.items || self.bytes > limit.bytes
    }
}

/// Limits what each caller, and all callers together, may reserve. Cheap to clone; clones share one
/// budget.
///
/// A [`Reservation`] is released when it is dropped. A caller that has used up its share is
/// refused, and does not affect other callers.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<BudgetState>,
}

struct BudgetState {
    total: Amount,
    per_caller: Amount,
    usage: Mutex<BudgetUsage>,
}

#[derive(Default)]
struct BudgetUsage {
    total: Amount,
    /// A caller without reservations has no entry.
    by_caller: HashMap<Caller, Amount>,
}

/// Why a reservation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetExceeded {
    /// The caller has used up its own share.
    Caller,
    /// All callers together have used up the total.
    Total,
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "this caller has used up its share",
            Self::Total => "all callers together have used up the server's limit",
        })
    }
}

impl std::error::Error for BudgetExceeded {}

impl Budget {
    /// Creates a budget with the limits `total` for all callers together and `per_caller` for each.
    #[must_use]
    pub fn new(total: Amount, per_caller: Amount) -> Self {
        Self {
            shared: Arc::new(BudgetState {
                total,
                per_caller,
                usage: Mutex::default(),
            }),
        }
    }

    /// Reserves one item of `bytes` bytes.
    ///
    /// # Errors
    /// When the caller's share or the total is used up. Nothing is reserved then.
    pub fn reserve(&self, caller: &Caller, bytes: usize) -> Result<Reservation, BudgetExceeded> {
        let amount = Amount::new(1, bytes);
        self.shared.acquire(caller, amount)?;
        Ok(Reservation {
            shared: Arc::clone(&self.shared),
            caller: caller.clone(),
            held: amount,
        })
    }

    /// Returns the limit of each caller.
    #[must_use]
    pub fn share(&self) -> Amount {
        self.shared.per_caller
    }

    /// Returns what all callers together have reserved.
    #[must_use]
    pub fn used(&self) -> Amount {
        self.shared.lock_usage().total
    }

    /// Returns what one caller has reserved.
    #[must_use]
    pub fn used_by(&self, caller: &Caller) -> Amount {
        self.shared
            .lock_usage()
            .by_caller
            .get(caller)
            .copied()
            .unwrap_or_default()
    }
}

impl BudgetState {
    fn acquire(&self, caller: &Caller, amount: Amount) -> Result<(), BudgetExceeded> {
        let mut usage = self.lock_usage();
        let total = usage.total.plus(amount);
        let own = usage
            .by_caller
            .get(caller)
            .copied()
            .unwrap_or_default()
            .plus(amount);
        if own.exceeds(self.per_caller) {
            return Err(BudgetExceeded::Caller);
        }
        if total.exceeds(self.total) {
            return Err(BudgetExceeded::Total);
        }
        usage.total = total;
        usage.by_caller.insert(caller.clone(), own);
        Ok(())
    }

    fn release(&self, caller: &Caller, amount: Amount) {
        let mut usage = self.lock_usage();
        usage.total = usage.total.minus(amount);
        if let Some(own) = usage.by_caller.get_mut(caller) {
            *own = own.minus(amount);
            if *own == Amount::default() {
                usage.by_caller.remove(caller);
            }
        }
    }

    fn lock_usage(&self) -> MutexGuard<'_, BudgetUsage> {
        self.usage.lock()
    }
}

/// One reserved item of a [`Budget`], released on drop.
pub struct Reservation {
    shared: Arc<BudgetState>,
    caller: Caller,
    held: Amount,
}

impl Reservation {
    /// Changes the size of the item to `bytes` bytes.
    ///
    /// # Errors
    /// When the caller's share or the total is used up. The reservation is unchanged then.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        match bytes.checked_sub(self.held.bytes) {
            Some(more) => self.shared.acquire(&self.caller, Amount::new(0, more))?,
            None => {
                let less = self.held.bytes - bytes;
                self.shared.release(&self.caller, Amount::new(0, less));
            }
        }
        self.held.bytes = bytes;
        Ok(())
    }

    /// Returns the size of the item, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.held.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.release(&self.caller, self.held);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("total", &self.shared.total)
            .field("per_caller", &self.shared.per_caller)
            .field("used", &self.used())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Caller {
        Caller::Address([10, 0, 0, last].into())
    }

    #[test]
    fn a_caller_that_used_up_its_share_does_not_lock_out_others() {
        let budget = Budget::new(Amount::new(4, 1000), Amount::new(2, 500));
        let _first = budget.reserve(&address(1), 10).unwrap();
        let second = budget.reserve(&address(1), 10).unwrap();
        assert_eq!(
            budget.reserve(&address(1), 10).unwrap_err(),
            BudgetExceeded::Caller
        );
        let _others = [
            budget.reserve(&address(2), 10).unwrap(),
            budget.reserve(&address(3), 10).unwrap(),
        ];
        assert_eq!(
            budget.reserve(&address(4), 10).unwrap_err(),
            BudgetExceeded::Total
        );
        drop(second);
        assert!(budget.reserve(&address(4), 10).is_ok());
    }

    #[test]
    fn bytes_are_bounded_as_items_are() {
        let budget = Budget::new(Amount::new(100, 100), Amount::new(100, 60));
        let mut held = budget.reserve(&address(1), 50).unwrap();
        assert_eq!(held.resize(61).unwrap_err(), BudgetExceeded::Caller);
        assert_eq!(budget.used(), Amount::new(1, 50));
        held.resize(60).unwrap();
        assert_eq!(
            budget.reserve(&address(2), 41).unwrap_err(),
            BudgetExceeded::Total
        );
        held.resize(0).unwrap();
        assert!(budget.reserve(&address(2), 60).is_ok());
        assert_eq!(
            budget.reserve(&address(2), usize::MAX).unwrap_err(),
            BudgetExceeded::Caller
        );
    }

    #[test]
    fn nothing_is_kept_of_callers_that_hold_nothing() {
        let budget = Budget::new(Amount::new(9, 9), Amount::new(9, 9));
        drop(budget.reserve(&address(1), 9).unwrap());
        assert_eq!(budget.used(), Amount::default());
        assert!(budget.shared.lock_usage().by_caller.is_empty());
    }
}
