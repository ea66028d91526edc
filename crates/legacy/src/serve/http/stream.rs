//! Event streams that outlive their connection: what a stream has sent is kept for a while, so that
//! its client can resume it after the connection broke, or was closed on purpose (2025-11-25
//! `basic/transports#resumability-and-redelivery`).
//!
//! A stream is written by one task and read by one response body at a time.

mod body;
mod control;
mod event_id;
mod resumable;
mod store;
mod writer;

pub use control::StreamControl;

pub(crate) use body::{EventBody, poll_keep_alive};
pub(crate) use control::DeferredStream;
pub(crate) use event_id::{EventId, StreamKind};
pub(crate) use resumable::{ResumableStream, StreamLimits};
pub(crate) use store::StreamStore;
pub(crate) use writer::write;
