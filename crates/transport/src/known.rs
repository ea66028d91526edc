//! The `_meta` that requests have in common, to recognise it by (`proto::inbound::accept_http_like`).

use arc_swap::ArcSwapOption;
use carryall_proto::Meta;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of so many requests that bring another text, one replaces what is known: clients that take turns must not pay for each
/// other.
const REPLACED_BY_ONE_OF: u32 = 64;

/// What most requests bring. Shared by all connections, and good for nothing but speed: it says what its text says.
#[derive(Default)]
pub(crate) struct Known {
    meta: ArcSwapOption<Meta>,
    misses: AtomicU32,
}

impl Known {
    pub(crate) fn load(&self) -> arc_swap::Guard<Option<Arc<Meta>>> {
        self.meta.load()
    }

    /// Looks at the `_meta` of a request that was admitted with `known` at hand.
    pub(crate) fn learn(&self, known: Option<&Meta>, meta: &Meta) {
        if known.is_some_and(|known| known.raw() == meta.raw()) {
            return;
        }
        if self.misses.fetch_add(1, Ordering::Relaxed).is_multiple_of(REPLACED_BY_ONE_OF)
            && let Some(meta) = meta.to_recognise()
        {
            self.meta.store(Some(Arc::new(meta)));
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}
