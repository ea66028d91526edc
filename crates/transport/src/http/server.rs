//! The server side of Streamable HTTP.
//!
//! [`Endpoint`] is a service over HTTP requests, to be mounted in any HTTP server. [`HttpServer`]
//! is a server of its own, with limits on connections and a graceful shutdown.
//!
//! ```no_run
//! # async fn example(service: carryall_proto::SharedService) -> std::io::Result<()> {
//! use carryall_transport::http::server::{Endpoint, HttpServer};
//! use std::time::Duration;
//!
//! let endpoint = Endpoint::new(service).allow_origin("https://app.example.com");
//! let server = HttpServer::bind("127.0.0.1:8080").await?.drain_timeout(Duration::from_secs(3));
//! server.run_endpoint(endpoint, async { drop(tokio::signal::ctrl_c().await) }).await
//! # }
//! ```

mod endpoint;
mod listener;

pub use endpoint::{
    Endpoint, EndpointFuture, FallbackProtocol, HostPolicy, OriginPolicy, ReplyBody,
};
pub use listener::HttpServer;
