//! `Mcp-Param-*` for calls that arrive without them
//! (`basic/transports/streamable-http#custom-headers-from-tool-parameters`).
//!
//! Whoever turns a call into HTTP mirrors the annotated arguments. A client of this revision on
//! HTTP does so itself, and its headers pass as they stand: the server compares them with the body,
//! and repairing a mismatch here would defeat that. A client of an earlier revision, or one on
//! another transport, sends none, so they are derived from the tool's schema. Schemas are taken
//! from the lists that pass through. Where none has, the server refuses the call before executing
//! it (`-32020`); then the tools are listed, and the call is sent once more.

use super::Upstream;
use crate::relay::{StartedReply, begin};
use crate::walk::{NextPage, PageBudget};
use carryall_proto::headers::{MCP_METHOD, MCP_PARAM_PREFIX, ParamHeaderProblem, ParamHeaders};
use carryall_proto::sync::{Mutex, RwLock};
use carryall_proto::{
    Call, CallError, Outcome, Params, ParamsWriter, Printable, Reply, Response, SharedService,
};
use carryall_types::{JsonObject, Method, RawJson, RequestId, code};
use http::HeaderMap;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The definitions of the tools with annotations that are kept of one upstream, in bytes. Calls of
/// further tools pass as they came.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Pages of one list that are read.
const MAX_PAGES: usize = 100;
/// How much is logged about invalid annotations in one list, in characters.
const MAX_SHOWN: usize = 500;
/// How long listing the tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that refuses whatever is sent has its tools listed no more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Which tools of an upstream mirror arguments. Most servers have none, and then a call costs one
/// look at a flag.
#[derive(Default)]
pub(super) struct ToolHeaders {
    any: AtomicBool,
    known: RwLock<Known>,
    /// When the tools were last listed for this, held while they are.
    listing: tokio::sync::Mutex<Option<Instant>>,
    /// The refreshes so far.
    listed: Mutex<u64>,
}

#[derive(Default)]
struct Known {
    /// With the length of the definition that each was read from, of which it keeps at most as
    /// much.
    tools: HashMap<Box<str>, (Arc<ParamHeaders>, usize)>,
    bytes: usize,
}

impl Known {
    fn set(&mut self, name: String, headers: Option<ParamHeaders>, length: usize) {
        if let Some((_, length)) = self.tools.remove(&*name) {
            self.bytes -= length;
        }
        if let Some(headers) = headers.filter(|_| self.bytes + length <= MAX_BYTES) {
            self.bytes += length;
            self.tools.insert(name.into(), (Arc::new(headers), length));
        }
    }
}

/// Whether the headers of whoever makes this call are the gateway's to make.
pub(super) fn is_ours_to_mirror(call: &Call) -> bool {
    call.headers()
        .as_ref()
        .is_none_or(|headers| !headers.contains_key(&MCP_METHOD))
}

/// A page of tools without those whose annotations break the rules, if there are any. Whoever
/// mirrors arguments leaves such tools out and says why
/// (`basic/transports/streamable-http#schema-extension`).
pub(super) fn without_invalid(upstream: &str, result: &RawJson) -> Option<RawJson> {
    if !mentions_headers(result) {
        return None;
    }
    let mut tools = Tools::of(result)?.tools;
    let (before, mut invalid) = (tools.len(), String::new());
    tools.retain(|tool| match problem(tool) {
        None => true,
        Some((name, problem)) => {
            // Further ones would not be shown.
            if invalid.len() < MAX_SHOWN {
                let separator = if invalid.is_empty() { "" } else { "; " };
                invalid.push_str(&format!("{separator}{name}: {problem}"));
            }
            false
        }
    });
    let count = before - tools.len();
    if count == 0 {
        return None;
    }
    let tools = RawJson::from_value(&tools).ok()?;
    let invalid = Printable(&invalid).clipped(MAX_SHOWN).to_string();
    tracing::warn!(
        upstream,
        count,
        invalid,
        "tools with invalid x-mcp-header annotations are left out of the list"
    );
    Some(
        Params::parse(result.clone())
            .ok()?
            .with("tools", &tools)
            .raw()
            .clone(),
    )
}

/// The name of a tool whose annotations break a rule, and which one.
fn problem(tool: &RawJson) -> Option<(String, ParamHeaderProblem)> {
    if !mentions_headers(tool) {
        return None;
    }
    let Tool { name, input_schema } = tool.decode().ok()?;
    let problem = ParamHeaders::compile(&input_schema.unwrap_or_default()).err()?;
    Some((name, problem))
}

impl ToolHeaders {
    /// Adds the headers that the call's tool is known to want.
    ///
    /// # Errors
    /// When an argument has no header form.
    pub(super) fn mirror(&self, call: &mut Call) -> Result<(), CallError> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(name) = call.params().string("name") else {
            return Ok(());
        };
        let known = self.known.read().tools.get(&*name).cloned();
        let Some((annotated, _)) = known else {
            return Ok(());
        };
        drop(name);
        let arguments: JsonObject = call
            .params()
            .get("arguments")
            .and_then(|arguments| arguments.decode().ok())
            .unwrap_or_default();
        let mirrored = annotated
            .mirror(&arguments)
            .map_err(|error| CallError::Refused(error.to_string()))?;
        call.headers_mut().get_or_insert_default().extend(mirrored);
        Ok(())
    }

    /// Reads what a page of tools says about headers.
    pub(super) fn learn(&self, result: &RawJson) {
        // Nearly all pages say nothing, and those are not parsed.
        if !self.any.load(Ordering::Relaxed) && !mentions_headers(result) {
            return;
        }
        let Some(tools) = Tools::of(result) else {
            return;
        };
        let mut known = self.known.write();
        for (name, headers, length) in tools.annotations() {
            known.set(name, headers, length);
        }
        self.any.store(!known.tools.is_empty(), Ordering::Relaxed);
    }

    fn refreshes(&self) -> u64 {
        *self.listed.lock()
    }
}

impl Upstream {
    /// What to send instead of a call that was refused because of its headers, if anything. `sent`
    /// is the call as it was sent, without what belongs to the hop.
    pub(super) async fn with_fresh_headers(
        &self,
        sent: &Call,
        service: &SharedService,
    ) -> Option<Call> {
        let tools = &self.shared.tools;
        let seen = tools.refreshes();
        {
            let mut last = tools.listing.lock().await;
            let recent = last.is_some_and(|last| last.elapsed() < MIN_INTERVAL);
            if tools.refreshes() == seen && !recent {
                self.list_tools(sent, service).await;
                *last = Some(Instant::now());
                *tools.listed.lock() += 1;
            }
        }
        let mut again = sent.clone();
        if let Some(headers) = again.headers_mut() {
            remove_params(headers);
        }
        tools.mirror(&mut again).ok()?;
        // Nothing has changed, so the answer would be the same.
        (again.headers() != sent.headers()).then_some(again)
    }

    /// Lists the tools in the name of whoever makes `call`, at the replica that has refused it.
    async fn list_tools(&self, call: &Call, service: &SharedService) {
        let pages = async {
            let (mut cursor, mut walk) = (None, PageBudget::new(MAX_PAGES));
            loop {
                let page = page_call(call, self.shared.ids.next(), cursor.as_ref());
                let Ok(reply) = service.answer(page).await else {
                    return;
                };
                let Ok(StartedReply::Once(Response {
                    outcome: Outcome::Result(result),
                    ..
                })) = begin(reply).await
                else {
                    return;
                };
                self.shared.tools.learn(&result);
                match walk.onward(&result) {
                    NextPage::To(next) => cursor = Some(next),
                    NextPage::Done => return,
                    NextPage::Stopped(limit) => {
                        let name = self.name();
                        tracing::warn!(
                            upstream = name,
                            limit,
                            "list of tools is longer than is read for headers"
                        );
                        return;
                    }
                }
            }
        };
        if timeout(LIST_TIMEOUT, pages).await.is_err() {
            tracing::warn!(
                upstream = self.name(),
                "listing the tools to find out which headers a call needs takes too long"
            );
        }
    }
}

fn page_call(call: &Call, number: i64, cursor: Option<&String>) -> Call {
    let mut params = ParamsWriter::new();
    if let Some(cursor) = cursor {
        // A string can always be written.
        let _ = params.put("cursor", cursor);
    }
    call.derive(
        RequestId::Number(number),
        Method::ToolsList,
        params.finish(),
    )
}

pub(super) fn is_header_mismatch(reply: &Reply) -> bool {
    matches!(reply, Reply::Once(Response { outcome: Outcome::Error(error), .. }) if error.code == code::HEADER_MISMATCH)
}

fn remove_params(headers: &mut HeaderMap) {
    let mirrored: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(MCP_PARAM_PREFIX))
        .cloned()
        .collect();
    for name in mirrored {
        headers.remove(name);
    }
}

fn mentions_headers(result: &RawJson) -> bool {
    // An annotation written with escapes would be missed here; the refusal of the call then brings
    // it to light.
    result.as_str().contains("x-mcp-header")
}

/// A page of tools.
#[derive(Deserialize)]
struct Tools {
    tools: Vec<RawJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    input_schema: Option<JsonObject>,
}

impl Tools {
    fn of(result: &RawJson) -> Option<Self> {
        result.decode().ok()
    }

    /// Each tool's name, its headers if it has any that are valid, and the length of its
    /// definition.
    fn annotations(self) -> impl Iterator<Item = (String, Option<ParamHeaders>, usize)> {
        self.tools.into_iter().filter_map(|tool| {
            let length = tool.as_bytes().len();
            if !mentions_headers(&tool) || length > MAX_BYTES {
                let name: String = Params::parse(tool).ok()?.get("name")?.decode().ok()?;
                return Some((name, None, length));
            }
            let Tool { name, input_schema } = tool.decode().ok()?;
            let headers = ParamHeaders::compile(&input_schema.unwrap_or_default()).ok();
            Some((name, headers.filter(|headers| !headers.is_empty()), length))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(names: std::ops::Range<usize>, padding: usize) -> RawJson {
        let tool = |number: usize| {
            let property =
                json!({"type": "string", "x-mcp-header": "A", "description": "x".repeat(padding)});
            json!({"name": format!("t{number}"), "inputSchema": {"type": "object", "properties": {"a": property}}})
        };
        RawJson::from(&json!({"tools": names.map(tool).collect::<Vec<_>>()}))
    }

    #[test]
    fn what_is_known_of_tools_is_bounded_and_what_is_gone_makes_room() {
        let tools = ToolHeaders::default();
        tools.learn(&page(0..10, 1024 * 1024));
        let kept = |tools: &ToolHeaders| tools.known.read().tools.len();
        assert_eq!(kept(&tools), 3);
        tools.learn(&page(0..10, 1024 * 1024));
        assert_eq!(kept(&tools), 3, "the same ones again");
        let plain: Vec<_> = (0..10)
            .map(|number| json!({"name": format!("t{number}"), "inputSchema": {}}))
            .collect();
        tools.learn(&RawJson::from(&json!({ "tools": plain })));
        assert_eq!((kept(&tools), tools.known.read().bytes), (0, 0));
        assert!(!tools.any.load(Ordering::Relaxed));
    }
}
