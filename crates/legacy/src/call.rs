//! Servers of earlier revisions, called as if they were of this one.
//!
//! [`Http`] and [`Stdio`] are services on the seam. Each finds out on first use of which era its
//! server is, and from then on is either a plain transport of this revision, or an adapter that
//! shakes hands and translates.

mod adapter;
mod channel;
mod era;
mod flight;
mod http;
mod legacy_side;
mod level;
mod listen;
mod mailbox;
mod options;
mod parked;
mod pool;
mod quotas;
mod running;
mod session;
mod single_flight;
#[cfg(unix)]
mod stdio;
mod task;
mod translate;
mod unattributed;
mod wire;

pub use era::{Era, EraCache};
pub use http::Http;
pub use options::{Answers, Options, SessionScope, UnknownSessionScope};
#[cfg(unix)]
pub use stdio::Stdio;
