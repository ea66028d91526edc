//! The `_meta` cache of each thread.

use carryall_proto::MetaCache;
use carryall_proto::decode::ClientMessage;
use carryall_proto::validate::Rejection;
use std::cell::RefCell;

thread_local! {
    static CACHE: RefCell<MetaCache> = const { RefCell::new(MetaCache::new()) };
}

/// Decodes a message with the cache of this thread.
pub(crate) fn decode_cached(
    decode: impl FnOnce(&mut MetaCache) -> Result<ClientMessage, Rejection>,
) -> Result<ClientMessage, Rejection> {
    CACHE.with_borrow_mut(decode)
}
