//! stdio (`basic/transports/stdio`): serving on the process's own standard streams, and starting a
//! server as a child process.
//!
//! ```no_run
//! # async fn example(service: carryall_proto::SharedService, call: carryall_proto::Call) -> Result<(), Box<dyn std::error::Error>> {
//! use carryall_transport::{ServerCommand, StdioClient, serve_stdio};
//! use tower_service::Service;
//!
//! // In the server:
//! serve_stdio(service).await?;
//!
//! // In the client:
//! let mut client = StdioClient::spawn(ServerCommand::new("my-server")).await?;
//! let reply = client.call(call).await?;
//! # Ok(())
//! # }
//! ```

mod child;
mod client;
mod server;
mod standard_streams;

pub use child::{ServerCommand, ServerProcess, SpawnedServer};
pub use client::StdioClient;
pub use server::{StdioServer, serve_stdio};
