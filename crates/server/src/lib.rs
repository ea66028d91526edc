//! Build an MCP server that any replica can answer.
//!
//! A [`Server`] is a `tower` service from [`Call`](carryall_proto::Call) to
//! [`Reply`](carryall_proto::Reply). Each request contains everything that is needed to answer it:
//! no answer depends on an earlier request of the same client or on its connection.
//!
//! ```
//! use carryall_server::{Server, Tool};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Greeting {
//!     /// Whom to greet
//!     name: String,
//! }
//!
//! # fn main() -> Result<(), carryall_server::BuildError> {
//! let server = Server::new("greeter", "1.0.0")
//!     .tool(Tool::new("greet", async |args: Greeting| format!("Hello, {}!", args.name)))
//!     .build()?;
//! # drop(server);
//! # Ok(()) }
//! ```
//!
//! | To | use |
//! |---|---|
//! | offer tools, prompts and resources | [`Tool`], [`Prompt`], [`Resource`], [`FileRoot`]; [`ServerBuilder::complete_prompt`] |
//! | know what a function may take | [`Handler`], [`FromCtx`], [`State`], [`Ctx`] |
//! | return a result or an error | [`Json`], [`ToolOutput`], [`Contents`]; [`HandlerError`], [`ServerBuilder::on_error`] |
//! | report progress, announce changes | [`Ctx::progress`], [`ServerHandle`] |
//! | ask the user, the model or the client in the middle of a call | [`Ask`], [`Ctx::ask`], [`Form`], [`Ctx::once`] |
//! | keep state between calls | [`Ctx::handle`], [`Handle`], [`ServerBuilder::store`] |
//! | run long work | [`Tool::as_task`], [`Ctx::become_task`], [`ServerBuilder::tasks`] |
//! | put middleware in front of calls | [`layer_fn`], [`Timeout`], [`ServerBuilder::layer`] |
//! | change the catalogue while the server runs | [`Server::change`], which notifies subscribers |
//! | notify subscribers of a resource | [`Server::resource_updated`] |
//! | serve with a server of one's own | [`Server::maintain`] |

mod call;
mod catalogue;
mod clock;
mod discovery;
mod dispatch;
mod environment;
mod live_catalogue;
mod middleware;
mod outcome;
mod random;
mod replication;
mod schema;
mod server;
mod state;
mod subscriptions;
mod tasks;

pub use call::ask::Ask;
pub use call::ctx::Ctx;
pub use call::error_policy::{ErrorAction, FailedCall};
pub use call::extract::{ClientInfo, Extension, FromCtx, FromInput, State};
pub use call::handler::Handler;
pub use call::handler_error::{Disclosure, HandlerError};
pub use call::output::{IntoToolOutput, Json};
pub use call::progress::{ProgressReport, ProgressValue};
pub use call::requirements::Requirements;
pub use call::server_handle::ServerHandle;
pub use call::tool_output::ToolOutput;
pub use catalogue::completion::{CompletionQuery, IntoSuggestions, Suggestions, matching};
pub use catalogue::instances::{IntoInstances, ListQuery};
pub use catalogue::prompt::{IntoPrompt, IntoPromptResult, Prompt, PromptArguments};
pub use catalogue::resource::{Contents, IntoContents, IntoResource, Resource};
pub use catalogue::tool::{IntoTool, Tool, ToolArguments};
pub use catalogue::uri::{FileRoot, UriVariables};
pub use dispatch::handler_future::ServerFuture;
pub use middleware::{FnLayer, FnMiddleware, Next, Timeout, TimeoutService, layer_fn};
pub use schema::schema_of;
pub(crate) use schema::{arguments_schema, no_arguments};
pub use server::{BuildError, CatalogueChange, Server, ServerBuilder};
pub use state::handles::error::HandleError;
pub use state::handles::handle::{Handle, HandleState};
pub use state::handles::{LoadedHandle, NewHandle};
pub use state::keys::{KeyringError, keyring_from_env, keyring_from_file};
pub use state::rounds::form::{FormError, form_of};
pub use state::rounds::question::{ElicitOutcome, Form, Question};
pub use tasks::options::{TaskOptions, TaskSupport};
