//! stdio (`basic/transports/stdio`): serving on one's own standard streams, and spawning a server.

mod child;
mod client;
mod own;
mod server;

pub use child::{ServerCommand, ServerProcess, SpawnedServer};
pub use client::StdioClient;
pub use server::{StdioServer, serve_stdio};
