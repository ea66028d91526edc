//! The header side of Streamable HTTP: names, value encoding, and the checks that hold headers
//! against the body (`basic/transports/streamable-http#request-metadata`).

mod annotation;
mod integer;
pub mod ladder;
mod mismatch;
mod names;
mod param;
mod value;

pub use annotation::{ParamHeaderProblem, ProblemKind};
pub use integer::MAX_SAFE_INTEGER;
pub use mismatch::HeaderMismatch;
pub use names::{
    CORS_REQUEST_HEADERS, MCP_METHOD, MCP_NAME, MCP_PARAM_PREFIX, MCP_PROTOCOL_VERSION,
};
pub use param::{NotMirrored, ParamHeaders};
pub use value::{BadValue, decode_value, encode_value};
