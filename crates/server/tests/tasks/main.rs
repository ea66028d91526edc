//! Tasks: calls whose result is fetched later, from any replica.

mod at_limit;
mod bounds;
mod calls;
mod fixture;
mod replicas;
