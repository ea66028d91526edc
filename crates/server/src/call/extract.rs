//! What a handler may take besides its arguments.

use super::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use carryall_proto::Principal;
use carryall_types::ErrorObject;
use std::ops::Deref;
use std::sync::Arc;

/// What a handler may take as a parameter besides its arguments.
pub trait FromCtx: Sized {
    /// Takes it from the context of the call.
    ///
    /// # Errors
    /// When the call does not have it.
    fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError>;
}

impl FromCtx for Ctx {
    fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.clone())
    }
}

/// The server's state of type `T`, as given to
/// [`ServerBuilder::state`](crate::ServerBuilder::state).
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> FromCtx for State<T> {
    fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        ctx.state().map(Self).ok_or_else(|| {
            tracing::error!(
                "a handler takes State<{}>, which the server was not given",
                std::any::type_name::<T>()
            );
            HandlerError::protocol(ErrorObject::internal())
        })
    }
}

/// The authenticated caller. A handler that takes it refuses anonymous calls.
impl FromCtx for Principal {
    fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        ctx.principal()
            .cloned()
            .ok_or_else(|| HandlerError::invalid_params("This call needs an authenticated caller"))
    }
}
