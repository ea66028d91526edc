//! Streamable HTTP (`basic/transports/streamable-http`).

pub mod client;
pub mod server;

mod gather;

pub use client::{HttpClient, HttpClientBuilder, InvalidTarget, RawBody};
pub use server::{Endpoint, FallbackProtocol, HostPolicy, HttpServer, OriginPolicy, ReplyBody};
