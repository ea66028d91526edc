//! The Model Context Protocol, revision 2026-07-28, without any I/O.
//!
//! This crate has no sockets, clock, randomness or tasks: callers pass bytes, time and nonces in,
//! and move bytes out. It also defines the service interface of the project: a request is a
//! [`Call`], its answer a [`Reply`], and whatever turns one into the other is a
//! [`tower_service::Service`].
//!
//! ```
//! use carryall_proto::{Call, Reply, Response, SharedService};
//! use carryall_types::{ErrorObject, Method, RawJson, code};
//!
//! // Answers each call to a tool with the text "pong".
//! let pong = SharedService::from_fn(|call: Call| {
//!     let id = call.id().clone();
//!     let response = match call.method() {
//!         Method::ToolsCall => {
//!             let result = serde_json::json!({
//!                 "resultType": "complete",
//!                 "content": [{"type": "text", "text": "pong"}],
//!             });
//!             Response::result(id, RawJson::from(&result))
//!         }
//!         _ => Response::error(id, ErrorObject::new(code::METHOD_NOT_FOUND, "Method not found")),
//!     };
//!     Box::pin(async { Ok(Reply::from(response)) })
//! });
//! ```

pub mod backoff;
pub mod budget;
pub mod cursor;
pub mod decode;
pub mod deprecated;
pub mod frame;
pub mod freshness;
pub mod headers;
pub mod json;
pub mod listen;
pub mod mux;
pub mod progress;
pub mod seal;
pub mod service;
pub mod sse;
pub mod sync;
pub mod task;
pub mod time;
pub mod trace;
pub mod validate;
pub mod wire;

mod call;
mod call_end;
mod caller;
mod encode;
mod era;
mod error;
mod meta;
mod meta_cache;
mod notification;
mod params;
mod principal;
mod reply;
mod source;

pub use call::{Call, CallParts};
pub use call_end::{CallEnd, OutcomeStatus};
pub use caller::{Caller, CallerId};
pub use carryall_types::{Clipped, Printable, PrintableFmt, is_printable};
pub use encode::{Encoded, encode_error};
pub use era::EraDecision;
pub use error::{BoxError, CallError};
pub use meta::{Meta, MetaBuilder, MetaError, key};
pub use meta_cache::MetaCache;
pub use notification::Notification;
pub use params::{Params, ParamsError, ParamsWriter};
pub use principal::Principal;
pub use reply::{Message, MessageStream, Outcome, Reply, Response};
pub use service::{BoxFuture, SharedService};
pub use source::{CallSource, ClientId};
