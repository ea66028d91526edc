//! What handlers take as parameters.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::call::requirements::Requirements;
use carryall_proto::Principal;
use carryall_types::Implementation;
use std::any::type_name;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that a handler takes from the call.
///
/// | Parameter | gives |
/// |---|---|
/// | [`Ctx`] | the context of the call |
/// | [`State<T>`] | a clone of the server's state of type `T` |
/// | [`Principal`], `Arc<Principal>` | the authenticated caller; anonymous calls are refused |
/// | `Option<Principal>`, `Option<Arc<Principal>>` | the authenticated caller, if there is one |
/// | [`http::HeaderMap`] | the HTTP headers of the request; empty on other transports |
/// | [`Extension<T>`] | what a layer has left in the extensions of the call |
/// | [`ClientInfo`] | the name and version that the client says it has |
/// | [`Ask<T>`](crate::Ask) | a way to ask the user for a `T` |
/// | [`ServerHandle`](crate::ServerHandle) | the server itself, to announce changes |
/// | `Result<T, HandlerError>` | `T`, or why the call does not have it |
///
/// ```
/// use carryall_server::{Ctx, FromCtx, HandlerError, Server, Tool};
///
/// /// The tenant that the caller belongs to.
/// struct Tenant(String);
///
/// impl FromCtx for Tenant {
///     async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
///         let principal = ctx.principal().ok_or("sign in first")?;
///         Ok(Self(principal.issuer.clone()))
///     }
/// }
///
/// let tool = Tool::new("tenant", async |Tenant(name): Tenant| name);
/// Server::new("tenants", "1.0.0").tool(tool).build().unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a call",
    label = "not an extractor",
    note = "extractors are `Ctx`, `State<T>`, `Principal`, `Option<Principal>`, `http::HeaderMap`, `Extension<T>` \
            and whatever implements `FromCtx`",
    note = "the arguments of the call are the last parameter of a handler"
)]
pub trait FromCtx: Sized {
    /// Takes the value from the context of the call.
    ///
    /// # Errors
    /// When the call does not have it. The handler does not run then, and the call fails with this
    /// error.
    fn from_ctx(ctx: &Ctx) -> impl Future<Output = Result<Self, HandlerError>> + Send;

    /// Names what the server has to have, so that its lack is an error of
    /// [`ServerBuilder::build`](crate::ServerBuilder::build) and not of the first call. Nothing by
    /// default.
    fn requires(_requirements: &mut Requirements) {}
}

/// The last parameter of a handler: its input, or one more extractor.
///
/// `I` is the input that a handler of this kind gets: [`ToolArguments`](crate::ToolArguments),
/// [`PromptArguments`](crate::PromptArguments), [`UriVariables`](crate::UriVariables),
/// [`CompletionQuery`](crate::CompletionQuery) or [`ListQuery`](crate::ListQuery). The input of a
/// tool may be any type that implements `serde::Deserialize` and `schemars::JsonSchema`. `M` tells
/// the two cases apart, and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an extractor nor the input of this handler",
    note = "the arguments of a tool implement `serde::Deserialize` and `schemars::JsonSchema`"
)]
pub trait FromInput<I, M = ViaInput>: Sized {
    /// Takes the value from the input or the context of the call.
    ///
    /// # Errors
    /// When it cannot be had. The handler does not run then, and the call fails with this error.
    fn from_input(ctx: &Ctx, input: I) -> impl Future<Output = Result<Self, HandlerError>> + Send;

    /// See [`FromCtx::requires`].
    fn requires(_requirements: &mut Requirements) {}

    /// The schema of the input, where the type knows it.
    #[must_use]
    fn schema() -> Option<carryall_types::JsonObject> {
        None
    }
}

/// Marks a last parameter that is an extractor.
#[derive(Debug)]
pub enum ViaCtx {}

/// Marks a last parameter that is the handler's input.
#[derive(Debug)]
pub enum ViaInput {}

impl<T: FromCtx, I: Send> FromInput<I, ViaCtx> for T {
    async fn from_input(ctx: &Ctx, _: I) -> Result<Self, HandlerError> {
        T::from_ctx(ctx).await
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}

impl FromCtx for Ctx {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.clone())
    }
}

/// A clone of the server's state of type `T`, as given to
/// [`ServerBuilder::state`](crate::ServerBuilder::state).
///
/// State that must not be cloned goes into an [`Arc`]. A server without a state of this type is not
/// built.
///
/// ```
/// use carryall_server::{Server, State, Tool};
/// use std::sync::Arc;
///
/// struct Rates { eur: f64 }
///
/// let tool = Tool::new("eur", async |State(rates): State<Arc<Rates>>| rates.eur);
/// assert!(Server::new("rates", "1.0.0").tool(tool.clone()).build().is_err());
/// Server::new("rates", "1.0.0").state(Arc::new(Rates { eur: 0.94 })).tool(tool).build().unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for State<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromCtx for State<T> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        // `build` has checked that it is there, unless this is called by hand.
        ctx.state::<T>().cloned().map(Self).ok_or_else(|| {
            let name = type_name::<T>();
            HandlerError::internal(format!(
                "a handler takes State<{name}>, which the server does not have"
            ))
        })
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

/// A clone of what a layer has put into the extensions of the call. A call without it fails with
/// `-32603`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extension<T>(pub T);

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromCtx for Extension<T> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        ctx.extensions()
            .get::<T>()
            .cloned()
            .map(Self)
            .ok_or_else(|| {
                let name = type_name::<T>();
                HandlerError::internal(format!(
                    "no layer has put {name} into the extensions of the call"
                ))
            })
    }
}

/// The authenticated caller. Anonymous calls are refused with `-32602`.
impl FromCtx for Arc<Principal> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        ctx.shared_principal()
            .ok_or_else(|| HandlerError::invalid_params("This call needs an authenticated caller"))
    }
}

/// The authenticated caller. Anonymous calls are refused with `-32602`.
impl FromCtx for Principal {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Arc::<Self>::from_ctx(ctx).await.map(Arc::unwrap_or_clone)
    }
}

/// The authenticated caller, if there is one.
impl FromCtx for Option<Arc<Principal>> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.shared_principal())
    }
}

/// The authenticated caller, if there is one.
impl FromCtx for Option<Principal> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.principal().cloned())
    }
}

/// The HTTP headers of the request; empty on other transports.
impl FromCtx for http::HeaderMap {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.headers().cloned().unwrap_or_default())
    }
}

/// The name and version that the client says it has; `None` if it says nothing. Nobody has verified
/// it: for logs and statistics, never for decisions (`basic/index#per-response-protocol-fields`).
#[derive(Clone, Debug, Default)]
pub struct ClientInfo(pub Option<Implementation>);

impl FromCtx for ClientInfo {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(Self(ctx.meta().client_info()))
    }
}

impl<T: FromCtx> FromCtx for Result<T, HandlerError> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(T::from_ctx(ctx).await)
    }

    fn requires(requirements: &mut Requirements) {
        T::requires(requirements);
    }
}
