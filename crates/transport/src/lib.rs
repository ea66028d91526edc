//! The bindings that carry MCP: Streamable HTTP, stdio, sockets and in-memory.
//!
//! Each server side takes any service on the seam (`tower_service::Service<Call, Response = Reply>`) and each client
//! side is one. Nothing here knows what a tool is.

pub mod http;

mod guard;
