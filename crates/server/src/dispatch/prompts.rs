//! `prompts/get`.

use super::handler_future::ServerFuture;
use super::{Dispatcher, malformed_content, map_write_error, params};
use crate::call::errors;
use crate::call::handler_error::HandlerError;
use crate::catalogue::content;
use crate::catalogue::prompt::PromptArguments;
use carryall_proto::Call;
use carryall_types::ErrorObject;
use std::sync::Arc;

impl Dispatcher {
    pub(super) fn get_prompt(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let name = params::string(&call, "name")?;
        let catalogue = self.catalogue.current();
        let unknown = || {
            self.check_credentials(&call);
            errors::unknown("prompt", &name)
        };
        let entry = catalogue
            .prompts
            .get(&name, call.principal())
            .ok_or_else(unknown)?;
        let entry = Arc::clone(entry);
        let arguments = PromptArguments::parse(params::given_arguments(&call))
            .map_err(HandlerError::into_error_object)?;
        entry
            .check(&arguments)
            .map_err(HandlerError::into_error_object)?;
        self.run(call, move |ctx| async move {
            let mut result = entry.prompt.handler.call(ctx.clone(), arguments).await?;
            let blocks = result
                .messages
                .iter_mut()
                .map(|message| &mut message.content);
            content::complete(blocks).map_err(malformed_content)?;
            let meta = result.meta.take();
            let results = &ctx.environment().results;
            map_write_error(results.result("complete", &result, meta.as_ref()))
        })
    }
}
