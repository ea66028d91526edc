//! Streamable HTTP (`basic/transports/streamable-http`).
//!
//! ```no_run
//! # async fn example(service: carryall_proto::SharedService) -> Result<(), Box<dyn std::error::Error>> {
//! use carryall_transport::http::{HttpClient, HttpServer};
//!
//! let server = HttpServer::bind("127.0.0.1:8080").await?;
//! tokio::spawn(server.run(service));
//!
//! let client = HttpClient::new("http://127.0.0.1:8080/mcp")?;
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod server;

mod body_buffer;

pub use client::{HttpClient, HttpClientBuilder, InvalidTarget, RawBody};
pub use server::{Endpoint, FallbackProtocol, HostPolicy, HttpServer, OriginPolicy, ReplyBody};
