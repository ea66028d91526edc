//! Random bits for jitter; not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns evenly distributed bits. The standard library seeds each `RandomState` differently,
/// which saves a dependency.
pub(crate) fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}
