//! Fetches the result of one round of a request, from the cache or from the server.

use super::attempt::AttemptCount;
use super::outcome::{AcceptedTypes, RawOutcome};
use super::spec::{RequestSpec, RoundInput};
use crate::ClientError;
use crate::cache::CacheView;
use crate::core::ScopedCore;
use crate::options::CallOptions;
use carryall_proto::ParamsWriter;
use carryall_proto::freshness::CacheKey;
use carryall_types::{Method, RawJson, TASKS_EXTENSION};

/// The outcome of one fetch.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) outcome: RawOutcome,
    /// Whether the outcome comes from the cache.
    pub(crate) cached: bool,
}

impl ScopedCore {
    /// Fetches the result of one round, which may be a request for input.
    pub(crate) async fn fetch(
        &self,
        spec: &mut RequestSpec,
        round: Option<&RoundInput>,
        options: &CallOptions,
        attempts: &mut AttemptCount,
    ) -> Result<Fetched, ClientError> {
        options.check()?;
        let cache_slot = self.cache_slot(spec, round);
        if let Some((view, key)) = &cache_slot
            && !options.no_cache
            && let Some(result) = view.get(key)
        {
            return Ok(Fetched {
                outcome: RawOutcome::Complete(result),
                cached: true,
            });
        }
        // Read before sending, so that `put` rejects the result if the cache is invalidated
        // meanwhile.
        let epoch = cache_slot.as_ref().map(|(view, _)| view.epoch());
        let result = self.send(spec, round, options, attempts).await?;
        let outcome = RawOutcome::classify(&spec.method, result, self.accepted_types(spec))?;
        if let (RawOutcome::Complete(result), Some((view, key)), Some(epoch)) =
            (&outcome, cache_slot, epoch)
        {
            view.put(key, result, epoch);
        }
        Ok(Fetched {
            outcome,
            cached: false,
        })
    }

    /// Fetches a complete result as JSON text. Any other outcome is an error.
    pub(crate) async fn fetch_text(
        &self,
        method: Method,
        params: ParamsWriter,
        options: &CallOptions,
    ) -> Result<RawJson, ClientError> {
        let mut spec = RequestSpec::new(method, params);
        spec.raw = true;
        let fetched = self
            .fetch(&mut spec, None, options, &mut AttemptCount::default())
            .await?;
        fetched.outcome.into_complete(&spec.method)
    }

    /// Returns the result types that the request accepts. A typed request accepts tasks, if the
    /// client has declared them. A raw request accepts the result types of extensions.
    fn accepted_types(&self, spec: &RequestSpec) -> AcceptedTypes<'_> {
        if spec.raw {
            AcceptedTypes {
                extension: &self.config.result_types,
                task: false,
            }
        } else {
            AcceptedTypes {
                extension: &[],
                task: self.config.capabilities.has_extension(TASKS_EXTENSION),
            }
        }
    }

    /// Returns where the result is cached, or `None` if it must not be cached.
    fn cache_slot(
        &self,
        spec: &RequestSpec,
        round: Option<&RoundInput>,
    ) -> Option<(CacheView, CacheKey)> {
        // The cache key does not contain the input of a round
        // (`server/utilities/caching#cache-key`), so the result of a request with input is not
        // cached.
        if round.is_some() || !spec.method.is_cacheable() {
            return None;
        }
        let view = self.cache_view()?;
        let key = view.key(spec.method.as_str(), &spec.to_object());
        Some((view, key))
    }
}
