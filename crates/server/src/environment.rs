//! What the contexts of all calls of one server share.

use crate::call::error_policy::ErrorPolicy;
use crate::call::requirements::States;
use crate::call::result_writer::ResultWriter;
use crate::state::quota::StorageQuota;
use crate::state::sealer::Sealer;
use crate::state::store::StateStore;
use carryall_proto::listen::Change;
use carryall_types::Implementation;
use std::sync::Arc;

/// Everything of the server that a handler's context needs, and nothing else.
pub(crate) struct Environment {
    /// The server's identity as its author gave it, even where results do not show it.
    pub(crate) info: Implementation,
    /// The author's state, by type.
    pub(crate) states: States,
    pub(crate) results: Arc<ResultWriter>,
    pub(crate) sealer: Sealer,
    pub(crate) store: StateStore,
    /// Accounts for what handles keep in the store.
    pub(crate) handle_quota: StorageQuota,
    pub(crate) changes: Arc<dyn ChangePublisher>,
    /// What clients and the log are told of errors.
    pub(crate) errors: ErrorPolicy,
    /// Whether the server declares `logging`.
    pub(crate) logging: bool,
}

/// Publishes changes of what the server offers.
pub(crate) trait ChangePublisher: Send + Sync {
    /// Notifies the subscribers of this process now, and those of other replicas when the server's
    /// background work next runs.
    fn publish(&self, change: &Change);
}
