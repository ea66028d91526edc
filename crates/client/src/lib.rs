//! Clients of MCP servers of revision 2026-07-28.
//!
//! ```no_run
//! use carryall_client::Client;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), carryall_client::ClientError> {
//! let client = Client::http("http://127.0.0.1:8080/mcp")?;
//! let sum: i64 = client.call("add", json!({"a": 2, "b": 3})).typed().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Requests are independent of each other. Each is a future: it is sent when it is awaited and
//! cancelled when it is dropped. The input that servers ask for (forms, samples, roots) is provided
//! by handlers, or by hand with [`Request::once`]. Responses are cached for as long as the server
//! allows, and dropped when a [`ChangeStream`] reports a change.
//!
//! | To | use |
//! |---|---|
//! | connect to a URL with credentials | [`ClientBuilder::bearer`], [`ClientBuilder::header`], [`ClientBuilder::http_client`] |
//! | call a tool and get a value | [`Client::call`], [`Request::typed`] |
//! | follow progress | [`Request::on_progress`], [`Request::stream`] |
//! | list, read, get, complete | [`Client::list_tools`], [`Client::read_resource`], [`Client::get_prompt`], [`Client::complete`] |
//! | answer the server's questions | [`ClientBuilder::on_elicit`], [`Request::once`] |
//! | run long calls as tasks | [`ClientBuilder::tasks`], [`TaskHandle`] |
//! | be notified of changes | [`Client::listen`] |
//! | handle errors | [`ClientError`] |
//! | learn about malformed responses | [`CallOptions::on_warning`], [`ResponseWarning`] |
//! | call methods of extensions | [`Client::request`] |

mod builder;
mod cache;
mod call;
mod client;
mod config;
mod core;
mod error;
mod http_options;
mod input;
mod listen;
mod meta;
mod notification;
mod options;
mod pages;
mod params;
mod random;
mod request;
mod result;
mod stream;
mod tasks;
mod text;
mod tools;
mod warnings;

pub use builder::ClientBuilder;
pub use cache::ResponseCache;
pub use carryall_proto::listen::Change;
pub use client::Client;
pub use error::{ClientError, InputError, ResponseError, VersionError};
pub use input::handlers::IntoInput;
pub use input::responder::InputResponder;
pub use listen::{BackgroundListener, ChangeStream, ListenRequest};
pub use notification::{LogMessage, ProgressUpdate};
pub use options::CallOptions;
pub use pages::{ListPage, Listing};
pub use request::{InputRequired, Request, RoundOutcome};
pub use result::{FromResult, ToolValue};
pub use stream::{CallEvent, CallStream};
pub use tasks::handle::TaskHandle;
pub use tasks::watch::TaskWatch;
pub use text::text_of;
pub use warnings::ResponseWarning;
