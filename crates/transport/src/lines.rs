//! Newline-delimited JSON-RPC over any reliable byte stream: the engine behind stdio and sockets
//! (`basic/transports/stdio`, `basic/transports/index#custom-transports`).

mod alternate;
mod client;
mod monitor;
mod running;
mod server;

pub use alternate::{FallbackChannel, FallbackChannels};
pub use client::{Channel, ChannelOptions};
#[cfg(unix)]
pub(crate) use server::serve_channel;
pub use server::{LineOptions, serve_lines, serve_lines_until, serve_lines_with};
