//! `completion/complete`.

use super::handler_future::ServerFuture;
use super::{Dispatcher, map_write_error, params};
use crate::call::errors;
use crate::catalogue::completion::{CompletionKey, CompletionQuery, CompletionTarget};
use carryall_proto::Call;
use carryall_types::{CompleteRequestParams, CompleteResult, CompletionReference, ErrorObject};
use std::time::Instant;

impl Dispatcher {
    pub(super) fn complete(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let params: CompleteRequestParams = params::decode(&call)?;
        let caller = call.principal();
        let catalogue = self.catalogue.current();
        let argument = &params.argument.name;
        let (target, is_declared) = match &params.reference {
            CompletionReference::Prompt(prompt) => {
                let unknown = || errors::unknown("prompt", &prompt.name);
                let entry = catalogue
                    .prompts
                    .get(&prompt.name, caller)
                    .ok_or_else(unknown)?;
                let target = CompletionTarget::Prompt(prompt.name.clone());
                (target, entry.has_argument(argument))
            }
            CompletionReference::Resource(resource) => {
                let unknown = || errors::unknown("resource template", &resource.uri);
                let entry = catalogue
                    .templates
                    .get(&resource.uri, caller)
                    .or(catalogue.resources.get(&resource.uri, caller))
                    .ok_or_else(unknown)?;
                let target = CompletionTarget::Template(resource.uri.clone());
                (target, entry.has_variable(argument))
            }
        };
        let key = CompletionKey {
            target,
            argument: argument.clone(),
        };
        let handler = catalogue.completions.get(&key).cloned();
        if handler.is_none() && !is_declared {
            return Err(errors::unknown("argument", argument));
        }
        self.limits
            .completion_rate
            .admit(Instant::now())
            .map_err(|wait| errors::rate_limited("completions", wait))?;
        let query = CompletionQuery::from_params(&params);
        self.run(call, move |ctx| async move {
            let suggestions = match handler {
                Some(handler) => handler.call(ctx.clone(), query).await?,
                None => Default::default(),
            };
            let result = CompleteResult::new(suggestions.into_completion());
            map_write_error(ctx.environment().results.result("complete", &result, None))
        })
    }
}
