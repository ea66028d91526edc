//! The framing of stdio over Unix and TCP sockets (`basic/transports/index#custom-transports`).
//!
//! A client connects and sends requests at once; there is no handshake. Each message is a line of
//! UTF-8 JSON, exactly as on stdio. A request is cancelled with `notifications/cancelled`, or by
//! closing the connection, which cancels all of its requests.
//!
//! ```no_run
//! # async fn example(service: carryall_proto::SharedService) -> std::io::Result<()> {
//! use carryall_transport::{SocketClient, SocketServer};
//!
//! let server = SocketServer::bind_unix("/run/example/mcp.sock")?;
//! tokio::spawn(server.run(service));
//!
//! let client = SocketClient::unix("/run/example/mcp.sock");
//! # Ok(())
//! # }
//! ```

mod client;
mod listener;
mod server;

pub use client::SocketClient;
pub use server::SocketServer;
