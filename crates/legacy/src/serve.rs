//! Clients of earlier revisions, calling any service on the seam.
//!
//! [`LegacyEndpoint`] stands behind the door of an HTTP endpoint, [`lines`] on the channels of a
//! server on stdio or a socket. Both turn what their client says into calls and the replies into
//! what it expects; the service behind them sees modern clients.

mod changes;
mod conversation;
mod forward;
mod http;
mod lines;
mod long;
mod negotiated;
mod options;
mod questions;
mod quotas;
mod shutdown;
mod tasks;
mod translate;

pub use http::{
    EventText, Here, HttpBus, LegacyEndpoint, Local, Note, SessionBus, SessionSnapshot, StoreBus,
    StreamControl, What,
};
pub use lines::lines;
pub use options::Options;
