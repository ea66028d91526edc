//! Writes results as JSON text, with the `_meta` that every result carries (`basic/index#_meta`).

use crate::call::tool_output::ToolOutput;
use carryall_proto::json;
use carryall_types::{
    CacheScope, ContentBlock, Implementation, JsonObject, JsonValue, RawJson, TextContent,
};
use serde::Serialize;

/// Writes the results of one server.
#[derive(Debug)]
pub(crate) struct ResultWriter {
    /// The member `"io.modelcontextprotocol/serverInfo":{...}` with name and version; empty if the
    /// author has turned it off.
    server_info: Vec<u8>,
    server_info_value: JsonValue,
    /// The whole identity, icons included. Only `server/discover` carries it.
    identity: Option<Implementation>,
}

/// How long a result may be cached, and by whom (`server/utilities/caching`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachePolicy {
    /// How long a client may treat the result as fresh, in milliseconds.
    pub(crate) ttl_ms: u64,
    /// Who may cache it. `Public` promises that the result is the same for every caller.
    pub(crate) scope: CacheScope,
}

impl Default for CachePolicy {
    /// Never fresh, and private.
    fn default() -> Self {
        Self {
            ttl_ms: 0,
            scope: CacheScope::Private,
        }
    }
}

impl ResultWriter {
    pub(crate) fn new(identity: Option<Implementation>) -> Self {
        let brief = identity
            .as_ref()
            .map(|info| serde_json::json!({"name": info.name, "version": info.version}));
        let mut text = Vec::new();
        if let Some(info) = &brief {
            json::write_str(&mut text, carryall_proto::key::SERVER_INFO);
            text.push(b':');
            text.extend_from_slice(info.to_string().as_bytes());
        }
        Self {
            server_info: text,
            server_info_value: brief.unwrap_or_default(),
            identity,
        }
    }

    /// Writes a tool's output as a `CallToolResult`.
    pub(crate) fn tool_output(&self, output: &ToolOutput) -> Result<RawJson, json::WriteError> {
        let text: usize = output.content.iter().map(size_hint).sum();
        let structured = output
            .structured
            .as_ref()
            .map_or(0, |value| value.as_bytes().len());
        let mut out =
            ResultBuffer::start("complete", text + structured + 192 + self.server_info.len());
        match output.content.as_slice() {
            [ContentBlock::Text(block)] if is_bare(block) => out.text_content(&block.text),
            content => out.member("content", &content)?,
        }
        if let Some(structured) = &output.structured {
            out.raw_member("structuredContent", structured.as_bytes());
        }
        if output.is_error {
            out.raw_member("isError", b"true");
        }
        Ok(out.finish(output.meta.as_ref(), self))
    }

    /// Writes any other result. Its `_meta` is passed separately, as `meta`.
    pub(crate) fn result<T: Serialize>(
        &self,
        result_type: &str,
        value: &T,
        meta: Option<&JsonObject>,
    ) -> Result<RawJson, json::WriteError> {
        let mut out = ResultBuffer::start(result_type, 256 + self.server_info.len());
        out.splice(value)?;
        Ok(out.finish(meta, self))
    }

    /// Writes one page of a list, under the name `member`.
    pub(crate) fn page<'a>(
        &self,
        member: &str,
        items: impl Iterator<Item = &'a RawJson>,
        next_cursor: Option<&str>,
        cache: CachePolicy,
    ) -> RawJson {
        let mut out = ResultBuffer::start("complete", 1024);
        out.key(member);
        out.0.push(b'[');
        for (i, item) in items.enumerate() {
            if i > 0 {
                out.0.push(b',');
            }
            out.0.extend_from_slice(item.as_bytes());
        }
        out.0.push(b']');
        if let Some(cursor) = next_cursor {
            out.key("nextCursor");
            json::write_str(&mut out.0, cursor);
        }
        out.cache(cache);
        out.finish(None, self)
    }
}

/// Whether a block holds nothing but text: the most frequent content by far, which is written
/// without a serialiser.
fn is_bare(block: &TextContent) -> bool {
    block.annotations.is_none() && block.meta.is_none() && block.extra.is_empty()
}

fn size_hint(block: &ContentBlock) -> usize {
    match block {
        ContentBlock::Text(text) => text.text.len() + 32,
        ContentBlock::Image(image) => image.data.len() + 64,
        ContentBlock::Audio(audio) => audio.data.len() + 64,
        _ => 256,
    }
}

/// A result object being written.
pub(crate) struct ResultBuffer(Vec<u8>);

impl ResultBuffer {
    pub(crate) fn start(result_type: &str, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(b"{\"resultType\":");
        json::write_str(&mut out, result_type);
        Self(out)
    }

    fn key(&mut self, key: &str) {
        self.0.push(b',');
        json::write_str(&mut self.0, key);
        self.0.push(b':');
    }

    fn member<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), json::WriteError> {
        self.key(key);
        json::write_value(&mut self.0, value)
    }

    fn text_content(&mut self, text: &str) {
        self.0
            .extend_from_slice(br#","content":[{"type":"text","text":"#);
        json::write_str(&mut self.0, text);
        self.0.extend_from_slice(b"}]");
    }

    pub(crate) fn raw_member(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn cache(&mut self, cache: CachePolicy) {
        self.raw_member("ttlMs", cache.ttl_ms.to_string().as_bytes());
        self.raw_member(
            "cacheScope",
            if cache.scope == CacheScope::Public {
                b"\"public\""
            } else {
                b"\"private\""
            },
        );
    }

    /// Writes the members of `object` as members of the result.
    pub(crate) fn splice<T: Serialize>(&mut self, object: &T) -> Result<(), json::WriteError> {
        let start = self.0.len();
        json::write_value(&mut self.0, object)?;
        self.0.pop();
        if self.0.len() == start + 1 {
            self.0.truncate(start);
        } else {
            self.0[start] = b',';
        }
        Ok(())
    }

    /// Ends the result of `server/discover`, with the whole identity of the server.
    pub(crate) fn finish_discover(mut self, results: &ResultWriter) -> RawJson {
        if let Some(info) = results
            .identity
            .as_ref()
            .and_then(|info| serde_json::to_value(info).ok())
        {
            let meta = JsonObject::from_iter([(carryall_proto::key::SERVER_INFO.to_owned(), info)]);
            self.raw_member("_meta", JsonValue::Object(meta).to_string().as_bytes());
        }
        self.close()
    }

    /// Ends a result, with `meta` and the server's name and version in `_meta`.
    pub(crate) fn finish(mut self, meta: Option<&JsonObject>, results: &ResultWriter) -> RawJson {
        match meta {
            Some(meta) if !meta.is_empty() => {
                let mut meta = meta.clone();
                if !results.server_info.is_empty() {
                    meta.insert(
                        carryall_proto::key::SERVER_INFO.into(),
                        results.server_info_value.clone(),
                    );
                }
                self.raw_member("_meta", JsonValue::Object(meta).to_string().as_bytes());
            }
            _ if results.server_info.is_empty() => {}
            _ => {
                self.0.extend_from_slice(b",\"_meta\":{");
                self.0.extend_from_slice(&results.server_info);
                self.0.push(b'}');
            }
        }
        self.close()
    }

    #[allow(unsafe_code)]
    fn close(mut self) -> RawJson {
        self.0.push(b'}');
        // SAFETY: everything above appends whole JSON texts and string literals, which are UTF-8.
        unsafe { RawJson::from_utf8_unchecked(self.0.into()) }
    }
}
