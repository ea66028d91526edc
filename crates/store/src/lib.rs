//! Where state lives that requests share.
//!
//! A [`Store`] keeps rows of bytes, each with a version. It knows nothing of tasks or handles: what
//! their states are, who owns them and which transitions there are is decided in one place, above,
//! and every backend gets it right by keeping one promise, that a row is replaced only by somebody
//! who has seen its current version.
//!
//! Time is handed in, as milliseconds since the epoch, so that a store has no clock of its own to
//! disagree with.
//!
//! [`Memory`] is the store of a single process. A backend of your own is held against the same
//! promises with `contract::check` (feature `contract`).

#[cfg(feature = "contract")]
pub mod contract;
mod listeners;
mod memory;
mod row;

pub use listeners::ChangeListeners;
pub use memory::Memory;
pub use row::{BoxFuture, Changed, Changes, Row, Store, StoreError, StoreResult};
