//! One call as its handler sees it: its context, what it takes and what it returns.

pub(crate) mod ask;
pub(crate) mod catch_panic;
pub(crate) mod ctx;
pub(crate) mod error_policy;
pub(crate) mod errors;
pub(crate) mod extract;
pub(crate) mod handler;
pub(crate) mod handler_error;
pub(crate) mod outbox;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod requirements;
pub(crate) mod result_writer;
pub(crate) mod server_handle;
pub(crate) mod task;
pub(crate) mod tool_output;
