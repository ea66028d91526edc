//! Whether and how long a client may cache a result (`server/utilities/caching`).

use crate::listen::is_within;
use carryall_types::{JsonObject, JsonValue, RawJson};
use serde::Deserialize;
use std::time::Duration;

const CACHEABLE: [&str; 6] = [
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// How long a cached result is fresh. Times are measured by the caller from any fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the result was received.
    pub received_at: Duration,
    /// How long it is fresh from then on, in milliseconds.
    pub ttl_ms: u64,
}

impl Freshness {
    /// Whether `now < received_at + ttl_ms`.
    #[must_use]
    pub fn is_fresh(&self, now: Duration) -> bool {
        // An expiry that overflows is never reached.
        self.received_at
            .checked_add(Duration::from_millis(self.ttl_ms))
            .is_none_or(|end| now < end)
    }
}

/// What the server said about caching a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheHint {
    /// How long the result is fresh, in milliseconds. 0: stale at once, of use only if fetching it
    /// again fails.
    pub ttl_ms: u64,
    /// Whether it may be shared between authorization contexts.
    pub public: bool,
}

/// Whether the result of a request may be cached, and how.
///
/// `params_has_round_members`: the request had `inputResponses` or `requestState`, so that its result
/// depends on more than the key. A missing, negative or unreadable `ttlMs` is 0, and
/// everything but `"public"` is private.
#[must_use]
pub fn may_cache(
    method: &str,
    params_has_round_members: bool,
    result: &RawJson,
) -> Option<CacheHint> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Hints {
        #[serde(default)]
        result_type: Option<JsonValue>,
        #[serde(default)]
        ttl_ms: JsonValue,
        #[serde(default)]
        cache_scope: JsonValue,
    }
    if params_has_round_members || !CACHEABLE.contains(&method) {
        return None;
    }
    let hints: Hints = result.decode().ok()?;
    // Results of older servers have no type and are complete.
    if hints.result_type.is_some_and(|kind| kind != "complete") {
        return None;
    }
    // A float casts to the nearest integer in range: negative and NaN to 0.
    let ttl_ms = hints
        .ttl_ms
        .as_u64()
        .or_else(|| hints.ttl_ms.as_f64().map(|float| float as u64))
        .unwrap_or(0);
    Some(CacheHint {
        ttl_ms,
        public: hints.cache_scope == "public",
    })
}

/// Who may be served from an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Everybody.
    Public,
    /// One authorization context: whatever tells one access token from another. Use a digest, never
    /// the token.
    Private(Box<str>),
}

/// The key of a cached result: the method, the parameters that affect it, and its audience.
///
/// To look up a result, try the key for the own context and the public one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    method: Box<str>,
    params: Box<str>,
    uri: Option<Box<str>>,
    audience: Audience,
}

impl CacheKey {
    /// Creates the key of a request. `_meta` and the order of members do not affect it.
    pub fn new(
        method: impl Into<Box<str>>,
        params: Option<&JsonObject>,
        audience: Audience,
    ) -> Self {
        let method = method.into();
        let uri = params
            .filter(|_| &*method == "resources/read")
            .and_then(|params| params.get("uri")?.as_str());
        let mut text = String::new();
        let members = params
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "_meta");
        write_members(members.collect(), &mut text);
        Self {
            uri: uri.map(Into::into),
            params: text.into(),
            method,
            audience,
        }
    }

    /// Returns the key of the same request for another audience.
    #[must_use]
    pub fn for_audience(&self, audience: Audience) -> Self {
        Self {
            audience,
            ..self.clone()
        }
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// The entries that a notification makes stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// Every page of these lists.
    Methods(&'static [&'static str]),
    /// Reads of this resource, and of what contains it or lies in it.
    Resource(Box<str>),
}

impl Invalidation {
    /// Returns what `notification` makes stale; `uri` is the member of its parameters.
    #[must_use]
    pub fn of(notification: &str, uri: Option<&str>) -> Option<Self> {
        match notification {
            "notifications/tools/list_changed" => Some(Self::Methods(&["tools/list"])),
            "notifications/prompts/list_changed" => Some(Self::Methods(&["prompts/list"])),
            "notifications/resources/list_changed" => Some(Self::Methods(&[
                "resources/list",
                "resources/templates/list",
            ])),
            "notifications/resources/updated" => uri.map(|uri| Self::Resource(uri.into())),
            _ => None,
        }
    }

    /// Whether the entry under `key` is stale now.
    #[must_use]
    pub fn hits(&self, key: &CacheKey) -> bool {
        match (self, &key.uri) {
            (Self::Methods(methods), _) => methods.contains(&&*key.method),
            (Self::Resource(updated), Some(uri)) => {
                is_within(updated, uri) || is_within(uri, updated)
            }
            (Self::Resource(_), None) => false,
        }
    }
}

/// Writes JSON with sorted keys. The parser has bounded the depth.
fn write_canonical(value: &JsonValue, out: &mut String) {
    match value {
        JsonValue::Object(members) => write_members(members.iter().collect(), out),
        JsonValue::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_members(mut members: Vec<(&String, &JsonValue)>, out: &mut String) {
    members.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in members {
        out.push_str(&JsonValue::from(key.as_str()).to_string());
        out.push(':');
        write_canonical(value, out);
        out.push(',');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn key(method: &str, params: JsonValue) -> CacheKey {
        CacheKey::new(method, params.as_object(), Audience::Public)
    }

    fn hint(method: &str, rounds: bool, result: JsonValue) -> Option<CacheHint> {
        may_cache(method, rounds, &RawJson::from(&result))
    }

    // spec: caching-05, caching-06, caching-11
    #[test]
    fn fresh_until_the_ttl_has_passed() {
        let at = Duration::from_secs(10);
        let fresh = |ttl_ms, now_ms| {
            Freshness {
                received_at: at,
                ttl_ms,
            }
            .is_fresh(Duration::from_millis(now_ms))
        };
        assert!(!fresh(0, 10_000));
        assert!(fresh(500, 10_499));
        assert!(!fresh(500, 10_500));
        assert!(
            Freshness {
                received_at: Duration::MAX,
                ttl_ms: u64::MAX
            }
            .is_fresh(Duration::MAX),
            "no overflow"
        );
    }

    // spec: caching-07, caching-08
    #[test]
    fn odd_hints_are_read_on_the_safe_side() {
        for ttl in [json!(null), json!(-5), json!("300"), json!(-0.5), json!({})] {
            let result = json!({"resultType": "complete", "ttlMs": ttl, "cacheScope": "Public"});
            assert_eq!(
                hint("tools/list", false, result),
                Some(CacheHint {
                    ttl_ms: 0,
                    public: false
                })
            );
        }
        assert_eq!(
            hint("tools/list", false, json!({"tools": []})),
            Some(CacheHint {
                ttl_ms: 0,
                public: false
            })
        );
        assert_eq!(
            hint(
                "tools/list",
                false,
                json!({"ttlMs": 5.0, "cacheScope": "public"})
            ),
            Some(CacheHint {
                ttl_ms: 5,
                public: true
            })
        );
    }

    // spec: caching-02, caching-04
    #[test]
    fn only_complete_answers_of_listed_methods_without_rounds_are_kept() {
        let complete = json!({"resultType": "complete", "ttlMs": 1000, "cacheScope": "private"});
        for method in CACHEABLE {
            assert_eq!(
                hint(method, false, complete.clone()),
                Some(CacheHint {
                    ttl_ms: 1000,
                    public: false
                })
            );
            assert_eq!(hint(method, true, complete.clone()), None);
            assert_eq!(
                hint(
                    method,
                    false,
                    json!({"resultType": "input_required", "ttlMs": 1000})
                ),
                None
            );
        }
        for method in [
            "tools/call",
            "prompts/get",
            "completion/complete",
            "subscriptions/listen",
            "",
        ] {
            assert_eq!(hint(method, false, complete.clone()), None);
        }
    }

    // spec: caching-03
    #[test]
    fn the_key_is_method_and_parameters_without_meta_or_order() {
        let base = key(
            "resources/read",
            json!({"uri": "a", "x": {"p": 1, "q": [1, 2]}, "_meta": {"progressToken": 1}}),
        );
        assert_eq!(
            base,
            key(
                "resources/read",
                json!({"x": {"q": [1, 2], "p": 1}, "uri": "a"})
            )
        );
        for other in [
            key(
                "resources/list",
                json!({"uri": "a", "x": {"p": 1, "q": [1, 2]}}),
            ),
            key(
                "resources/read",
                json!({"uri": "b", "x": {"p": 1, "q": [1, 2]}}),
            ),
            key(
                "resources/read",
                json!({"uri": "a", "x": {"p": 1, "q": [2, 1]}}),
            ),
            key(
                "resources/read",
                json!({"uri": "a", "x": {"p": 1, "q": [1, 2], "_meta": {}}}),
            ),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(key("tools/list", json!({})), key("tools/list", json!(null)));
        assert_ne!(
            key("tools/list", json!({})),
            key("tools/list", json!({"cursor": ""}))
        );
    }

    // spec: caching-17
    #[test]
    fn private_entries_belong_to_one_context() {
        let alice = CacheKey::new("tools/list", None, Audience::Private("alice".into()));
        assert_ne!(alice, alice.for_audience(Audience::Private("bob".into())));
        assert_ne!(alice, alice.for_audience(Audience::Public));
        assert_eq!(
            alice,
            alice
                .for_audience(Audience::Public)
                .for_audience(Audience::Private("alice".into()))
        );
    }

    // spec: caching-19
    #[test]
    fn notifications_hit_what_they_are_about() {
        let hits = |notification: &str, uri: Option<&str>, key: &CacheKey| {
            Invalidation::of(notification, uri).is_some_and(|hit| hit.hits(key))
        };
        let (tools, page) = (
            key("tools/list", json!({})),
            key("tools/list", json!({"cursor": "x"})),
        );
        assert!(
            hits("notifications/tools/list_changed", None, &tools)
                && hits("notifications/tools/list_changed", None, &page)
        );
        assert!(!hits("notifications/prompts/list_changed", None, &tools));
        assert!(hits(
            "notifications/prompts/list_changed",
            None,
            &key("prompts/list", json!({}))
        ));
        for list in ["resources/list", "resources/templates/list"] {
            assert!(hits(
                "notifications/resources/list_changed",
                None,
                &key(list, json!({}))
            ));
        }
        let read = |uri: &str| key("resources/read", json!({"uri": uri}));
        let updated = |uri: &str| {
            hits(
                "notifications/resources/updated",
                Some("file:///a/b"),
                &read(uri),
            )
        };
        assert!(updated("file:///a/b") && updated("file:///a") && updated("file:///a/b/c"));
        assert!(!updated("file:///a/bc") && !updated("file:///c"));
        assert!(!hits(
            "notifications/resources/updated",
            Some("file:///a/b"),
            &tools
        ));
        assert_eq!(Invalidation::of("notifications/progress", None), None);
        assert_eq!(
            Invalidation::of("notifications/resources/updated", None),
            None
        );
    }

    proptest! {
        #[test]
        fn different_parameters_have_different_keys(
            a in proptest::collection::btree_map("[a\",:{}]{0,4}", "[a\",:{}\\[\\]]{0,4}", 0..4),
            b in proptest::collection::btree_map("[a\",:{}]{0,4}", "[a\",:{}\\[\\]]{0,4}", 0..4),
        ) {
            prop_assert_eq!(key("m", json!(a)) == key("m", json!(b)), a == b);
        }
    }
}
