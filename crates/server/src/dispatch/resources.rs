//! `resources/read`.

use super::handler_future::ServerFuture;
use super::{Dispatcher, malformed_content, map_write_error, params};
use crate::call::handler_error::HandlerError;
use crate::catalogue::content;
use crate::catalogue::uri::is_uri;
use carryall_proto::Call;
use carryall_types::{CacheScope, ErrorObject, ReadResourceResult};

impl Dispatcher {
    pub(super) fn read_resource(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let uri = params::string(&call, "uri")?;
        let not_found = || {
            self.check_credentials(&call);
            HandlerError::resource_not_found(&uri).into_error_object()
        };
        if !is_uri(&uri) {
            return Err(not_found());
        }
        let caller = call.principal();
        let found = self
            .catalogue
            .current()
            .resource_at(&uri)
            .filter(|(entry, _)| entry.resource.access.allows(caller));
        let (entry, variables) = found.ok_or_else(not_found)?;
        self.run(call, move |ctx| async move {
            let contents = entry.resource.handler.call(ctx.clone(), variables).await?;
            let contents = contents.resolve(&uri, entry.mime_type.as_deref());
            content::check_contents(&contents).map_err(malformed_content)?;
            let mut result = ReadResourceResult::new(contents);
            result.ttl_ms = entry.resource.cache.ttl_ms;
            result.cache_scope = entry.resource.cache.scope;
            if entry.resource.access.is_restricted() {
                result.cache_scope = CacheScope::Private;
            }
            map_write_error(ctx.environment().results.result("complete", &result, None))
        })
    }
}
