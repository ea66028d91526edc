//! Translation between 2026-07-28 and earlier revisions: capabilities, results, errors, and
//! requests for input.

pub(crate) mod capabilities;
pub(crate) mod errors;
pub(crate) mod input_requests;
pub(crate) mod results;
