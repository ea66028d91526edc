//! A cache of decoded `_meta`.

use crate::Meta;

/// Longer texts are not cached, because comparing them would not be quicker.
const MAX_BYTES: usize = 2048;
/// The entry is replaced on the first of this many misses, so that alternating clients do not
/// evict each other's entries with every request.
const MISSES_PER_REPLACEMENT: u32 = 64;

/// Remembers the `_meta` of one earlier request, for one connection.
///
/// Most clients send the same `_meta` text with every request, and comparing it is quicker than
/// decoding it. The cache affects speed only: a request gets the cached value only if its own text
/// is equal, so that nothing is taken from an earlier request
/// (`basic/index#statelessness`).
#[derive(Clone, Debug, Default)]
pub struct MetaCache {
    entry: Option<Meta>,
    misses: u32,
}

impl MetaCache {
    /// Creates an empty cache.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entry: None,
            misses: 0,
        }
    }

    /// Returns the remembered `_meta`.
    pub(crate) fn entry(&self) -> Option<&Meta> {
        self.entry.as_ref()
    }

    /// Records the `_meta` of a request that was decoded with this cache.
    pub(crate) fn record(&mut self, meta: &Meta) {
        if self
            .entry
            .as_ref()
            .is_some_and(|entry| entry.raw() == meta.raw())
        {
            return;
        }
        // A progress token makes each request's text different.
        let is_cacheable =
            meta.progress_token().is_none() && meta.raw().as_bytes().len() <= MAX_BYTES;
        if self.misses.is_multiple_of(MISSES_PER_REPLACEMENT) && is_cacheable {
            self.entry = Some(meta.detached());
        }
        self.misses = self.misses.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_types::{ClientCapabilities, LoggingLevel, ProtocolVersion};

    fn meta(level: LoggingLevel) -> Meta {
        Meta::builder(ProtocolVersion::LATEST, ClientCapabilities::default())
            .log_level(level)
            .build()
    }

    #[test]
    fn one_of_many_misses_replaces_the_entry() {
        let mut cache = MetaCache::new();
        let (info, debug) = (meta(LoggingLevel::Info), meta(LoggingLevel::Debug));
        cache.record(&info);
        let is_debug =
            |cache: &MetaCache| cache.entry().unwrap().log_level() == Some(LoggingLevel::Debug);
        for _ in 1..MISSES_PER_REPLACEMENT {
            cache.record(&debug);
            cache.record(&info);
            assert!(!is_debug(&cache));
        }
        cache.record(&debug);
        assert!(is_debug(&cache));
    }

    #[test]
    fn texts_that_differ_in_every_request_or_are_long_are_not_cached() {
        let builder = || Meta::builder(ProtocolVersion::LATEST, ClientCapabilities::default());
        let long = [("x".to_owned(), "y".repeat(MAX_BYTES).into())];
        for meta in [
            builder()
                .progress_token(carryall_types::ProgressToken::from(1))
                .build(),
            builder().extra(long.into_iter().collect()).build(),
        ] {
            let mut cache = MetaCache::new();
            cache.record(&meta);
            assert!(cache.entry().is_none());
        }
    }
}
