//! Async functions as handlers.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromCtx, FromInput};
use crate::call::handler_error::HandlerError;
use crate::call::requirements::Requirements;
use carryall_proto::BoxFuture;
use carryall_types::JsonObject;
use std::future::Future;
use std::sync::Arc;

/// An async function that answers calls: of a tool, prompt, resource, completion or list.
///
/// It takes up to eight extractors ([`FromCtx`]) in any order, and last, if it wants it, the input
/// of its kind ([`FromInput`]):
///
/// ```
/// use carryall_server::{Ctx, HandlerError, Server, State, Tool};
/// use carryall_proto::Principal;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greeting {
///     /// Whom to greet
///     name: String,
/// }
///
/// async fn greet(State(word): State<&'static str>, caller: Option<Principal>, args: Greeting) -> Result<String, HandlerError> {
///     let from = caller.map_or("nobody".to_owned(), |caller| caller.subject);
///     Ok(format!("{word}, {}, from {from}!", args.name))
/// }
///
/// let server = Server::new("greeter", "1.0.0")
///     .state("Hello")
///     .tool(Tool::new("greet", greet))
///     .tool(Tool::new("ping", async || "pong"))
///     .build()
///     .unwrap();
/// ```
///
/// The parameters of a closure need their types written out. A closure that captures something
/// returns an async block which owns a clone of it:
/// `move || { let pool = pool.clone(); async move { .. } }`; state is simpler. The type parameter
/// `M` stands for the signature and is always inferred.
///
/// Something that is no extractor is refused when the program is compiled:
///
/// ```compile_fail,E0277
/// # use carryall_server::{Ctx, Tool};
/// struct Nothing;
/// Tool::new("x", async |_: Nothing| "never");
/// ```
///
/// So is a result that the kind of handler does not have: a tool returns a value as
/// [`Json`](crate::Json).
///
/// ```compile_fail,E0277
/// # use carryall_server::Tool;
/// struct Sum(i64);
/// Tool::new("x", async || Sum(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "this cannot be the handler of a call",
    label = "not a handler",
    note = "a handler is an async function or closure that is `Clone`, `Send` and `Sync`, returns a future that is `Send`, \
            and takes up to eight parameters that implement `FromCtx`: `Ctx`, `State<T>`, `Principal`, `Option<Principal>`, ..",
    note = "its last parameter may also be its input: for a tool, a type that implements `serde::Deserialize` and \
            `schemars::JsonSchema`; `PromptArguments` for a prompt, `UriVariables` for a resource, `CompletionQuery` for a \
            completion",
    note = "what it returns has to be something that a handler of this kind may return, or a `Result` of that"
)]
pub trait Handler<I, M>: Clone + Send + Sync + 'static {
    /// What the function returns.
    type Output: 'static;

    /// Runs the function for one call.
    #[doc(hidden)]
    fn call(
        &self,
        ctx: Ctx,
        input: I,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send + 'static;

    /// What the parameters need of the server.
    #[doc(hidden)]
    fn requirements() -> Requirements;

    /// The schema of the input, if the function takes it and its type has one.
    #[doc(hidden)]
    #[must_use]
    fn input_schema() -> Option<JsonObject>;
}

impl<F, Fut, I> Handler<I, ()> for F
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: 'static> + Send + 'static,
    I: Send + 'static,
{
    type Output = Fut::Output;

    fn call(
        &self,
        _: Ctx,
        _: I,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send + 'static {
        let future = self();
        async move { Ok(future.await) }
    }

    fn requirements() -> Requirements {
        Requirements::default()
    }

    fn input_schema() -> Option<JsonObject> {
        None
    }
}

macro_rules! handler {
    ($($extractor:ident)*) => {
        #[allow(non_snake_case)]
        impl<F, Fut, I, M, $($extractor,)* Last> Handler<I, (M, $($extractor,)* Last)> for F
        where
            F: Fn($($extractor,)* Last) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: 'static> + Send + 'static,
            I: Send + 'static,
            $($extractor: FromCtx + Send + 'static,)*
            Last: FromInput<I, M> + Send + 'static,
        {
            type Output = Fut::Output;

            fn call(&self, ctx: Ctx, input: I) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send + 'static {
                let function = self.clone();
                async move {
                    $(let $extractor = $extractor::from_ctx(&ctx).await?;)*
                    let last = Last::from_input(&ctx, input).await?;
                    drop(ctx);
                    Ok(function($($extractor,)* last).await)
                }
            }

            fn requirements() -> Requirements {
                let mut requirements = Requirements::default();
                $($extractor::requires(&mut requirements);)*
                Last::requires(&mut requirements);
                requirements
            }

            fn input_schema() -> Option<JsonObject> {
                Last::schema()
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
handler!(A B C D E G);
handler!(A B C D E G H);
handler!(A B C D E G H J);

type RunFn<I, O> = dyn Fn(Ctx, I) -> BoxFuture<Result<O, HandlerError>> + Send + Sync;

/// A handler with its type erased, from an input to an output.
pub(crate) struct ErasedHandler<I, O> {
    run: Arc<RunFn<I, O>>,
    pub(crate) requirements: Arc<Requirements>,
}

impl<I: Send + 'static, O: 'static> ErasedHandler<I, O> {
    /// Erases the type of `handler`; `convert` makes an output of what it returns.
    pub(crate) fn new<H, M>(handler: H, convert: fn(H::Output) -> Result<O, HandlerError>) -> Self
    where
        H: Handler<I, M>,
    {
        Self {
            run: Arc::new(move |ctx, input| {
                let answer = handler.call(ctx, input);
                Box::pin(async move { convert(answer.await?) })
            }),
            requirements: Arc::new(H::requirements()),
        }
    }

    pub(crate) fn call(&self, ctx: Ctx, input: I) -> BoxFuture<Result<O, HandlerError>> {
        (self.run)(ctx, input)
    }
}

impl<I, O> Clone for ErasedHandler<I, O> {
    fn clone(&self) -> Self {
        Self {
            run: Arc::clone(&self.run),
            requirements: Arc::clone(&self.requirements),
        }
    }
}
