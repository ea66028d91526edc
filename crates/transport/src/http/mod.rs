//! Streamable HTTP (`basic/transports/streamable-http`).

pub mod client;
pub mod server;

mod gather;

pub use client::{HttpClient, HttpClientBuilder, InvalidTarget};
pub use server::{Endpoint, HostPolicy, HttpServer, OriginPolicy, ReplyBody};
