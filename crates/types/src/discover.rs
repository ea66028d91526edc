//! Discovery (`server/discover`).

use crate::number::Ttl;
use crate::object::object;
use crate::{CacheScope, JsonObject, ServerCapabilities};

object! {
    /// The result of `server/discover`.
    #[derive(Default)]
    pub struct DiscoverResult {
        required {
            /// The protocol versions that the server supports. Strings, because they may include
            /// versions unknown to this crate.
            supported_versions: Vec<String> = "supportedVersions",
            /// The server's capabilities.
            capabilities: ServerCapabilities = "capabilities",
        }
        defaulted {
            /// How long the result may be cached, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may be served a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// Instructions for the model on how to use the server.
            instructions / with_instructions: String = "instructions",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
