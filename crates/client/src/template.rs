//! What every request says about the client, written out once.

use crate::ClientError;
use crate::options::MetaOptions;
use carryall_proto::Meta;
use carryall_types::{ClientCapabilities, Implementation, ProgressToken, ProtocolVersion};

/// The `_meta` of one protocol version, ready to be copied into each request (`basic/index#_meta`).
#[derive(Debug)]
pub(crate) struct MetaTemplate {
    meta: Meta,
}

impl MetaTemplate {
    pub(crate) fn new(
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        info: Option<Implementation>,
    ) -> Self {
        let mut meta = Meta::builder(version, capabilities);
        if let Some(info) = info {
            meta = meta.client_info(info);
        }
        Self { meta: meta.build() }
    }

    pub(crate) fn version(&self) -> &str {
        self.meta.version().as_str()
    }

    /// The `_meta` of one request. Without options it shares the text that is there already.
    pub(crate) fn render(
        &self,
        options: &MetaOptions,
        token: Option<i64>,
    ) -> Result<Meta, ClientError> {
        if options.log_level.is_none() && options.extra.is_empty() && token.is_none() {
            return Ok(self.meta.clone());
        }
        let token = token.map(ProgressToken::Number);
        self.meta
            .extended(&options.extra, options.log_level, token)
            .map_err(|error| ClientError::Request(format!("_meta: {error}")))
    }
}
