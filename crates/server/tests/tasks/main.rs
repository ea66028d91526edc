//! Tasks: calls whose result comes later, from whichever replica, and once.

mod bounds;
mod calls;
mod replicas;
mod world;
