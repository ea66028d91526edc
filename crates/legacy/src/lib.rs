//! The revisions of MCP that begin with a handshake, 2024-11-05 to 2025-11-25, as adapters on the
//! `Call` service.
//!
//! - [`serve`] lets clients of these revisions call any service (`Service<Call, Response = Reply>`),
//!   on the same endpoint or channel as clients of 2026-07-28.
//! - [`call`] calls servers of either era as if all of them were of 2026-07-28, and detects the era
//!   of each.
//!
//! No other crate knows sessions.

pub mod call;
pub mod serve;

mod abort_on_drop;
mod generate;
mod message;
mod revision;

pub use revision::REVISIONS;

/// An extension that marks the calls of legacy clients. [`serve`] adds it, so that [`call`] can use
/// the legacy era for them too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromLegacyClient;
