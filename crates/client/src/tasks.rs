//! Tasks (extension `io.modelcontextprotocol/tasks`): calls whose result is fetched later.
//!
//! A call by a client that [accepts tasks](crate::ClientBuilder::tasks) waits for the result of its
//! task; [`Request::once`](crate::Request::once) returns the task instead.

pub(crate) mod cancel_on_drop;
pub(crate) mod handle;
mod progress;
mod requests;
pub(crate) mod watch;
