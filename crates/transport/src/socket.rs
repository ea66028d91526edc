//! The stdio framing over Unix and TCP sockets (`basic/transports/index#custom-transports`).
//!
//! A client connects and speaks at once; there is no handshake. Messages are lines of UTF-8 JSON,
//! one JSON-RPC message each, exactly as on stdio. A request is cancelled with
//! `notifications/cancelled`, or by closing the connection, which cancels all of its requests.

mod client;
mod server;

pub use client::SocketClient;
pub use server::SocketServer;
