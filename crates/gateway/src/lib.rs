//! The edge: one endpoint in front of many MCP servers.
//!
//! A [`Gateway`] is a service on the seam that holds [`Upstream`]s, each of them one server in one
//! or more replicas, and each replica a service on the seam again. Nothing here opens a socket or
//! starts a process.
//!
//! - With one upstream everything passes as it stands. What belongs to a hop is exchanged on the
//!   way up and back on the way down: request id, subscription id and, on a shared channel,
//!   progress token. Credentials stay behind.
//! - With several, the names of tools and prompts get the upstream's name in front
//!   (`weather__forecast`), lists are merged, and a cursor says where each upstream goes on. A dead
//!   or stalled upstream is left out of a list; it never fails it.
//! - Each request goes to the next living replica, whichever answered the one before. What is known
//!   not to have been executed, or may be executed twice, is tried on another replica; a
//!   `tools/call` that may have been executed never is.
//!
//! No task is started here. Whoever runs a gateway drives [`Gateway::watch`] beside it, so that
//! replicas are probed and calls whose replies nobody reads end at their deadline.

mod cursor;
mod fault;
mod federation;
mod gateway;
mod hop;
mod limits;
mod listen;
mod random;
mod relay;
mod share;
mod upstream;
mod walk;

pub use fault::code;
pub use gateway::{Gateway, GatewayBuildError, GatewayBuilder};
pub use limits::GatewayFuture;
pub use upstream::{InvalidName, ProbeConfig, ReplicaHandle, ReplicaStatus, SEPARATOR, Upstream};
