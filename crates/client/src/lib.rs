//! Call MCP servers of revision 2026-07-28.
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
//! Every request stands for itself and is a future: it is sent when it is awaited and cancelled
//! when it is dropped. What servers ask for on the way (forms, samples, roots) is provided by
//! handlers, or by hand with [`Request::once`]. Answers are kept for as long as the server allows,
//! and dropped when a [`ChangeStream`] hears of a change.
//!
//! | To | use |
//! |---|---|
//! | call a tool and get a value | [`Client::call`], [`Request::typed`] |
//! | follow progress | [`Request::on_progress`], [`Request::stream`] |
//! | hear what is wrong with an answer that is used nevertheless | [`CallOptions::on_warning`], [`ResponseWarning`] |
//! | answer the server's questions | [`ClientBuilder::on_elicit`], [`Request::once`] |
//! | list, read, get, complete | [`Client::list_tools`], [`Client::read_resource`], [`Client::get_prompt`], [`Client::complete`] |
//! | take long work as it comes, or in hand | [`ClientBuilder::tasks`], [`TaskHandle`] |
//! | hear of changes | [`Client::listen`] |
//! | call methods of extensions | [`Client::request`] |

mod answers;
mod builder;
mod cache;
mod client;
mod config;
mod connect;
mod error;
mod exchange;
mod handlers;
mod listen;
mod notices;
mod options;
mod pages;
mod params;
mod random;
mod request;
mod rounds;
mod run;
mod salvage;
mod stream;
mod tasks;
mod template;
mod tools;
mod value;
mod warnings;
mod wire;

pub use answers::InputResponder;
pub use builder::ClientBuilder;
pub use cache::ResponseCache;
pub use carryall_proto::listen::Change;
pub use client::Client;
pub use error::ClientError;
pub use handlers::IntoInput;
pub use listen::{BackgroundListener, ChangeStream, ListenRequest};
pub use notices::{LogMessage, ProgressUpdate};
pub use options::CallOptions;
pub use pages::{ListPage, Listing};
pub use request::{FromResult, InputRequired, Request, RoundOutcome, ToolValue};
pub use stream::{CallEvent, CallStream};
pub use tasks::{TaskHandle, TaskWatch};
pub use value::text_of;
pub use warnings::ResponseWarning;
