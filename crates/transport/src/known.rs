//! The `_meta` that requests have in common, to recognise it by
//! (`proto::decode::decode_http_cached`).
//!
//! Each thread remembers one. Shared, it would cost every request an atomic that all threads write
//! to.

use carryall_proto::Meta;
use carryall_proto::decode::{ClientMessage, Rejection};
use std::cell::RefCell;

/// Of so many requests that bring another text, one replaces what is known: clients that take turns
/// must not pay for each other.
const REPLACED_BY_ONE_OF: u32 = 64;

#[derive(Default)]
struct Known {
    meta: Option<Meta>,
    misses: u32,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Admits a message with what most messages on this thread bring. That is good for nothing but
/// speed: it says what its text says, and a message gets it only by having the same text.
pub(crate) fn admit(
    accept: impl FnOnce(Option<&Meta>) -> Result<ClientMessage, Rejection>,
) -> Result<ClientMessage, Rejection> {
    KNOWN.with_borrow_mut(|known| {
        let admitted = accept(known.meta.as_ref())?;
        if let ClientMessage::Call(call) = &admitted {
            known.learn(&call.meta);
        }
        Ok(admitted)
    })
}

impl Known {
    fn learn(&mut self, meta: &Meta) {
        if self
            .meta
            .as_ref()
            .is_some_and(|known| known.raw() == meta.raw())
        {
            return;
        }
        if self.misses.is_multiple_of(REPLACED_BY_ONE_OF)
            && let Some(meta) = meta.to_cache_key()
        {
            self.meta = Some(meta);
        }
        self.misses = self.misses.wrapping_add(1);
    }
}
