//! Tasks: calls whose result comes later, from whichever replica, and once.

mod bounds;
mod calls;
#[path = "../common/log.rs"]
mod log;
mod no_room;
mod replicas;
mod world;
