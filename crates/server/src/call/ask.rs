//! Asking the user, as a parameter of a handler.

use crate::call::ctx::Ctx;
use crate::call::extract::FromCtx;
use crate::call::handler_error::HandlerError;
use crate::call::requirements::Requirements;
use crate::state::rounds::question::{ElicitOutcome, Form};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// Asks the user for a `T`.
///
/// The same as [`Ctx::ask`] with a [`Form`], except that a `T` that no form can ask for is an error
/// of [`ServerBuilder::build`](crate::ServerBuilder::build) and not of the first call.
///
/// ```
/// use carryall_server::{Ask, ElicitOutcome, HandlerError, Server, Tool};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// enum Confirm {
///     Delete,
///     Keep,
/// }
///
/// async fn delete(confirm: Ask<Confirm>) -> Result<&'static str, HandlerError> {
///     match confirm.ask("Delete all of it?").await? {
///         ElicitOutcome::Accepted(Confirm::Delete) => Ok("deleted"),
///         _ => Ok("nothing was deleted"),
///     }
/// }
///
/// Server::new("files", "1.0.0").tool(Tool::new("delete", delete)).build().unwrap();
///
/// // A map has no fields that a form could have.
/// let wrong = Tool::new("wrong", async |_: Ask<Vec<Vec<u8>>>| "");
/// assert!(Server::new("files", "1.0.0").tool(wrong).build().is_err());
/// ```
pub struct Ask<T> {
    ctx: Ctx,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Ask<T> {
    /// Asks with this message; see [`Ctx::ask`].
    ///
    /// # Errors
    /// As for [`Ctx::ask`]. Pass them on with `?`: that ends the round.
    pub async fn ask(&self, message: impl Into<String>) -> Result<ElicitOutcome<T>, HandlerError> {
        self.ctx.ask(Form::new(message)).await
    }

    /// Asks under a name, with which the answer stays however the message changes; see
    /// [`Ctx::ask_as`].
    ///
    /// # Errors
    /// As for [`Ctx::ask`].
    pub async fn ask_as(
        &self,
        name: &str,
        message: impl Into<String>,
    ) -> Result<ElicitOutcome<T>, HandlerError> {
        self.ctx.ask_as(name, Form::new(message)).await
    }
}

impl<T: DeserializeOwned + JsonSchema> FromCtx for Ask<T> {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(Self {
            ctx: ctx.clone(),
            answer: PhantomData,
        })
    }

    fn requires(requirements: &mut Requirements) {
        requirements.form::<T>();
    }
}

impl<T> fmt::Debug for Ask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}
