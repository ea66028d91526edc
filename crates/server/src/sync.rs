//! A mutex without poisoning.
//!
//! A panic costs one call, and the state behind a lock is consistent after each statement that
//! holds it, so that a lock that was held during a panic stays usable.

use std::sync::{MutexGuard, PoisonError};

/// A [`std::sync::Mutex`] without poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
