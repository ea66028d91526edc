//! A gateway: one endpoint in front of many MCP servers.
//!
//! A [`Gateway`] is a service from [`Call`](carryall_proto::Call) to
//! [`Reply`](carryall_proto::Reply) that holds [`Upstream`]s. Each upstream is one server with one
//! or more replicas, and each replica is such a service again. Nothing here opens a socket or
//! starts a process.
//!
//! - With one upstream, calls and replies pass through unchanged. Only ids are mapped: request id,
//!   subscription id and, on a shared channel, progress token. Credentials of clients are removed.
//! - With several, the names of tools and prompts are prefixed with the upstream's name
//!   (`weather__forecast`), lists are merged, and a cursor holds the cursors of all upstreams. A
//!   dead or slow upstream is left out of a list and never fails it.
//! - Each request goes to the next healthy replica, whichever served the one before. A request that
//!   was not executed, or may be executed twice, is retried on another replica; a `tools/call` that
//!   may have been executed never is.
//!
//! The gateway spawns no tasks. Poll [`Gateway::watch`] beside it, so that replicas are probed and
//! calls whose replies are not read end at their deadline.
//!
//! ```no_run
//! use carryall_gateway::{Gateway, Upstream};
//! use carryall_proto::SharedService;
//! use carryall_types::Implementation;
//!
//! # async fn example(weather: SharedService, notes: SharedService) -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::builder(Implementation::new("edge", "1.0.0"))
//!     .upstream(Upstream::new("weather")?.with_replica("weather-1", weather))
//!     .upstream(Upstream::new("notes")?.with_replica("notes-1", notes))
//!     .build()?;
//! // Serve `gateway` and, at the same time:
//! gateway.watch().await;
//! # Ok(())
//! # }
//! ```

mod caller_quota;
mod cursor;
mod error;
mod federation;
mod gateway;
mod id_mapping;
mod limits;
mod listen;
mod page_budget;
mod random;
mod relay;
mod upstream;

pub use error::code;
pub use gateway::{Gateway, GatewayBuildError, GatewayBuilder};
pub use limits::GatewayFuture;
pub use upstream::{InvalidName, ProbeConfig, ReplicaHandle, ReplicaStatus, SEPARATOR, Upstream};
