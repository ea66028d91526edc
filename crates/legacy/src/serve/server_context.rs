//! What all clients of one server share.

use super::background::BackgroundTasks;
use super::options::LegacyOptions;
use super::quotas::ServerQuotas;
use super::shutdown::Shutdown;
use carryall_proto::SharedService;
use std::sync::Arc;

/// The service and everything that its legacy clients share. Cheap to clone.
///
/// It owns the server's background tasks, so a background task must not hold it for long.
#[derive(Clone)]
pub(crate) struct ServerContext {
    pub(crate) service: SharedService,
    pub(crate) options: Arc<LegacyOptions>,
    pub(crate) quotas: Arc<ServerQuotas>,
    pub(crate) shutdown: Shutdown,
    pub(crate) background: Arc<BackgroundTasks>,
}

impl ServerContext {
    pub(crate) fn new(service: SharedService, options: LegacyOptions) -> Self {
        let quotas = Arc::new(ServerQuotas::new(&options));
        Self {
            service,
            options: Arc::new(options),
            quotas,
            shutdown: Shutdown::default(),
            background: Arc::default(),
        }
    }
}
