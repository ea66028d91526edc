//! The transports of MCP: Streamable HTTP, stdio, sockets and in-memory.
//!
//! The server side of each takes any `Call` service
//! (`tower_service::Service<Call, Response = Reply>`), and the client side is one. This crate knows
//! messages and connections, and nothing of tools, prompts or resources.
//!
//! | Transport | Server | Client | Examples |
//! |---|---|---|---|
//! | Streamable HTTP | [`HttpServer`], or [`Endpoint`] in a server of your own | [`HttpClient`] | [`http`] |
//! | stdio | [`StdioServer`] | [`StdioClient`], which starts a [`ServerCommand`] | [`stdio`] |
//! | Unix and TCP sockets | [`SocketServer`] | [`SocketClient`] | [`socket`] |
//! | any byte stream | [`lines::serve_lines`] | [`lines::Channel`] | [`lines`] |
//! | in memory | | [`Loopback`] | [`memory`] |

pub mod http;
pub mod lines;
pub mod memory;
#[cfg(unix)]
pub mod socket;
#[cfg(unix)]
pub mod stdio;

mod catch_panic;
mod connection_source;
mod internal_error;
#[cfg(unix)]
mod reconnect;

pub use http::{Endpoint, HttpClient, HttpServer};
pub use memory::Loopback;
#[cfg(unix)]
pub use socket::{SocketClient, SocketServer};
#[cfg(unix)]
pub use stdio::{ServerCommand, StdioClient, StdioServer, serve_stdio};
