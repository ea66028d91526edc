//! A request on its way: attempts, versions, mirrored headers, rounds, cache.

use crate::client::{Client, Inner};
use crate::exchange::{Limits, exchange};
use crate::notices::NotificationDispatcher;
use crate::options::CallOptions;
use crate::rounds::{InterimResult, Kind};
use crate::template::MetaTemplate;
use crate::warnings::{ResponseWarning, Warnings, printable};
use crate::wire::{RequestSpec, RoundAnswer};
use crate::{ClientError, random};
use carryall_proto::{Call, CallError};
use carryall_types::{
    ErrorObject, ListToolsResult, Method, RawJson, RequestId, TASKS_EXTENSION, Task, code,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::sync::atomic::Ordering;

/// What the server answered: the text of a result, by its `resultType`.
#[derive(Debug)]
pub(crate) enum Answered {
    Complete { result: RawJson, cached: bool },
    InputRequired(InterimResult),
    Task(Box<Task>),
}

impl Client {
    /// One answer to what is asked, be it a request for input.
    pub(crate) async fn answer_once(
        &self,
        ask: &mut RequestSpec,
        round: Option<&RoundAnswer>,
        options: &CallOptions,
    ) -> Result<Answered, ClientError> {
        options.check()?;
        let cache = self.cache_for(ask, round);
        if let Some((view, key)) = &cache
            && !options.no_cache
            && let Some(result) = view.get(key)
        {
            return Ok(Answered::Complete {
                result,
                cached: true,
            });
        }
        let epoch = cache.as_ref().map(|(view, _)| view.epoch());
        let result = self.send(ask, round, options).await?;
        let added: &[Box<str>] = if ask.raw {
            &self.inner.config.result_types
        } else {
            &[]
        };
        let tasks = self
            .inner
            .config
            .capabilities
            .has_extension(TASKS_EXTENSION);
        let result = match Kind::of(&ask.method, result, added, tasks && !ask.raw)? {
            Kind::Complete(result) => result,
            Kind::Task(task) => return Ok(Answered::Task(task)),
            Kind::InputRequired(interim) => return Ok(Answered::InputRequired(interim)),
        };
        if let (Some((view, key)), Some(epoch)) = (cache, epoch) {
            view.put(key, &result, epoch);
        }
        if ask.method == Method::ToolsCall {
            self.check_output(ask, &result, options)?;
        }
        Ok(Answered::Complete {
            result,
            cached: false,
        })
    }

    /// Sends until there is an answer, or no use in trying.
    async fn send(
        &self,
        ask: &mut RequestSpec,
        round: Option<&RoundAnswer>,
        options: &CallOptions,
    ) -> Result<RawJson, ClientError> {
        let inner = &*self.inner;
        let (mut retries, mut negotiated, mut refreshed) = (0, false, false);
        loop {
            let error = match self.attempt(ask, round, options).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            match &error {
                ClientError::Server(refusal)
                    if refusal.code == code::UNSUPPORTED_PROTOCOL_VERSION && !negotiated =>
                {
                    negotiated = true;
                    inner.choose_version(refusal)?;
                }
                ClientError::Server(refusal)
                    if refusal.code == code::HEADER_MISMATCH && !refreshed =>
                {
                    if !inner.config.mirrors || ask.method != Method::ToolsCall {
                        return Err(error);
                    }
                    refreshed = true;
                    tracing::debug!("header mismatch: listing the tools anew");
                    if let Err(cause) = self.list_tools().no_cache().await {
                        tracing::warn!(cause = %carryall_proto::PrintableFmt(&cause), "the tools cannot be listed to find out which headers a call needs");
                        return Err(error);
                    }
                }
                ClientError::Call(cause)
                    if retries < inner.config.max_retries
                        && self.may_repeat(ask, cause, options) =>
                {
                    let delay = inner.config.backoff.delay(retries, random::bits());
                    tracing::debug!(%cause, ?delay, "sending again");
                    retries += 1;
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// One wire request under an id of its own.
    async fn attempt(
        &self,
        ask: &mut RequestSpec,
        round: Option<&RoundAnswer>,
        options: &CallOptions,
    ) -> Result<RawJson, ClientError> {
        let inner = &*self.inner;
        let id = inner.next_id();
        // The id is unique among requests in flight, so it serves as progress token as well.
        let token = options.wants_progress().then_some(id);
        let meta = inner
            .template()
            .render(&inner.meta_options(&options.meta), token)?;
        let params = ask.params(meta.raw(), round);
        let headers = match ask.method {
            Method::ToolsCall if inner.config.mirrors => match inner.tools.of_call(&params) {
                Some(tool) => tool.mirror(&params)?,
                None => None,
            },
            _ => None,
        };
        let id = RequestId::Number(id);
        let mut call = Call::new(id.clone(), ask.method.clone(), params, meta);
        *call.headers_mut() = headers;
        let mut notices = NotificationDispatcher::new(options, token);
        let answer = exchange(
            inner.service.answer(call),
            &id,
            inner.limits(options),
            &mut notices,
        )
        .await;
        ask.reached = notices.reached();
        answer
    }

    /// Whether a request without an answer may go out again. What was not sent may; what may have
    /// been executed may only if executing it twice is harmless.
    fn may_repeat(&self, ask: &RequestSpec, cause: &CallError, options: &CallOptions) -> bool {
        match cause {
            CallError::Unreachable(_) | CallError::Busy(_) => true,
            CallError::Broken(_) => match ask.method {
                Method::ToolsCall => {
                    options.retry_idempotent
                        && ask
                            .sent()
                            .and_then(|params| self.inner.tools.of_call(params))
                            .is_some_and(|tool| tool.repeatable)
                }
                _ => ask.method.is_read_only(),
            },
            _ => false,
        }
    }

    /// Holds `structuredContent` against the tool's `outputSchema`, as far as it is known
    /// (`server/tools#output-schema`).
    ///
    /// The call has been executed, so that a result that does not match is handed over with a
    /// warning, unless the client was told to refuse it.
    pub(crate) fn check_output(
        &self,
        ask: &RequestSpec,
        result: &RawJson,
        options: &CallOptions,
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Output<'a> {
            // `null` is content too, unlike no member at all.
            #[serde(borrow, default, deserialize_with = "some")]
            structured_content: Option<&'a RawValue>,
            #[serde(default)]
            is_error: Option<bool>,
        }
        if !self.inner.config.validate_output {
            return Ok(());
        }
        let Some(params) = ask.sent() else {
            return Ok(());
        };
        let Some(tool) = self.inner.tools.of_call(params) else {
            return Ok(());
        };
        let Some(schema) = &tool.output else {
            return Ok(());
        };
        // What does not even decode is reported by whoever decodes it.
        let Ok(output) = serde_json::from_slice::<Output<'_>>(result.as_bytes()) else {
            return Ok(());
        };
        if output.is_error == Some(true) {
            return Ok(());
        }
        let checked = match output.structured_content {
            Some(content) => {
                let text = result
                    .clone()
                    .into_bytes()
                    .slice_ref(content.get().as_bytes());
                schema.check(&RawJson::from_trusted(text))
            }
            None => Err("there is no structuredContent".into()),
        };
        let Err(why) = checked else { return Ok(()) };
        let tool = crate::tools::name_of(params).unwrap_or_default();
        if self.inner.config.require_valid_output {
            return Err(ClientError::Schema {
                tool: tool.into_owned(),
                why,
            });
        }
        let mut warnings = Warnings::default();
        warnings.add(ResponseWarning::OutputSchema {
            tool: printable(&tool),
            why: printable(&why),
        });
        warnings.report(&ask.method, options, false);
        Ok(())
    }

    pub(crate) fn learn_tools(&self, page: &mut ListToolsResult, cached: bool) {
        self.inner
            .tools
            .learn(&mut page.tools, self.inner.config.mirrors, cached);
    }

    fn cache_for(
        &self,
        ask: &RequestSpec,
        round: Option<&RoundAnswer>,
    ) -> Option<(crate::cache::CacheView, carryall_proto::freshness::CacheKey)> {
        // What a round brings in is not part of the key (`server/utilities/caching#cache-key`).
        if round.is_some() || !ask.method.is_cacheable() {
            return None;
        }
        let view = self.cache_view()?;
        let key = view.key(ask.method.as_str(), &ask.object());
        Some((view, key))
    }
}

impl Inner {
    pub(crate) fn next_id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn template(&self) -> &MetaTemplate {
        // `current` is only ever set to an index into `templates`.
        &self.templates[self.current.load(Ordering::Relaxed)]
    }

    pub(crate) fn limits(&self, options: &CallOptions) -> Limits {
        Limits {
            idle: options.timeout.unwrap_or(self.config.timeout),
            total: options.max_timeout.unwrap_or(self.config.max_timeout),
            reset_on_progress: options.reset_on_progress,
        }
    }

    /// Turns to the version that both sides speak
    /// (`basic/versioning#protocol-version-negotiation`).
    pub(crate) fn choose_version(&self, refusal: &ErrorObject) -> Result<(), ClientError> {
        #[derive(Deserialize, Default)]
        struct Data {
            #[serde(default)]
            supported: Vec<String>,
        }
        let data: Data = refusal
            .data
            .as_ref()
            .and_then(|data| data.decode().ok())
            .unwrap_or_default();
        let mutual = self.templates.iter().position(|template| {
            data.supported
                .iter()
                .any(|theirs| theirs == template.version())
        });
        let Some(mutual) = mutual else {
            let ours = self
                .templates
                .iter()
                .map(|template| template.version().to_owned())
                .collect();
            return Err(ClientError::Versions {
                ours,
                theirs: data.supported,
            });
        };
        self.current.store(mutual, Ordering::Relaxed);
        Ok(())
    }
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
