//! Decodes results. The type is chosen by the request, never guessed from the shape of the result.

mod salvage;
mod tool_value;

pub use tool_value::ToolValue;

use crate::ClientError;
use crate::core::ClientCore;
use crate::options::CallOptions;
use crate::warnings::Warnings;
use carryall_types::{
    CallToolResult, CompleteResult, DiscoverResult, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method, RawJson,
    ReadResourceResult,
};

/// A type that a request can decode its result to.
///
/// Implemented for the results of the specification, for [`RawJson`] (the text of the result) and
/// for [`ToolValue`]. Not meant to be implemented elsewhere.
pub trait FromResult: Send + 'static {
    /// The type that the request resolves to.
    type Output: Send;

    /// Decodes a complete result.
    #[doc(hidden)]
    fn from_result(
        result: RawResult<'_>,
        warnings: &mut Warnings,
    ) -> Result<Self::Output, ClientError>;
}

/// A complete result, not yet decoded.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct RawResult<'a> {
    pub(crate) core: &'a ClientCore,
    pub(crate) method: &'a Method,
    pub(crate) text: &'a RawJson,
    /// Whether it comes from the cache.
    pub(crate) cached: bool,
}

impl RawResult<'_> {
    /// Decodes the result and reports the warnings about it.
    pub(crate) fn decode<R: FromResult>(
        self,
        options: &CallOptions,
    ) -> Result<R::Output, ClientError> {
        let mut warnings = Warnings::default();
        let output = R::from_result(self, &mut warnings);
        warnings.report(self.method, options.on_warning.as_ref(), self.cached);
        output
    }
}

macro_rules! from_result {
    ($($result:ty),*) => {$(
        impl FromResult for $result {
            type Output = Self;
            fn from_result(
                result: RawResult<'_>,
                warnings: &mut Warnings,
            ) -> Result<Self, ClientError> {
                salvage::decode(result.method, result.text, warnings)
            }
        }
    )*};
}

from_result!(
    DiscoverResult,
    CallToolResult,
    ListPromptsResult,
    GetPromptResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    CompleteResult
);

impl FromResult for ListToolsResult {
    type Output = Self;

    /// Decodes a page and adds its tools to the client's index.
    fn from_result(result: RawResult<'_>, warnings: &mut Warnings) -> Result<Self, ClientError> {
        let mut page: Self = salvage::decode(result.method, result.text, warnings)?;
        let core = result.core;
        core.tools
            .learn(&mut page.tools, core.config.mirror_headers, result.cached);
        Ok(page)
    }
}

impl FromResult for RawJson {
    type Output = Self;

    fn from_result(result: RawResult<'_>, _: &mut Warnings) -> Result<Self, ClientError> {
        Ok(result.text.clone())
    }
}
