//! The client against servers made by hand, each of which does one thing right or wrong.

mod caching;
mod listening;
mod malformed;
mod pages;
mod requests;
mod results;
mod rounds;
mod support;
mod tasks;
mod timeouts;
mod tools;
#[cfg(unix)]
mod ways;
