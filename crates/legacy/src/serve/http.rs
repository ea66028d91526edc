//! The HTTP binding: Streamable HTTP with sessions (2025-03-26 to 2025-11-25), and HTTP+SSE
//! (2024-11-05).

mod answer;
mod ended_sessions;
mod endpoint;
mod headers;
mod listen;
mod publisher;
mod replica;
mod response_start;
mod session;
mod session_table;
mod sse2024;
mod state;
mod stream;
mod streamable;
mod token;

pub use endpoint::LegacyEndpoint;
pub use stream::StreamControl;
