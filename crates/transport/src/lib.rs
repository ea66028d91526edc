//! The bindings that carry MCP: Streamable HTTP, stdio, sockets and in-memory.
//!
//! Each server side takes any service on the seam
//! (`tower_service::Service<Call, Response = Reply>`) and each client side is one. Nothing here
//! knows what a tool is.

pub mod http;
pub mod lines;
pub mod memory;
#[cfg(unix)]
pub mod socket;
#[cfg(unix)]
pub mod stdio;

mod connection;
mod guard;
mod known;
#[cfg(unix)]
mod reconnect;

pub use http::{Endpoint, HttpClient, HttpServer};
pub use memory::Loopback;
#[cfg(unix)]
pub use socket::{SocketClient, SocketServer};
#[cfg(unix)]
pub use stdio::{ServerCommand, StdioClient, StdioServer, serve_stdio};
