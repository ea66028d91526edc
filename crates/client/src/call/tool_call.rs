//! What is special about `tools/call`: mirrored headers and output schemas.

use super::attempt::AttemptCount;
use super::fetch::Fetched;
use super::outcome::RawOutcome;
use super::spec::{RequestSpec, RoundInput};
use crate::ClientError;
use crate::core::{ClientCore, ScopedCore};
use crate::error::ResponseError;
use crate::options::CallOptions;
use crate::pages::fetch_list;
use crate::tools::tool_name;
use crate::warnings::{ResponseWarning, Warnings, printable};
use carryall_types::{ListToolsResult, Method, RawJson, code};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

impl ScopedCore {
    /// Fetches one result. A `tools/call` that is refused because of its headers is sent once more
    /// after listing the tools (`basic/transports/streamable-http#custom-headers-from-tool-parameters`),
    /// and the output of a tool is checked.
    pub(crate) async fn fetch_checked(
        &self,
        spec: &mut RequestSpec,
        round: Option<&RoundInput>,
        options: &CallOptions,
    ) -> Result<Fetched, ClientError> {
        let mut attempts = AttemptCount::default();
        let mut fetched = self.fetch(spec, round, options, &mut attempts).await;
        if let Err(error) = &fetched
            && self.config.mirror_headers
            && spec.method == Method::ToolsCall
            && error.code() == Some(code::HEADER_MISMATCH)
            // Boxed to keep the future of the common case small.
            && Box::pin(self.refresh_tools()).await
        {
            fetched = self.fetch(spec, round, options, &mut attempts).await;
        }
        let fetched = fetched?;
        if let RawOutcome::Complete(result) = &fetched.outcome
            && spec.method == Method::ToolsCall
        {
            self.check_output(spec, result, options)?;
        }
        Ok(fetched)
    }

    /// Lists the tools for their header annotations. Returns whether that succeeded.
    async fn refresh_tools(&self) -> bool {
        tracing::debug!("header mismatch: listing the tools again");
        let options = CallOptions::new().no_cache();
        match fetch_list::<ListToolsResult>(self, &options).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(error = %carryall_proto::PrintableFmt(&error), "cannot list the tools to find out which headers a call needs");
                false
            }
        }
    }
}

impl ClientCore {
    /// Checks `structuredContent` against the tool's `outputSchema`, if that is known
    /// (`server/tools#output-schema`).
    ///
    /// A mismatch is a warning, since the call has been executed, or an error if the client
    /// requires valid output.
    pub(crate) fn check_output(
        &self,
        spec: &RequestSpec,
        result: &RawJson,
        options: &CallOptions,
    ) -> Result<(), ClientError> {
        let Some(params) = spec.sent_params().filter(|_| self.config.validate_output) else {
            return Ok(());
        };
        let Some(tool) = self.tools.called_by(params) else {
            return Ok(());
        };
        let Some(schema) = &tool.output else {
            return Ok(());
        };
        let checked = match structured_content(result) {
            StructuredContent::Present(content) => schema.check(&content),
            StructuredContent::Missing => Err("structuredContent is missing".into()),
            StructuredContent::Irrelevant => return Ok(()),
        };
        let Err(reason) = checked else { return Ok(()) };
        let tool = tool_name(params).unwrap_or_default();
        if self.config.require_valid_output {
            return Err(ResponseError::OutputSchema {
                tool: tool.into_owned(),
                reason,
            }
            .into());
        }
        let mut warnings = Warnings::default();
        warnings.add(ResponseWarning::OutputSchema {
            tool: printable(&tool),
            reason: printable(&reason),
        });
        warnings.report(&spec.method, options.on_warning.as_ref(), false);
        Ok(())
    }
}

enum StructuredContent {
    Present(RawJson),
    Missing,
    /// The tool failed, or the result does not decode, which is reported when it is decoded.
    Irrelevant,
}

fn structured_content(result: &RawJson) -> StructuredContent {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OutputFields<'a> {
        // Unlike a missing member, `null` is content.
        #[serde(borrow, default, deserialize_with = "some")]
        structured_content: Option<&'a RawValue>,
        #[serde(default)]
        is_error: Option<bool>,
    }
    let Ok(fields) = serde_json::from_slice::<OutputFields<'_>>(result.as_bytes()) else {
        return StructuredContent::Irrelevant;
    };
    if fields.is_error == Some(true) {
        return StructuredContent::Irrelevant;
    }
    match fields.structured_content {
        Some(content) => {
            let text = result.clone().into_bytes();
            let text = text.slice_ref(content.get().as_bytes());
            StructuredContent::Present(RawJson::from_trusted(text))
        }
        None => StructuredContent::Missing,
    }
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
