//! Long work (Tasks extension): a tool call that is answered with a task, whose result the client
//! fetches later.
//!
//! A task is a row in a store ([`record`], [`task_store`]). Every transition replaces the version
//! of the row that it was decided on, so it happens once, whichever replica makes it. One replica
//! at a time works on a task ([`worker`], [`workers`]): it holds a lease with a fencing token, so
//! that a worker whose lease was taken over can write no more. Calls become tasks in [`promote`];
//! [`methods`] answers the methods of the extension, and [`takeover`] resumes abandoned tasks.

pub(crate) mod engine;
mod methods;
pub(crate) mod options;
pub(crate) mod promote;
mod record;
mod takeover;
mod task_store;
mod worker;
mod workers;

use carryall_types::{ClientCapabilities, JsonObject, TASKS_EXTENSION};

/// The capabilities that the extension requires of a client.
pub(crate) fn required() -> ClientCapabilities {
    ClientCapabilities::new().with_extension(TASKS_EXTENSION, JsonObject::new())
}

/// Whether the client accepts tasks, on this request.
pub(crate) fn is_declared(capabilities: &ClientCapabilities) -> bool {
    capabilities.has_extension(TASKS_EXTENSION)
}
