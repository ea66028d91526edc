//! The limit on handlers that run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the running handlers of one server.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    running: AtomicUsize,
    max: usize,
}

impl ConcurrencyLimit {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            running: AtomicUsize::new(0),
            max,
        })
    }

    /// Takes a permit to run one handler; `None` at the limit.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<Permit> {
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(Arc::clone(self)))
    }
}

/// A permit to run one handler, released when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<ConcurrencyLimit>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
