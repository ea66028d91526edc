//! What every request says about the client, written out once.

use crate::ClientError;
use crate::options::MetaOptions;
use carryall_proto::{Meta, json, key};
use carryall_types::{
    ClientCapabilities, Implementation, JsonObject, ProgressToken, ProtocolVersion, RawJson,
};

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
        Self {
            meta: Meta::new(version, capabilities, info, None, None, &JsonObject::new()),
        }
    }

    pub(crate) fn version(&self) -> &str {
        self.meta.version.as_str()
    }

    /// The `_meta` of one request. Without options it shares the text that is there already.
    pub(crate) fn render(
        &self,
        options: &MetaOptions,
        token: Option<i64>,
    ) -> Result<Meta, ClientError> {
        let mut meta = self.meta.clone();
        if options.log_level.is_none() && options.extra.is_empty() && token.is_none() {
            return Ok(meta);
        }
        let written = meta.raw().as_bytes();
        let mut text = Vec::with_capacity(written.len() + 128);
        // The text ends with the brace that closes the object; members go before it.
        text.extend_from_slice(&written[..written.len() - 1]);
        for (name, value) in &options.extra {
            member(&mut text, name, value)?;
        }
        if let Some(level) = options.log_level {
            member(&mut text, key::LOG_LEVEL, &level)?;
            meta.log_level = Some(level);
        }
        if let Some(token) = token {
            member(&mut text, key::PROGRESS_TOKEN, &token)?;
            meta.progress_token = Some(ProgressToken::Number(token));
        }
        text.push(b'}');
        Ok(meta.with_raw(RawJson::from_trusted(text.into())))
    }
}

fn member<T: serde::Serialize>(
    text: &mut Vec<u8>,
    name: &str,
    value: &T,
) -> Result<(), ClientError> {
    text.push(b',');
    json::write_str(text, name);
    text.push(b':');
    json::write_value(text, value)
        .map_err(|error| ClientError::Request(format!("_meta member {name:?}: {error}")))
}
