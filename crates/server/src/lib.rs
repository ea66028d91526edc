//! Build an MCP server that any replica can answer.
//!
//! A [`Server`] is a `tower` service from [`Call`](carryall_proto::Call) to [`Reply`](carryall_proto::Reply). It keeps
//! nothing between two calls but what it offers: each request brings all that is needed to answer it.

mod access;
mod catalogue;
mod completion;
mod core;
mod ctx;
mod dispatch;
mod listen;
mod outbox;
mod output;
mod prompt;
mod rate;
mod render;
mod resource;
mod running;
mod server;
mod settle;
mod tool;
mod uri;

pub use completion::{IntoSuggestions, Suggestions, Typed, matching};
pub use ctx::{Ctx, FromCtx, State};
pub use output::{Failure, IntoToolOutput, Json, ToolError, ToolOutput};
pub use prompt::{IntoPrompt, IntoPromptResult, Prompt, PromptArguments};
pub use render::Cache;
pub use resource::{Contents, IntoContents, IntoResource, Resource};
pub use running::ServerFuture;
pub use server::{BuildError, CatalogueChange, Server, ServerBuilder};
pub use tool::{IntoTool, Tool};
pub use uri::{FileRoot, Variables};

use carryall_types::JsonObject;

/// The JSON Schema of a type as tools show it: 2020-12, without the type's own name.
#[must_use]
pub fn schema_of<T: schemars::JsonSchema>() -> JsonObject {
    let mut schema = match schemars::schema_for!(T).to_value() {
        serde_json::Value::Object(schema) => schema,
        // `true` and `false` are schemas too; only the first can come out of a type.
        _ => JsonObject::new(),
    };
    schema.remove("title");
    schema
}

/// The schema of a tool without arguments.
fn no_arguments() -> JsonObject {
    let mut schema = JsonObject::new();
    schema.insert("type".into(), "object".into());
    schema.insert("additionalProperties".into(), false.into());
    schema
}
