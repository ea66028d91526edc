//! Long work (Tasks extension): a tool call that is answered with a task, whose result the client
//! fetches later.
//!
//! A task is a row in a store ([`record`]). What becomes of it is decided by whoever replaces the
//! row having seen its current version, so every transition happens once, whichever replica makes
//! it. One replica at a time works on a task: it holds a lease, and each lease has a number, so
//! that a worker whose lease was taken over can write no more ([`worker`]). [`engine`] answers the
//! methods of the extension, and [`takeover`] takes over what nobody works on any more.

mod engine;
mod options;
mod promote;
mod record;
mod takeover;
mod worker;

pub(crate) use engine::{TaskEngine, respond};
pub use options::{TaskSupport, Tasks};
pub(crate) use promote::{TaskRequest, as_task};
pub(crate) use worker::Run;

use carryall_types::{ClientCapabilities, JsonObject, TASKS_EXTENSION};

/// What the extension asks of a client.
pub(crate) fn required() -> ClientCapabilities {
    ClientCapabilities::new().with_extension(TASKS_EXTENSION, JsonObject::new())
}

/// Whether the client takes tasks, on this request.
pub(crate) fn is_declared(capabilities: &ClientCapabilities) -> bool {
    capabilities.has_extension(TASKS_EXTENSION)
}
