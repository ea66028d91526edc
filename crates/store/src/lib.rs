//! Storage for state that outlives a request and that replicas share.
//!
//! A [`Store`] keeps rows of bytes, each with a version. It does not interpret them: what a task or
//! a handle is, who owns it and which transitions are allowed is decided once, in the layer above.
//! A backend only has to guarantee compare-and-swap: a row is replaced or removed only by a caller
//! that names its current version.
//!
//! Times are milliseconds since the Unix epoch and are passed in by the caller, so that a store
//! needs no clock of its own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), carryall_store::StoreError> {
//! use carryall_store::{Memory, Row, Store};
//!
//! let store = Memory::new();
//! let row = Row {
//!     kind: "note",
//!     key: "1".into(),
//!     version: 1,
//!     value: "hello".into(),
//!     expires_at: None,
//!     due_at: None,
//! };
//! assert!(store.insert(row.clone(), 0).await?);
//! assert!(store.replace(Row { version: 2, value: "world".into(), ..row.clone() }).await?);
//! assert!(!store.replace(Row { version: 2, ..row }).await?, "the row is at version 2 already");
//! # Ok(())
//! # }
//! ```
//!
//! [`Memory`] is the store of a single process; the crates `carryall-store-sqlite`,
//! `carryall-store-postgres` and `carryall-store-redis` hold the shared ones. Test a backend of
//! your own with `contract::check` (feature `contract`), and deliver its changes with
//! [`ChangeListeners`].

#[cfg(feature = "contract")]
pub mod contract;
mod listeners;
mod memory;
mod row;

pub use futures_core::future::BoxFuture;
pub use listeners::ChangeListeners;
pub use memory::Memory;
pub use row::{Changes, Row, RowChange, Store, StoreError, StoreResult};
