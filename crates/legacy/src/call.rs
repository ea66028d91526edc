//! Calling servers of either era as if all of them were of 2026-07-28.
//!
//! [`DualEraHttp`] and [`DualEraStdio`] are `Call` services. Each detects the era of its server on
//! first use. From then on it is a plain transport for a modern server, or an adapter that performs
//! the handshake and translates for a legacy one.
//!
//! ```
//! use carryall_legacy::call::{DualEraHttp, DualEraOptions, Era};
//! use carryall_transport::HttpClient;
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let http = HttpClient::new("http://127.0.0.1:8080/mcp")?;
//! let detecting = DualEraHttp::new(http.clone(), DualEraOptions::default());
//! // For a server whose era is known:
//! let legacy = DualEraHttp::new(http, DualEraOptions::default().era(Era::Legacy));
//! # Ok(())
//! # }
//! ```

mod adapter;
mod budgets;
mod era_cache;
#[cfg(test)]
mod fake_transport;
mod http;
mod identity;
mod legacy_call;
mod legacy_side;
mod listen;
mod options;
mod pending;
mod pool;
mod session;
mod session_scope;
mod single_flight;
#[cfg(unix)]
mod stdio;
mod suspended;
mod task;
mod translate;
mod transport;

pub use era_cache::EraCache;
pub use http::DualEraHttp;
pub use options::{DualEraOptions, Era, InputCallback};
pub use session_scope::{SessionScope, UnknownSessionScope};
#[cfg(unix)]
pub use stdio::DualEraStdio;
