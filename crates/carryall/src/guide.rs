//! Guides with examples, each for one subject.
//!
//! | Guide | Subject | Program |
//! |---|---|---|
//! | [`first_server`] | a first server in five minutes | `first-server` |
//! | [`tools`] | parameters, results, annotations, limits | `price-list` |
//! | [`errors`] | what the model reads, what the client gets, what is logged | `errors` |
//! | [`state`] | what to keep where, handles, running replicas | `basket` |
//! | [`asking`] | asking the user in the middle of a call | `confirm-before-delete` |
//! | [`tasks`] | work that takes longer than a call should | `long-report` |
//! | [`middleware`] | layers around calls, time limits | `middleware` |
//! | [`axum`] | in an axum application: nesting, authentication, hosts, shutdown | `in-axum` |
//! | [`testing`] | testing without a socket | `tests/testing.rs` |
//! | [`dynamic_catalogues`] | tools from JSON definitions, changes at run time | `tools-from-json`, `live-catalogue` |
//! | [`client`] | calling servers | `calling-servers` |
//! | [`from_rmcp`] | migrating from rmcp | |
//! | [`from_2025`] | migrating from a server of a 2025 revision | `both-eras` |
//!
//! The programs are in the folder `examples` of the repository. Each checks itself:
//! `cargo run -p carryall-examples --bin in-axum`.

// The examples are compiled as tests. That of `middleware` is why `tower_layer::Layer` is a
// development dependency.

#[doc = include_str!("guide/asking.md")]
pub mod asking {}
#[doc = include_str!("guide/axum.md")]
pub mod axum {}
#[doc = include_str!("guide/client.md")]
pub mod client {}
#[doc = include_str!("guide/dynamic_catalogues.md")]
pub mod dynamic_catalogues {}
#[doc = include_str!("guide/errors.md")]
pub mod errors {}
#[doc = include_str!("guide/first_server.md")]
pub mod first_server {}
#[doc = include_str!("guide/from_2025.md")]
pub mod from_2025 {}
#[doc = include_str!("guide/from_rmcp.md")]
pub mod from_rmcp {}
#[doc = include_str!("guide/middleware.md")]
pub mod middleware {}
#[doc = include_str!("guide/state.md")]
pub mod state {}
#[doc = include_str!("guide/tasks.md")]
pub mod tasks {}
#[doc = include_str!("guide/testing.md")]
pub mod testing {}
#[doc = include_str!("guide/tools.md")]
pub mod tools {}
