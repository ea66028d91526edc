//! Random bits for jitter. Nothing secret depends on them.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Evenly distributed bits: each hasher of the standard library starts from keys of its own.
pub(crate) fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}
