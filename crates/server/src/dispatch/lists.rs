//! `tools/list`, `prompts/list`, `resources/list` and `resources/templates/list`.

use super::handler_future::ServerFuture;
use super::{Dispatcher, params, usable_sealer};
use crate::catalogue::list::{ListKind, PageRequest};
use carryall_proto::{Call, Response};
use carryall_types::{ErrorObject, Method};
use std::sync::Arc;

impl Dispatcher {
    pub(super) fn list(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let cursor: Option<String> = params::optional(&call, "cursor")?;
        self.check_credentials(&call);
        let catalogue = self.catalogue.current();
        if *call.method() == Method::ResourcesList && catalogue.lists_instances() {
            return self.list_with_instances(call, cursor, Arc::clone(&catalogue));
        }
        let request = PageRequest {
            cursor: cursor.as_deref(),
            caller: call.principal(),
            sealer: usable_sealer(&self.environment),
        };
        let (settings, results) = (self.catalogue.list_settings(), &self.environment.results);
        let page = match call.method() {
            Method::ToolsList => catalogue
                .tools
                .page(&ListKind::TOOLS, request, settings, results),
            Method::PromptsList => {
                catalogue
                    .prompts
                    .page(&ListKind::PROMPTS, request, settings, results)
            }
            Method::ResourcesList => {
                catalogue
                    .resources
                    .page(&ListKind::RESOURCES, request, settings, results)
            }
            _ => catalogue
                .templates
                .page(&ListKind::TEMPLATES, request, settings, results),
        }?;
        Ok(ServerFuture::ready(Response::result(
            call.id().clone(),
            page,
        )))
    }
}
