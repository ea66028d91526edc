//! What can be set for one request.

use crate::ClientError;
use crate::notices::{LogMessage, ProgressUpdate};
use crate::warnings::ResponseWarning;
use carryall_proto::{key, trace};
use carryall_types::{JsonObject, JsonValue, LoggingLevel, Task};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one request; what is not set comes from the client.
///
/// Each has a setter of the same name on [`Request`](crate::Request). A value of this type is for
/// settings that several requests share: [`Request::with`](crate::Request::with).
#[derive(Clone, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_timeout: Option<Duration>,
    pub(crate) reset_on_progress: bool,
    pub(crate) no_cache: bool,
    pub(crate) retry_idempotent: bool,
    pub(crate) max_rounds: Option<usize>,
    pub(crate) meta: MetaOptions,
    pub(crate) on_progress: Option<Arc<dyn Fn(ProgressUpdate) + Send + Sync>>,
    pub(crate) on_task: Option<OnTask>,
    pub(crate) on_log: Option<Arc<dyn Fn(LogMessage) + Send + Sync>>,
    pub(crate) on_warning: Option<OnWarning>,
    /// The first setter that was given something wrong; reported when the request is sent.
    pub(crate) wrong: Option<String>,
}

/// Receives the warnings about an answer.
pub(crate) type OnWarning = Arc<dyn Fn(&ResponseWarning) + Send + Sync>;
/// Who hears how a task stands.
pub(crate) type OnTask = Arc<dyn Fn(&Task) + Send + Sync>;

/// The part of the options that is written into `_meta`.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetaOptions {
    pub(crate) log_level: Option<LoggingLevel>,
    pub(crate) extra: JsonObject,
}

impl CallOptions {
    /// Nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long each wire request may take; then it is cancelled
    /// (`basic/patterns/cancellation#timeouts`). Time that a handler takes to provide an input does
    /// not count.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long each wire request may take at the very most, whatever progress it reports.
    #[must_use]
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.max_timeout = Some(timeout);
        self
    }

    /// Starts the timeout anew with each progress notification, up to
    /// [`max_timeout`](Self::max_timeout).
    #[must_use]
    pub fn reset_on_progress(mut self) -> Self {
        self.reset_on_progress = true;
        self
    }

    /// Asks the server even if a fresh answer is cached. The new answer is cached.
    #[must_use]
    pub fn no_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// Allows a tool call whose connection broke to be sent again, provided that the tool calls
    /// itself idempotent or read-only. Those annotations are the server's word: use it with servers
    /// you trust (`server/tools#tool`).
    #[must_use]
    pub fn retry_idempotent(mut self) -> Self {
        self.retry_idempotent = true;
        self
    }

    /// How often the server may ask for input before the call fails.
    #[must_use]
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.max_rounds = Some(rounds);
        self
    }

    /// Asks for progress, and what to do with it. Runs between two reads of the response: keep it
    /// short.
    ///
    /// When the call becomes a task, each new status message of the task comes here as well, as
    /// long as it is not at its end: `message` is that text, `progress` is 1 more than before, and
    /// there is no `total`, because the Tasks extension has no progress notifications for tasks.
    #[must_use]
    pub fn on_progress(mut self, f: impl Fn(ProgressUpdate) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(f));
        self
    }

    /// What to do with news of the task that the call has become, its first state included. Runs
    /// between two requests: keep it short.
    #[must_use]
    pub fn on_task(mut self, f: impl Fn(&Task) + Send + Sync + 'static) -> Self {
        self.on_task = Some(Arc::new(f));
        self
    }

    /// What to do with warnings: the answer has something malformed in it, and the rest of it is
    /// used. They are logged in any case. At most nine for each answer, before the result is handed
    /// over.
    #[must_use]
    pub fn on_warning(mut self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.on_warning = Some(Arc::new(f));
        self
    }

    /// Asks for log messages of `level` and above, and what to do with them. Runs between two reads
    /// of the response: keep it short.
    #[must_use]
    #[deprecated(
        note = "SEP-2577 deprecates logging over MCP; it may be removed from 2027-07-28 on. Use OpenTelemetry."
    )]
    pub fn on_log(
        mut self,
        level: LoggingLevel,
        f: impl Fn(LogMessage) + Send + Sync + 'static,
    ) -> Self {
        self.meta.log_level = Some(level);
        self.on_log = Some(Arc::new(f));
        self
    }

    /// Puts a member into `_meta`. Keys of the protocol itself are refused, and so are malformed
    /// keys and trace context (`basic/index#_meta`).
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<JsonValue>) -> Self {
        let (name, value) = (name.into(), value.into());
        match check_member(&name, &value) {
            Ok(()) => {
                self.meta.extra.insert(name, value);
            }
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
            }
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match &self.wrong {
            None => Ok(()),
            Some(wrong) => Err(ClientError::Request(wrong.clone())),
        }
    }

    pub(crate) fn wants_progress(&self) -> bool {
        self.on_progress.is_some() || self.reset_on_progress
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("timeout", &self.timeout)
            .field("max_timeout", &self.max_timeout)
            .field("reset_on_progress", &self.reset_on_progress)
            .field("no_cache", &self.no_cache)
            .field("retry_idempotent", &self.retry_idempotent)
            .field("max_rounds", &self.max_rounds)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// Whether a member may be put into `_meta` by a user of the client.
pub(crate) fn check_member(name: &str, value: &JsonValue) -> Result<(), String> {
    const OWN: [&str; 5] = [
        key::PROTOCOL_VERSION,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        key::LOG_LEVEL,
        key::PROGRESS_TOKEN,
    ];
    if OWN.contains(&name) {
        return Err(format!(
            "_meta member {name:?} is written by the client itself"
        ));
    }
    if !is_meta_key(name) {
        return Err(format!(
            "{name:?} is not a _meta key: [prefix/]name, letters, digits, '-', '_' and '.'"
        ));
    }
    let text = value.as_str();
    let well_formed = match name {
        "traceparent" => text.is_some_and(trace::is_traceparent),
        "tracestate" => text.is_some_and(trace::is_tracestate),
        "baggage" => text.is_some_and(trace::is_baggage),
        _ => true,
    };
    if well_formed {
        Ok(())
    } else {
        Err(format!(
            "_meta member {name:?} is not in the format that W3C gives it"
        ))
    }
}

/// The naming rules of `_meta` keys: an optional prefix of dot-separated labels and a slash, then a
/// name.
fn is_meta_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_meta_prefix(prefix) && is_meta_name(name),
        None => is_meta_name(key),
    }
}

/// Extension identifiers follow the same rules, with a prefix
/// (`basic/versioning#extension-negotiation`).
pub(crate) fn is_extension_id(id: &str) -> bool {
    id.contains('/') && is_meta_key(id)
}

fn is_meta_prefix(prefix: &str) -> bool {
    prefix.split('.').all(|label| {
        let bytes = label.as_bytes();
        let inner = bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let ends = bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
        inner && ends
    })
}

fn is_meta_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    // The name may be empty behind a prefix; a key as a whole may not.
    let ends = bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric);
    inner && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: meta-02, meta-03, meta-06, meta-07, versioning-05
    #[test]
    fn keys_follow_the_naming_rules() {
        for good in [
            "a",
            "traceparent",
            "com.example/x",
            "com.example/",
            "a-b.c1/x.y_z-1",
            "x/1",
        ] {
            assert!(is_meta_key(good), "{good}");
        }
        for bad in [
            "/x", "1a.b/x", "a-/x", "a..b/x", "a/_x", "a/x.", "a b", "a/b/c", "ä/x", "a_b/x",
        ] {
            assert!(!is_meta_key(bad), "{bad}");
        }
        assert!(is_extension_id("com.example/thing") && !is_extension_id("thing"));
    }

    // spec: meta-21
    #[test]
    fn trace_context_must_be_well_formed() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(check_member("traceparent", &parent.into()), Ok(()));
        assert!(check_member("traceparent", &"00-00".into()).is_err());
        assert!(check_member("tracestate", &JsonValue::from(1)).is_err());
        assert!(check_member("baggage", &"a=1,b=2".into()).is_ok());
    }

    #[test]
    fn members_of_the_protocol_are_refused() {
        let options = CallOptions::new().meta(key::PROTOCOL_VERSION, "1900-01-01");
        assert!(
            options
                .check()
                .unwrap_err()
                .to_string()
                .contains("written by the client itself")
        );
        assert!(options.meta.extra.is_empty());
    }
}
