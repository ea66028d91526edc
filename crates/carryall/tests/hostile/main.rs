//! Input that is meant to hurt: too large, too deep, too slow, too many. During and after all of it
//! an ordinary call gets its answer.

#[allow(unreachable_pub, reason = "each module uses its part")]
mod support;

mod client;
mod connections;
mod http;
mod json;
mod stdio;
