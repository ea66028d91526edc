//! The settings of a client.

use crate::input::handlers::InputHandlers;
use carryall_proto::EraDecision;
use carryall_proto::backoff::Backoff;
use carryall_types::{ClientCapabilities, JsonObject};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Returns members of `_meta` for the next request.
pub(crate) type AmbientMeta = Arc<dyn Fn() -> JsonObject + Send + Sync>;

/// Returns what the transport knows about the server's era.
pub(crate) type EraSource = Arc<dyn Fn() -> Option<EraDecision> + Send + Sync>;

/// The settings of a client; see [`ClientBuilder`](crate::ClientBuilder).
#[derive(Clone)]
pub(crate) struct ClientConfig {
    pub(crate) timeout: Duration,
    pub(crate) max_timeout: Duration,
    pub(crate) max_rounds: usize,
    pub(crate) max_retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) max_pages: usize,
    pub(crate) max_list_bytes: usize,
    /// Whether `tools/call` mirrors arguments into headers.
    pub(crate) mirror_headers: bool,
    pub(crate) validate_output: bool,
    pub(crate) require_valid_output: bool,
    /// The capabilities set by the user and, once built, those of the handlers.
    pub(crate) capabilities: ClientCapabilities,
    /// Values of `resultType` that declared extensions add.
    pub(crate) result_types: Vec<Box<str>>,
    pub(crate) handlers: InputHandlers,
    pub(crate) ambient_meta: Option<AmbientMeta>,
    pub(crate) era: Option<EraSource>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_timeout: Duration::from_secs(600),
            max_rounds: 8,
            max_retries: 2,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            max_pages: 1000,
            max_list_bytes: 64 * 1024 * 1024,
            mirror_headers: false,
            validate_output: true,
            require_valid_output: false,
            capabilities: ClientCapabilities::default(),
            result_types: Vec::new(),
            handlers: InputHandlers::default(),
            ambient_meta: None,
            era: None,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("timeout", &self.timeout)
            .field("max_timeout", &self.max_timeout)
            .field("max_rounds", &self.max_rounds)
            .field("max_retries", &self.max_retries)
            .field("max_pages", &self.max_pages)
            .field("max_list_bytes", &self.max_list_bytes)
            .field("mirror_headers", &self.mirror_headers)
            .field("validate_output", &self.validate_output)
            .field("require_valid_output", &self.require_valid_output)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
