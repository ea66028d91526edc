//! The headers of Streamable HTTP: names, value encoding, and comparison with the body
//! (`basic/transports/streamable-http#request-metadata`).

mod annotation;
mod integer;
mod mismatch;
mod names;
mod param;
mod standard;
mod value;

pub use annotation::{ParamHeaderProblem, ProblemKind};
pub use integer::MAX_SAFE_INTEGER;
pub use mismatch::HeaderMismatch;
pub use names::{
    CORS_REQUEST_HEADERS, MCP_METHOD, MCP_NAME, MCP_PARAM_PREFIX, MCP_PROTOCOL_VERSION,
};
pub use param::{MirrorError, ParamHeaders};
pub use standard::{StandardHeaders, check_standard};
pub use value::{HeaderDecodeError, decode_value, encode_value};
