//! Serves clients of earlier revisions with any service (`Service<Call, Response = Reply>`).
//!
//! [`LegacyEndpoint`] is the HTTP binding, [`lines`] the one for stdio and sockets. Both turn the
//! requests of their clients into calls, and the replies into what those clients expect: the
//! service sees modern clients.
//!
//! ```
//! use carryall_legacy::serve::{LegacyEndpoint, LegacyOptions};
//! use carryall_proto::SharedService;
//! use carryall_transport::Endpoint;
//! use std::sync::Arc;
//!
//! /// Returns an endpoint for clients of both eras.
//! fn endpoint(service: SharedService) -> Endpoint {
//!     let legacy = LegacyEndpoint::new(service.clone(), LegacyOptions::default());
//!     Endpoint::new(service).fallback(Arc::new(legacy))
//! }
//! ```

mod background;
mod bus;
mod changes;
mod client_session;
mod clock;
mod discover;
mod dispatch;
mod exchange;
mod forward;
mod http;
mod http_response;
mod initialize;
mod lines;
mod negotiated;
mod options;
mod quotas;
mod request_table;
mod server_context;
mod server_requests;
mod shutdown;
mod subscriptions;
mod tasks;
mod translate;

pub use bus::{
    EventText, HttpBus, LocalReplica, SessionBus, SessionEvent, SessionEventKind, SessionSnapshot,
    SingleProcess, StoreBus,
};
pub use http::{LegacyEndpoint, StreamControl};
pub use lines::lines;
pub use options::LegacyOptions;
