//! Panics of what the author of a server wrote: handlers, layers, access rules.

use carryall_types::ErrorObject;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs author code. A panic is logged and fails the call that it happens in, and no other; its
/// message does not reach the client.
///
/// # Errors
/// `-32603`, when `run` panics.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, ErrorObject> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or(panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            panic = message.unwrap_or_default(),
            "the answer to a call panicked"
        );
        ErrorObject::internal()
    })
}
