//! Discovery (`server/discover`).

use crate::number::Ttl;
use crate::object::object;
use crate::{CacheScope, JsonObject, ServerCapabilities};

object! {
    /// The result of `server/discover`.
    #[derive(Default)]
    pub struct DiscoverResult {
        required {
            /// The protocol versions that the server speaks. Text, because it may speak newer ones
            /// than this crate.
            supported_versions: Vec<String> = "supportedVersions",
            /// What the server can do.
            capabilities: ServerCapabilities = "capabilities",
        }
        defaulted {
            /// How long the result stays fresh, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may share a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// How to use the server, for the model.
            instructions / with_instructions: String = "instructions",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
