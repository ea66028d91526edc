//! Translates between 2026-07-28 and the earlier revisions: requests and answers of calls, the
//! server's own requests, capabilities.

mod capabilities;
mod initialize;
mod request;
mod response;

pub(crate) use capabilities::{VisibleCapabilities, client_capabilities};
pub(crate) use initialize::{discover_result, take_valid_capabilities};
pub(crate) use request::{call_of_progress_token, question, request};
pub(crate) use response::{error, result, url_elicitation};
