//! The revisions of MCP that begin with a handshake, 2024-11-05 to 2025-11-25, as adapters on the
//! seam.
//!
//! [`serve`] lets their clients call any service (`Service<Call, Response = Reply>`), beside
//! clients of this revision, on the same endpoint and on the same channel. [`call`] calls their
//! servers as if they were of this revision, and finds out which ones are. Nothing outside of this
//! crate knows what a session is.

pub mod call;
pub mod serve;

mod generate;
mod message;
mod revision;

pub use revision::REVISIONS;

/// Marks a call that [`serve`] has made for a legacy client, in its extensions, so that [`call`]
/// may speak that era too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromLegacyClient;
