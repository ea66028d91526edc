//! Asking several upstreams for one answer.

use super::Federation;
use crate::fault::GatewayError;
use crate::upstream::Upstream;
use carryall_proto::freshness::{CacheHint, may_cache};
use carryall_proto::{BoxFuture, Call, Outcome, Printable, Reply, key};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};
use futures_util::future::join_all;
use tokio::time::timeout;

/// What an upstream had to say.
pub(super) enum Part {
    /// Its result.
    Result(RawJson),
    /// It does not have that at all.
    Nothing,
    /// It is left out of the answer.
    LeftOut(ErrorObject),
    /// It is left out, too, but may come yet: the upstream has not answered in time. Listeners are
    /// told when it has.
    Late(ErrorObject),
}

impl Federation {
    /// Asks each of `calls` of its upstream, all at once. A dead upstream, or one that takes too
    /// long, costs the others nothing but that time.
    pub(super) async fn ask(&self, calls: Vec<(&Upstream, Call)>) -> Vec<Part> {
        join_all(
            calls
                .into_iter()
                .map(|(upstream, call)| self.ask_one(upstream, call)),
        )
        .await
    }

    async fn ask_one(&self, upstream: &Upstream, call: Call) -> Part {
        let method = call.method().clone();
        let asked = upstream.clone();
        let mut part: BoxFuture<Outcome> = Box::pin(async move {
            match asked.exchange(call).await {
                Ok(reply) => outcome(reply).await,
                Err(fault) => Outcome::Error(fault.to_error()),
            }
        });
        let Ok(outcome) = timeout(self.patience, &mut part).await else {
            let error = GatewayError::Timeout(self.patience).to_error();
            tracing::warn!(upstream = upstream.name(), %method, within = ?self.patience, "upstream left out: no answer yet");
            self.late.add(upstream.name(), &method, part);
            return Part::Late(error);
        };
        let error = match outcome {
            Outcome::Result(result) if is_complete(&result) => return Part::Result(result),
            Outcome::Result(_) => ErrorObject::internal(),
            Outcome::Error(error) if error.code == code::METHOD_NOT_FOUND => return Part::Nothing,
            Outcome::Error(error) => error,
        };
        let (name, code) = (upstream.name(), error.code);
        tracing::warn!(upstream = name, %method, code, message = %Printable(&error.message), "upstream left out of the answer");
        Part::LeftOut(error)
    }

    /// The members that every result of the federation itself has.
    pub(super) fn signed(&self, cache: CacheHint) -> JsonObject {
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

/// What all parts together allow (`server/utilities/caching`): the shortest time, and public only
/// if all of it is. An answer without one of its parts is stale at once, so that it is asked for
/// again when that upstream is back.
pub(super) fn merged_hint(method: &Method, parts: &[Part]) -> CacheHint {
    let hints = parts.iter().filter_map(|part| match part {
        Part::Result(result) => {
            Some(may_cache(method.as_str(), false, result).unwrap_or(UNCACHEABLE))
        }
        Part::LeftOut(_) | Part::Late(_) => Some(CacheHint {
            ttl_ms: 0,
            public: true,
        }),
        Part::Nothing => None,
    });
    let shared = |a: CacheHint, b: CacheHint| CacheHint {
        ttl_ms: a.ttl_ms.min(b.ttl_ms),
        public: a.public && b.public,
    };
    hints.reduce(shared).unwrap_or(UNCACHEABLE)
}

const UNCACHEABLE: CacheHint = CacheHint {
    ttl_ms: 0,
    public: false,
};

/// The error to answer with when no part has a result.
pub(super) fn first_error(parts: Vec<Part>, method: &Method) -> ErrorObject {
    let error = parts.into_iter().find_map(|part| match part {
        Part::LeftOut(error) | Part::Late(error) => Some(error),
        Part::Result(_) | Part::Nothing => None,
    });
    error.unwrap_or_else(|| ErrorObject::method_not_found(method.as_str()))
}

/// The response of a reply. Notifications of a part are of no use to anybody: progress of one would
/// be taken for that of the whole.
async fn outcome(reply: Reply) -> Outcome {
    match reply.into_response().await {
        Ok(response) => response.outcome,
        Err(_) => Outcome::Error(ErrorObject::internal()),
    }
}

fn is_complete(result: &RawJson) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind {
        #[serde(rename = "resultType", default)]
        kind: Option<String>,
    }
    result
        .decode::<Kind>()
        .is_ok_and(|of| of.kind.is_none_or(|kind| kind == "complete"))
}
