//! Tools: a definition, a schema and a handler.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromInput, ViaInput};
use crate::call::handler::{ErasedHandler, Handler};
use crate::call::handler_error::HandlerError;
use crate::call::output::IntoToolOutput;
use crate::call::tool_output::ToolOutput;
use crate::catalogue::access::Access;
use crate::catalogue::rate_limit::RateLimit;
use crate::tasks::options::TaskSupport;
use carryall_proto::{BoxFuture, Call, Principal, Reply, SharedService};
use carryall_types::{Icon, JsonObject, RawJson, Tool as ToolDefinition, ToolAnnotations};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// A tool: what clients see of it, and the handler that runs it.
///
/// The macro `#[tool]` makes one from a function. Without it:
///
/// ```
/// # use carryall_server::{Ctx, Tool};
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greeting {
///     /// Whom to greet
///     name: String,
/// }
/// let greet = Tool::new("greet", async |args: Greeting| format!("Hello, {}!", args.name))
///     .description("Greets somebody")
///     .read_only(true);
/// ```
#[derive(Clone)]
pub struct Tool {
    pub(crate) definition: ToolDefinition,
    pub(crate) handler: ErasedHandler<ToolArguments, ToolOutput>,
    pub(crate) access: Access,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rate: Option<Arc<RateLimit>>,
    pub(crate) task: TaskSupport,
    pub(crate) resumable: bool,
    pub(crate) layers: Vec<ErasedLayer>,
    /// Why it cannot be added to a catalogue, as far as that is known.
    pub(crate) problem: Option<String>,
}

/// A running handler of a tool.
pub(crate) type ToolFuture = BoxFuture<Result<ToolOutput, HandlerError>>;
pub(crate) type ErasedLayer = Arc<dyn Fn(SharedService) -> SharedService + Send + Sync>;

/// The arguments of a call to a tool: a JSON object that conforms to the tool's input schema.
///
/// A handler takes them as a type that implements `serde::Deserialize` and `schemars::JsonSchema`.
#[derive(Clone, Debug)]
pub struct ToolArguments(pub(crate) RawJson);

impl<T: DeserializeOwned + JsonSchema + Send> FromInput<ToolArguments, ViaInput> for T {
    async fn from_input(_: &Ctx, arguments: ToolArguments) -> Result<Self, HandlerError> {
        // They conform to the schema, so the type is narrower than its schema.
        arguments
            .0
            .decode()
            .map_err(|error| HandlerError::new(format!("Invalid arguments: {error}")))
    }

    fn schema() -> Option<JsonObject> {
        Some(crate::arguments_schema::<T>())
    }
}

/// A value that [`ServerBuilder::tool`](crate::ServerBuilder::tool) takes: a [`Tool`], or a
/// function that makes one, as `#[tool]` makes of a function.
pub trait IntoTool {
    /// Returns the tool.
    fn into_tool(self) -> Tool;
}

impl IntoTool for Tool {
    fn into_tool(self) -> Tool {
        self
    }
}

impl<F: FnOnce() -> Tool> IntoTool for F {
    fn into_tool(self) -> Tool {
        self()
    }
}

impl Tool {
    /// Makes a tool from an async function: see [`Handler`] for what it may take, and
    /// [`IntoToolOutput`] for what it may return.
    ///
    /// If the last parameter is a type that implements `serde::Deserialize` and
    /// `schemars::JsonSchema`, it is the arguments: the input schema is derived from it, with the
    /// comments of its fields as descriptions. Otherwise the tool takes no arguments, and says so in
    /// its schema (`server/tools#tool`).
    ///
    /// # Unknown arguments
    ///
    /// Arguments that the type does not have are refused, with a suggestion: the schema has
    /// `"additionalProperties": false`, since serde would ignore a misspelt optional argument and
    /// use its default. Types that accept further members keep accepting them: those with
    /// `#[serde(flatten)]` of a map, or `#[schemars(extend("additionalProperties" = true))]`. See also
    /// [`additional_arguments`](Self::additional_arguments).
    ///
    /// This applies to the arguments themselves. Structs inside of them refuse unknown members if
    /// they have `#[serde(deny_unknown_fields)]`. Names from `#[serde(alias)]` are not in the schema,
    /// and therefore refused unless additional arguments are allowed.
    pub fn new<H, M>(name: impl Into<String>, handler: H) -> Self
    where
        H: Handler<ToolArguments, M>,
        H::Output: IntoToolOutput,
    {
        let schema = H::input_schema().unwrap_or_else(crate::no_arguments);
        let mut tool = Self::dynamic(name, schema, handler);
        tool.definition.output_schema = H::Output::output_schema();
        tool
    }

    /// Makes a tool whose schema is known at run time only. The handler gets arguments that conform
    /// to `input_schema`, as [`JsonObject`] or any type that they can be decoded into.
    ///
    /// ```
    /// # use carryall_server::Tool;
    /// # use carryall_types::JsonObject;
    /// let schema: JsonObject = serde_json::from_str(r#"{"type": "object", "properties": {"name": {"type": "string"}}}"#).unwrap();
    /// let tool = Tool::dynamic("greet", schema, async |args: JsonObject| format!("Hello, {}!", args["name"]));
    /// ```
    pub fn dynamic<H, M>(name: impl Into<String>, input_schema: JsonObject, handler: H) -> Self
    where
        H: Handler<ToolArguments, M>,
        H::Output: IntoToolOutput,
    {
        let tool = Self {
            definition: ToolDefinition::new(name, JsonObject::new()),
            handler: ErasedHandler::new(handler, IntoToolOutput::into_output),
            access: Access::Anyone,
            timeout: None,
            rate: None,
            task: TaskSupport::Never,
            resumable: false,
            layers: Vec::new(),
            problem: None,
        };
        tool.input_schema(input_schema)
    }

    /// Measures a schema before anything recurses into it: one that was made at run time may be
    /// nested too deeply.
    fn take_in(&mut self, what: &str, schema: JsonObject) -> JsonObject {
        carryall_schema::limit_depth(schema).unwrap_or_else(|problem| {
            self.problem = Some(format!("{what} schema: {problem}"));
            JsonObject::new()
        })
    }

    /// Returns the name under which clients call the tool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Describes what the tool does, for the model. None by default.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.definition.description = Some(description.into());
        self
    }

    /// Sets the name that people see. None by default: clients show the tool's name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.definition.title = Some(title.into());
        self
    }

    /// Adds an icon. None by default.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.definition.icons.get_or_insert_default().push(icon);
        self
    }

    /// Adds a member to the definition's `_meta`.
    #[must_use]
    pub fn meta(
        mut self,
        key: impl Into<String>,
        value: impl Into<carryall_types::JsonValue>,
    ) -> Self {
        self.definition
            .meta
            .get_or_insert_default()
            .insert(key.into(), value.into());
        self
    }

    /// Replaces the input schema.
    #[must_use]
    pub fn input_schema(mut self, schema: JsonObject) -> Self {
        self.definition.input_schema = self.take_in("input", schema);
        self
    }

    /// Sets whether arguments that the schema does not name are accepted: `additionalProperties`
    /// at the root of the input schema. See [`new`](Self::new) for the default.
    #[must_use]
    pub fn additional_arguments(mut self, allowed: bool) -> Self {
        self.definition
            .input_schema
            .insert("additionalProperties".into(), allowed.into());
        self
    }

    /// Sets the schema of the structured content. A result that does not conform is replaced by an
    /// error. The default is that of the type that the handler returns.
    #[must_use]
    pub fn output_schema(mut self, schema: JsonObject) -> Self {
        self.definition.output_schema = Some(self.take_in("output", schema));
        self
    }

    /// Sets the output schema to that of `R`.
    #[must_use]
    pub fn returns<R: IntoToolOutput>(mut self) -> Self {
        self.definition.output_schema = R::output_schema();
        self
    }

    /// Hints whether the tool changes nothing. Not said by default.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.annotations().read_only_hint = Some(read_only);
        self
    }

    /// Hints whether the tool may destroy something. Not said by default.
    #[must_use]
    pub fn destructive(mut self, destructive: bool) -> Self {
        self.annotations().destructive_hint = Some(destructive);
        self
    }

    /// Hints whether a second call with the same arguments changes nothing more. Not said by
    /// default.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.annotations().idempotent_hint = Some(idempotent);
        self
    }

    /// Hints whether the tool interacts with external entities. Not said by default.
    #[must_use]
    pub fn open_world(mut self, open_world: bool) -> Self {
        self.annotations().open_world_hint = Some(open_world);
        self
    }

    /// Restricts the tool to callers with this scope. For others it does not exist.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Restricts the tool to callers for whom `allowed` returns `true`. For others it does not exist.
    #[must_use]
    pub fn visible_if(
        mut self,
        allowed: impl Fn(Option<&Principal>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access = Access::rule(allowed);
        self
    }

    /// Limits how long one call may take. The default is the server's
    /// ([`ServerBuilder::timeout`](crate::ServerBuilder::timeout)).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Limits calls to so many in each `period`, over all callers of this replica. A call beyond
    /// the limit fails with `isError` and says when to try again. No limit by default.
    #[must_use]
    pub fn rate_limit(mut self, calls: u32, period: Duration) -> Self {
        self.rate = Some(Arc::new(RateLimit::new(calls, period)));
        self
    }

    /// Sets when calls run as tasks (Tasks extension): the client is answered at once, and fetches
    /// the result later. Never by default.
    ///
    /// In a task, [`Ctx::ask`] waits for the answer in place. The time limit of calls does not
    /// apply, the lifetime of tasks does ([`TaskOptions::ttl`](crate::TaskOptions::ttl)). Cancelling a task
    /// drops the handler's future.
    #[must_use]
    pub fn as_task(mut self, when: TaskSupport) -> Self {
        self.task = when;
        self
    }

    /// Lets another process restart a task of this tool when the process that worked on it is gone.
    /// By default such a task fails.
    ///
    /// The handler runs again from its beginning, with the answers that it has received and the
    /// outcomes that it has recorded with [`Ctx::once`]. It runs without layers, and without the
    /// headers and extensions of the original call.
    #[must_use]
    pub fn resumable(mut self) -> Self {
        self.resumable = true;
        self
    }

    /// Adds a `tower` layer in front of this tool. The first one added is the innermost.
    /// [`layer_fn`](crate::layer_fn) makes one of a function.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<SharedService> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<carryall_proto::CallError>,
        <L::Service as Service<Call>>::Future: Send,
    {
        self.layers.push(Arc::new(move |inner| {
            SharedService::new(layer.layer(inner))
        }));
        self
    }

    fn annotations(&mut self) -> &mut ToolAnnotations {
        self.definition.annotations.get_or_insert_default()
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}
