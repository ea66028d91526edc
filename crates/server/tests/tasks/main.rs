//! Tasks: calls whose result is fetched later, from any replica.

mod at_limit;
mod bounds;
mod calls;
mod fixture;
#[path = "../common/log.rs"]
mod log;
mod replicas;
