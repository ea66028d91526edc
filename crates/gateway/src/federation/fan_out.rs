//! Sends one call to several upstreams.

use super::Federation;
use crate::error::GatewayError;
use crate::upstream::Upstream;
use carryall_proto::freshness::{CacheHint, may_cache};
use carryall_proto::{BoxFuture, Call, Outcome, Printable, Reply, key};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};
use futures_util::future::join_all;
use tokio::time::timeout;

/// The part of an answer that one upstream contributes.
pub(super) enum PartialAnswer {
    Result(RawJson),
    /// The upstream does not support the method.
    Unsupported,
    /// The upstream failed and is left out.
    Failed(ErrorObject),
    /// The upstream has not answered in time and is left out. Subscribers are notified when it has.
    Late(ErrorObject),
}

impl Federation {
    /// Sends each of `calls` to its upstream, all at once. A dead or slow upstream delays the others
    /// by at most the fan-out timeout.
    pub(super) async fn fan_out(&self, calls: Vec<(&Upstream, Call)>) -> Vec<PartialAnswer> {
        let answers = calls
            .into_iter()
            .map(|(upstream, call)| self.partial_answer(upstream, call));
        join_all(answers).await
    }

    async fn partial_answer(&self, upstream: &Upstream, call: Call) -> PartialAnswer {
        let method = call.method().clone();
        let called = upstream.clone();
        let mut answer: BoxFuture<Outcome> = Box::pin(async move {
            match called.exchange(call).await {
                Ok(reply) => final_outcome(reply).await,
                Err(error) => Outcome::Error(error.to_error()),
            }
        });
        let Ok(outcome) = timeout(self.timeout, &mut answer).await else {
            let error = GatewayError::Timeout(self.timeout).to_error();
            tracing::warn!(upstream = upstream.name(), %method, timeout = ?self.timeout, "upstream left out: no answer yet");
            self.late_answers.add(upstream.name(), &method, answer);
            return PartialAnswer::Late(error);
        };
        let error = match outcome {
            Outcome::Result(result) if is_complete(&result) => {
                return PartialAnswer::Result(result);
            }
            Outcome::Result(_) => ErrorObject::internal(),
            Outcome::Error(error) if error.code == code::METHOD_NOT_FOUND => {
                return PartialAnswer::Unsupported;
            }
            Outcome::Error(error) => error,
        };
        let (name, code) = (upstream.name(), error.code);
        tracing::warn!(upstream = name, %method, code, message = %Printable(&error.message), "upstream left out of the answer");
        PartialAnswer::Failed(error)
    }

    /// Returns the members that every merged result has.
    pub(super) fn result_members(&self, cache: CacheHint) -> JsonObject {
        let info = serde_json::to_value(&self.info).unwrap_or_default();
        let scope = if cache.public { "public" } else { "private" };
        JsonObject::from_iter([
            ("resultType".to_owned(), JsonValue::from("complete")),
            ("ttlMs".to_owned(), JsonValue::from(cache.ttl_ms)),
            ("cacheScope".to_owned(), JsonValue::from(scope)),
            (
                "_meta".to_owned(),
                JsonValue::Object(JsonObject::from_iter([(key::SERVER_INFO.to_owned(), info)])),
            ),
        ])
    }
}

/// Merges the cache hints of all parts (`server/utilities/caching`): the shortest lifetime, and
/// public only if all are. An incomplete answer is stale at once, so that it is requested again when
/// the missing upstream is back.
pub(super) fn merged_hint(method: &Method, parts: &[PartialAnswer]) -> CacheHint {
    let hints = parts.iter().filter_map(|part| match part {
        PartialAnswer::Result(result) => {
            Some(may_cache(method.as_str(), false, result).unwrap_or(UNCACHEABLE))
        }
        PartialAnswer::Failed(_) | PartialAnswer::Late(_) => Some(CacheHint {
            ttl_ms: 0,
            public: true,
        }),
        PartialAnswer::Unsupported => None,
    });
    let merge = |a: CacheHint, b: CacheHint| CacheHint {
        ttl_ms: a.ttl_ms.min(b.ttl_ms),
        public: a.public && b.public,
    };
    hints.reduce(merge).unwrap_or(UNCACHEABLE)
}

const UNCACHEABLE: CacheHint = CacheHint {
    ttl_ms: 0,
    public: false,
};

/// Returns the error to answer with if no part has a result.
pub(super) fn first_error(parts: Vec<PartialAnswer>, method: &Method) -> ErrorObject {
    let error = parts.into_iter().find_map(|part| match part {
        PartialAnswer::Failed(error) | PartialAnswer::Late(error) => Some(error),
        PartialAnswer::Result(_) | PartialAnswer::Unsupported => None,
    });
    error.unwrap_or_else(|| ErrorObject::method_not_found(method.as_str()))
}

/// Returns the outcome of a reply. Notifications are dropped: the progress of one part would be
/// taken for that of the whole.
async fn final_outcome(reply: Reply) -> Outcome {
    match reply.into_response().await {
        Ok(response) => response.outcome,
        Err(_) => Outcome::Error(ErrorObject::internal()),
    }
}

fn is_complete(result: &RawJson) -> bool {
    #[derive(serde::Deserialize)]
    struct ResultTypeField {
        #[serde(rename = "resultType", default)]
        result_type: Option<String>,
    }
    result
        .decode::<ResultTypeField>()
        .is_ok_and(|field| field.result_type.is_none_or(|name| name == "complete"))
}
