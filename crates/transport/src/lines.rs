//! Newline-delimited JSON-RPC over any reliable byte stream: what stdio and sockets are made of
//! (`basic/transports/stdio`, `basic/transports/index#custom-transports`).
//!
//! ```
//! # async fn example(service: carryall_proto::SharedService, call: carryall_proto::Call) -> Result<(), Box<dyn std::error::Error>> {
//! use carryall_transport::lines::{Channel, ChannelOptions, LineOptions, serve_lines};
//!
//! let (client, server) = tokio::io::duplex(64 * 1024);
//! let (reader, writer) = tokio::io::split(server);
//! tokio::spawn(serve_lines(reader, writer, service, LineOptions::default()));
//!
//! let (reader, writer) = tokio::io::split(client);
//! let channel = Channel::open(reader, writer, ChannelOptions::default());
//! let reply = channel.call(call).await?;
//! # Ok(())
//! # }
//! ```

mod client;
mod fallback;
mod io;
mod server;

pub use client::{Channel, ChannelOptions};
pub use fallback::{FallbackChannel, FallbackChannels};
#[cfg(unix)]
pub(crate) use server::serve_channel;
pub use server::{LineOptions, serve_lines, serve_lines_until, serve_lines_with};
