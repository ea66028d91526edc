//! Tools: a definition, a schema and a handler.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::call::output::{IntoToolOutput, ToolOutput};
use crate::catalogue::access::Access;
use crate::catalogue::rate_limit::RateLimit;
use crate::tasks::options::TaskSupport;
use carryall_proto::{BoxFuture, Call, Principal, Reply, SharedService};
use carryall_types::{Icon, JsonObject, RawJson, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// A tool as the server offers it: what clients see of it, and the handler that runs it.
///
/// The macro `#[tool]` makes one from a function. By hand:
///
/// ```
/// # use carryall_server::{Ctx, Tool};
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greeting {
///     /// Whom to greet
///     name: String,
/// }
/// let greet = Tool::new("greet", async |_ctx: Ctx, args: Greeting| format!("Hello, {}!", args.name))
///     .description("Greets somebody");
/// ```
#[derive(Clone)]
pub struct Tool {
    pub(crate) definition: Definition,
    pub(crate) handler: Handler,
    pub(crate) access: Access,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rate: Option<Arc<RateLimit>>,
    pub(crate) task: TaskSupport,
    pub(crate) resumable: bool,
    pub(crate) layers: Vec<ErasedLayer>,
    /// Why it cannot be added, if that was found before.
    pub(crate) problem: Option<String>,
}

pub(crate) type Handler = Arc<dyn Fn(Ctx, RawJson) -> ToolFuture + Send + Sync>;
/// A running handler of a tool.
pub(crate) type ToolFuture = BoxFuture<Result<ToolOutput, HandlerError>>;
pub(crate) type ErasedLayer = Arc<dyn Fn(SharedService) -> SharedService + Send + Sync>;

/// Anything that [`ServerBuilder::tool`](crate::ServerBuilder::tool) takes.
pub trait IntoTool {
    /// The tool.
    fn into_tool(self) -> Tool;
}

impl IntoTool for Tool {
    fn into_tool(self) -> Tool {
        self
    }
}

/// A function that makes one; `#[tool]` turns functions into such.
impl<F: FnOnce() -> Tool> IntoTool for F {
    fn into_tool(self) -> Tool {
        self()
    }
}

impl Tool {
    /// A tool whose arguments are `A`: its schema comes from the type, and so do the texts of its
    /// properties.
    ///
    /// Arguments that `A` does not have are refused, with the name of the one that was probably
    /// meant: the schema says `"additionalProperties": false`, since serde would ignore them and a
    /// misspelt optional argument would silently keep its default. It does not say so where `A`
    /// itself says something about further members, as with `#[serde(flatten)]` of a map or
    /// `#[schemars(extend("additionalProperties" = true))]`; see also
    /// [`additional_arguments`](Self::additional_arguments). This is about the arguments
    /// themselves. For structs inside of them it is their author's choice:
    /// `#[serde(deny_unknown_fields)]`. A name given with `#[serde(alias)]` is not in the schema
    /// and therefore refused, unless additional arguments are allowed.
    pub fn new<A, F, Fut, R>(name: impl Into<String>, handler: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(Ctx, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoToolOutput + 'static,
    {
        let handler: Handler =
            Arc::new(move |ctx, arguments| match arguments.decode::<A>() {
                Ok(arguments) => {
                    let output = handler(ctx, arguments);
                    Box::pin(async move { output.await.into_output() })
                }
                // The schema has admitted them, so the type asks for more than its schema says.
                Err(error) => Box::pin(async move {
                    Err(HandlerError::new(format!("Invalid arguments: {error}")))
                }),
            });
        Self::from_parts(
            name,
            crate::arguments_schema::<A>(),
            R::output_schema(),
            handler,
        )
    }

    /// A tool that takes no arguments, and says so in its schema (`server/tools#tool`).
    pub fn without_arguments<F, Fut, R>(name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Ctx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoToolOutput + 'static,
    {
        let handler: Handler = Arc::new(move |ctx, _| {
            let output = handler(ctx);
            Box::pin(async move { output.await.into_output() })
        });
        Self::from_parts(name, crate::no_arguments(), R::output_schema(), handler)
    }

    /// A tool whose schema is known only at run time. The handler gets the arguments as JSON,
    /// checked against `input_schema`.
    pub fn dynamic<F, Fut, R>(name: impl Into<String>, input_schema: JsonObject, handler: F) -> Self
    where
        F: Fn(Ctx, JsonObject) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoToolOutput + 'static,
    {
        let handler: Handler = Arc::new(move |ctx, arguments| {
            // They were scanned at the door and found to be an object.
            let output = handler(ctx, arguments.decode().unwrap_or_default());
            Box::pin(async move { output.await.into_output() })
        });
        Self::from_parts(name, input_schema, None, handler)
    }

    fn from_parts(
        name: impl Into<String>,
        input_schema: JsonObject,
        output_schema: Option<JsonObject>,
        handler: Handler,
    ) -> Self {
        let mut definition = Definition::new(name, JsonObject::new());
        definition.output_schema = output_schema;
        let (access, layers) = (Access::Anyone, Vec::new());
        let task = TaskSupport::Never;
        let (timeout, rate, resumable, problem) = (None, None, false, None);
        let tool = Self {
            definition,
            handler,
            access,
            timeout,
            rate,
            task,
            resumable,
            layers,
            problem,
        };
        tool.input_schema(input_schema)
    }

    /// A schema made at run time may nest deeper than recursion can stand, so it is looked at
    /// before anything else is done with it.
    fn take_in(&mut self, what: &str, schema: JsonObject) -> JsonObject {
        carryall_schema::take_in(schema).unwrap_or_else(|problem| {
            self.problem = Some(format!("{what} schema: {problem}"));
            JsonObject::new()
        })
    }

    /// The name under which clients call the tool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What the tool does, for the model.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.definition.description = Some(description.into());
        self
    }

    /// What people see as its name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.definition.title = Some(title.into());
        self
    }

    /// Adds an icon.
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

    /// Says whether arguments that the schema does not name are let through (and ignored, unless
    /// the handler looks for them) or refused. Sets `additionalProperties` at the root of the input
    /// schema. See [`new`](Self::new) for what holds otherwise.
    #[must_use]
    pub fn additional_arguments(mut self, allowed: bool) -> Self {
        self.definition
            .input_schema
            .insert("additionalProperties".into(), allowed.into());
        self
    }

    /// Declares the schema of the structured content. Results that do not conform are turned into
    /// errors.
    #[must_use]
    pub fn output_schema(mut self, schema: JsonObject) -> Self {
        self.definition.output_schema = Some(self.take_in("output", schema));
        self
    }

    /// Declares the output schema of what `R` returns.
    #[must_use]
    pub fn returns<R: IntoToolOutput>(mut self) -> Self {
        self.definition.output_schema = R::output_schema();
        self
    }

    /// Hints that the tool changes nothing.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.annotations().read_only_hint = Some(read_only);
        self
    }

    /// Hints whether the tool may destroy something.
    #[must_use]
    pub fn destructive(mut self, destructive: bool) -> Self {
        self.annotations().destructive_hint = Some(destructive);
        self
    }

    /// Hints that a second call with the same arguments changes nothing more.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.annotations().idempotent_hint = Some(idempotent);
        self
    }

    /// Hints whether the tool reaches out into the world.
    #[must_use]
    pub fn open_world(mut self, open_world: bool) -> Self {
        self.annotations().open_world_hint = Some(open_world);
        self
    }

    /// Only callers with this scope see the tool and may call it. To others it does not exist.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Only callers for whom `allowed` holds see the tool and may call it.
    #[must_use]
    pub fn visible_if(
        mut self,
        allowed: impl Fn(Option<&Principal>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access = Access::rule(allowed);
        self
    }

    /// How long one call may take; overrides the server's.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// At most `calls` in each `period`, over all callers of this replica. A call beyond it fails
    /// with `isError` and says when to try again.
    #[must_use]
    pub fn rate_limit(mut self, calls: u32, period: Duration) -> Self {
        self.rate = Some(Arc::new(RateLimit::new(calls, period)));
        self
    }

    /// Says when calls run as tasks (Tasks extension): the client is answered at once, and fetches
    /// the result later. In a task, [`Ctx::ask`] waits for the answer where it is, and the time
    /// limits of calls do not count; the task's own end does ([`Tasks::ttl`](crate::Tasks::ttl)).
    /// When the task is cancelled, the handler's future is dropped.
    #[must_use]
    pub fn as_task(mut self, when: TaskSupport) -> Self {
        self.task = when;
        self
    }

    /// Says that a task of this tool may be begun again by another process when the one that worked
    /// on it has gone: the handler runs once more, from its beginning, with the answers it has got
    /// and what it has recorded with [`Ctx::once`]. Other tasks fail then. Layers, headers and
    /// extensions of the first call are not there the second time.
    #[must_use]
    pub fn resumable(mut self) -> Self {
        self.resumable = true;
        self
    }

    /// Puts a `tower` layer in front of this tool alone. The first one added is the innermost.
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
