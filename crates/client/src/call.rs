//! One request in flight, from its specification to the text of its result.
//!
//! From the outside in: [`rounds`] repeats a request until its result is complete, [`tool_call`]
//! adds what is special about `tools/call`, [`fetch`] looks into the cache, [`attempt`] sends wire
//! requests until one is answered, and [`exchange`] waits for one response.

pub(crate) mod attempt;
pub(crate) mod exchange;
pub(crate) mod fetch;
pub(crate) mod notifications;
pub(crate) mod outcome;
pub(crate) mod rounds;
pub(crate) mod spec;
pub(crate) mod tool_call;
