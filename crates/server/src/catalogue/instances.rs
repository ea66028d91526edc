//! The instances of a resource template, as `resources/list` shows them.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromInput, ViaInput};
use crate::call::handler_error::HandlerError;
use carryall_types::Resource as ResourceDefinition;

/// The part of a list that is asked for. The last parameter of a handler that lists instances
/// ([`Resource::list`](crate::Resource::list)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListQuery {
    /// The URI after which the part begins; `None` for the beginning of the list.
    pub after: Option<String>,
    /// How many instances are needed at most. Further ones are dropped.
    pub limit: usize,
}

impl FromInput<ListQuery, ViaInput> for ListQuery {
    async fn from_input(_: &Ctx, query: Self) -> Result<Self, HandlerError> {
        Ok(query)
    }
}

/// What a handler that lists instances may return: their definitions.
#[diagnostic::on_unimplemented(
    message = "a handler that lists instances cannot return `{Self}`",
    note = "it returns `Vec<carryall::types::Resource>`, or a `Result` of it"
)]
pub trait IntoInstances {
    /// Converts it to definitions.
    ///
    /// # Errors
    /// When the handler failed.
    fn into_instances(self) -> Result<Vec<ResourceDefinition>, HandlerError>;
}

impl IntoInstances for Vec<ResourceDefinition> {
    fn into_instances(self) -> Result<Vec<ResourceDefinition>, HandlerError> {
        Ok(self)
    }
}

impl<T: IntoInstances, E: Into<HandlerError>> IntoInstances for Result<T, E> {
    fn into_instances(self) -> Result<Vec<ResourceDefinition>, HandlerError> {
        self.map_err(Into::into)?.into_instances()
    }
}
