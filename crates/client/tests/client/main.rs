//! Tests of the client against fake servers.

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
mod transports;
