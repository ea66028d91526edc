//! Why a handle cannot be used.

use carryall_proto::budget::BudgetExceeded;
use carryall_store::StoreError;
use std::fmt;

/// Why a handle cannot be used.
///
/// In a handler it becomes a [`HandlerError`](crate::HandlerError) with `?`. The model reads the
/// message of every variant but `Unavailable`.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandleError {
    /// The handle was not minted by this server for this caller, is of another kind, was used up or
    /// has expired. Callers are not told which.
    Unknown {
        /// The kind that was expected.
        kind: &'static str,
    },
    /// The state was changed since it was read.
    Conflict {
        /// The kind of the state.
        kind: &'static str,
    },
    /// The caller, or all callers together, are at their limit
    /// ([`ServerBuilder::handle_limits`](crate::ServerBuilder::handle_limits)).
    Full,
    /// The store failed.
    Unavailable(StoreError),
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind } => write!(f, "This {kind} is not known, or has expired: create a new one"),
            Self::Conflict { kind } => write!(f, "This {kind} was changed by somebody else meanwhile: try again"),
            Self::Full => f.write_str(
                "No more state can be kept between calls for now: end what is not needed any more, or try again later",
            ),
            Self::Unavailable(_) => f.write_str("State between calls is not available at the moment: try again"),
        }
    }
}

impl std::error::Error for HandleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            Self::Unknown { .. } | Self::Conflict { .. } | Self::Full => None,
        }
    }
}

impl From<StoreError> for HandleError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            tracing::warn!(%error, "no room for the state of a handle");
            return Self::Full;
        }
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "handle store unavailable"
        );
        Self::Unavailable(error)
    }
}

impl From<BudgetExceeded> for HandleError {
    fn from(exceeded: BudgetExceeded) -> Self {
        tracing::warn!(%exceeded, "no room for the state of a handle");
        Self::Full
    }
}
