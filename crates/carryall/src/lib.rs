//! Stateless MCP for Rust: servers, clients and the edge, for revision 2026-07-28 of the Model
//! Context Protocol, and for the clients and servers of the revisions before it.
//!
//! A server in a dozen lines that any replica can answer:
//!
//! ```no_run
//! use carryall::{Server, serve, tool};
//!
//! /// Adds two numbers.
//! #[tool(read_only)]
//! async fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! #[tokio::main]
//! async fn main() -> carryall::Result<()> {
//!     serve("127.0.0.1:8080", Server::new("calculator", "1.0.0").tool(add)).await
//! }
//! ```
//!
//! And a client:
//!
//! ```no_run
//! # async fn run() -> carryall::Result<()> {
//! use serde_json::json;
//!
//! let client = carryall::connect("http://127.0.0.1:8080/mcp").await?;
//! let sum: i64 = client.call("add", json!({"a": 2, "b": 3})).typed().await?;
//! println!("2 + 3 = {sum}");
//! # Ok(()) }
//! ```
//!
//! Both are services from [`Call`](proto::Call) to [`Reply`](proto::Reply), and so a client can
//! call a server without anything between them, in a test for example:
//!
//! ```
//! # use carryall::{Client, Server, tool};
//! # use serde_json::json;
//! # #[tool]
//! # async fn add(a: i64, b: i64) -> i64 {
//! #     a + b
//! # }
//! # #[tokio::main]
//! # async fn main() -> carryall::Result<()> {
//! let server = Server::new("calculator", "1.0.0").tool(add).build()?;
//! let client = Client::builder().service(server).build()?;
//! let sum: i64 = client.call("add", json!({"a": 2, "b": 3})).typed().await?;
//! assert_eq!(sum, 5);
//! # Ok(()) }
//! ```
//!
//! | To | see | guide |
//! |---|---|---|
//! | write a first server | [`Server`], [`serve`], [`serve_stdio`] | [`first_server`](guide::first_server) |
//! | make tools, prompts and resources from functions | [`macro@tool`], [`macro@prompt`], [`macro@resource`] | [`tools`](guide::tools) |
//! | know what a function may take and return | [`server::Handler`], [`State`], [`Ctx`], [`Json`] | [`tools`](guide::tools) |
//! | decide what clients are told of errors | [`HandlerError`], [`server::ServerBuilder::on_error`] | [`errors`](guide::errors) |
//! | ask the user in the middle of a call | [`server::Ask`], [`Ctx::ask`], [`Form`] | [`asking`](guide::asking) |
//! | remember something between calls, run replicas | [`Handle`], [`store`], [`Server::maintain`] | [`state`](guide::state) |
//! | run work that takes long | [`TaskSupport`], [`server::Tool::as_task`] | [`tasks`](guide::tasks) |
//! | put layers around calls | [`server::layer_fn`], [`server::Timeout`] | [`middleware`](guide::middleware) |
//! | serve in an HTTP application of one's own | [`endpoint`] | [`axum`](guide::axum) |
//! | test a server without a socket | [`Client::builder`] | [`testing`](guide::testing) |
//! | make tools from JSON, change a server while it runs | [`server::Tool::dynamic`], [`Server::change`] | [`dynamic_catalogues`](guide::dynamic_catalogues) |
//! | call servers of any revision | [`connect`], [`client`] | [`client`](guide::client) |
//! | migrate from another library or revision | | [`from_rmcp`](guide::from_rmcp), [`from_2025`](guide::from_2025) |
//! | serve clients of earlier revisions with a service of one's own | [`service_endpoint`], [`legacy_channels`], [`legacy`] | |
//! | set up the bindings: hosts, limits, sockets, child processes | [`transport`] | |
//! | put one endpoint in front of many servers | [`gateway`] | |
//! | write a layer, or a transport of one's own | [`proto`] | |
//! | read and write the wire data | [`types`] | |
//!
//! # Features
//!
//! | Feature | Adds | Default |
//! |---|---|---|
//! | `server` | building and serving servers | on |
//! | `macros` | `#[tool]`, `#[prompt]` and `#[resource]` | on |
//! | `client` | calling servers | on |
//! | `legacy` | revisions 2024-11-05 to 2025-11-25, for servers and clients | on |
//! | `tls` | HTTPS, for servers and clients | off |
//! | `gateway` | one endpoint in front of many servers | off |
//! | `sqlite`, `postgres`, `redis` | stores that replicas share | off |

#[cfg(feature = "client")]
mod connect;
#[cfg(feature = "legacy")]
mod dual_era;
// The examples of the guides need these features.
#[cfg(all(feature = "client", feature = "legacy", feature = "macros"))]
pub mod guide;
#[cfg(feature = "server")]
mod serve;

#[cfg(feature = "client")]
pub use carryall_client::Client;
#[cfg(all(feature = "legacy", unix))]
pub use carryall_legacy::call::DualEraStdio;
#[cfg(feature = "legacy")]
pub use carryall_legacy::call::{DualEraHttp, DualEraOptions, Era, EraCache, SessionScope};
#[cfg(feature = "legacy")]
pub use carryall_legacy::serve::LegacyOptions;
#[cfg(feature = "macros")]
pub use carryall_macros::{prompt, resource, tool};
pub use carryall_proto::seal::Keyring;
#[cfg(feature = "server")]
pub use carryall_server::{
    Ctx, ElicitOutcome, Form, Handle, HandleState, HandlerError, Json, Server, State, TaskSupport,
};
#[cfg(feature = "client")]
pub use connect::{Connect, Target, connect};
#[cfg(all(feature = "legacy", feature = "client"))]
pub use dual_era::with_input_handlers;
#[cfg(feature = "legacy")]
pub use dual_era::{legacy_channels, service_endpoint};
#[cfg(all(feature = "server", feature = "legacy"))]
pub use serve::endpoint_with;
#[cfg(feature = "server")]
pub use serve::{endpoint, serve, serve_stdio};

/// Calling servers.
#[cfg(feature = "client")]
pub use carryall_client as client;
/// One endpoint in front of many servers.
#[cfg(feature = "gateway")]
pub use carryall_gateway as gateway;
/// Earlier revisions: serving their clients and calling their servers.
#[cfg(feature = "legacy")]
pub use carryall_legacy as legacy;
/// The protocol core without I/O, and the service interface: calls and replies.
pub use carryall_proto as proto;
/// Building servers.
#[cfg(feature = "server")]
pub use carryall_server as server;
/// Storage for state that outlives a call.
pub use carryall_store as store;
/// The store in a Postgres database.
#[cfg(feature = "postgres")]
pub use carryall_store_postgres as store_postgres;
/// The store in a Redis database.
#[cfg(feature = "redis")]
pub use carryall_store_redis as store_redis;
/// The store in a SQLite file.
#[cfg(feature = "sqlite")]
pub use carryall_store_sqlite as store_sqlite;
/// The bindings: Streamable HTTP, stdio, sockets.
pub use carryall_transport as transport;
/// The wire data of the protocol.
pub use carryall_types as types;

/// The result of a program's `main`: any error.
pub type Result<T, E = proto::BoxError> = std::result::Result<T, E>;

/// What the macros expand to; not for use by hand.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;
}
