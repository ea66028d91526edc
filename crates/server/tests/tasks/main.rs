//! Tasks: calls whose result comes later, from whichever replica, and once.

mod bounds;
mod calls;
mod no_room;
mod replicas;
mod world;
