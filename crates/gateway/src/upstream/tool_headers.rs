//! Derives `Mcp-Param-*` headers for calls that arrive without them
//! (`basic/transports/streamable-http#custom-headers-from-tool-parameters`).
//!
//! A client of this revision on HTTP mirrors annotated arguments itself. Its headers are passed on
//! unchanged: the server compares them with the body, and correcting a mismatch here would defeat
//! that. A client of an earlier revision, or on another transport, sends none, so they are derived
//! from the schema of the tool, which is learned from lists that pass through. If none has, the
//! server refuses the call before executing it (`-32020`); then the tools are listed and the call is
//! sent once more.

use super::Upstream;
use crate::page_budget::{NextPage, PageBudget};
use crate::relay::StartedReply;
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

/// The bytes of annotated tool definitions kept for one upstream. Calls of further tools are passed
/// on without headers.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most pages of one list.
const MAX_PAGES: usize = 100;
/// The characters logged about invalid annotations in one list.
const MAX_SHOWN: usize = 500;
/// How long listing the tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// The least time between two listings, for servers that refuse every call.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The tools of an upstream with mirrored arguments. Most servers have none; then a call costs one
/// atomic load.
#[derive(Default)]
pub(super) struct ToolHeaders {
    /// Whether `known` has any tools.
    any: AtomicBool,
    known: RwLock<AnnotatedTools>,
    /// When the tools were last listed; locked while they are being listed.
    last_refresh: tokio::sync::Mutex<Option<Instant>>,
    /// The number of completed listings.
    refreshes: Mutex<u64>,
}

#[derive(Default)]
struct AnnotatedTools {
    /// The headers of each tool, and the length of its definition, an upper bound of their size.
    tools: HashMap<Box<str>, (Arc<ParamHeaders>, usize)>,
    bytes: usize,
}

impl AnnotatedTools {
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

/// Returns whether the gateway derives the headers of this call, because its client sent none.
pub(super) fn gateway_mirrors(call: &Call) -> bool {
    call.headers()
        .is_none_or(|headers| !headers.contains_key(&MCP_METHOD))
}

/// Returns a page of tools without those whose annotations are invalid, and logs why; `None` if there
/// are none (`basic/transports/streamable-http#schema-extension`).
pub(super) fn without_invalid_tools(upstream: &str, result: &RawJson) -> Option<RawJson> {
    if !mentions_headers(result) {
        return None;
    }
    let mut tools = ToolPage::parse(result)?.tools;
    let (before, mut invalid) = (tools.len(), String::new());
    tools.retain(|tool| match annotation_problem(tool) {
        None => true,
        Some((name, problem)) => {
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

/// Returns the name of a tool whose annotations are invalid, and why they are.
fn annotation_problem(tool: &RawJson) -> Option<(String, ParamHeaderProblem)> {
    if !mentions_headers(tool) {
        return None;
    }
    let ListedTool { name, input_schema } = tool.decode().ok()?;
    let problem = ParamHeaders::compile(&input_schema.unwrap_or_default()).err()?;
    Some((name, problem))
}

impl ToolHeaders {
    /// Adds the headers of the call's tool, if it is known.
    ///
    /// # Errors
    /// If an argument cannot be sent in a header.
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

    /// Learns the headers of the tools on a page.
    pub(super) fn learn(&self, result: &RawJson) {
        // Most pages have no annotations and are not parsed.
        if !self.any.load(Ordering::Relaxed) && !mentions_headers(result) {
            return;
        }
        let Some(page) = ToolPage::parse(result) else {
            return;
        };
        let mut known = self.known.write();
        for (name, headers, length) in page.annotations() {
            known.set(name, headers, length);
        }
        self.any.store(!known.tools.is_empty(), Ordering::Relaxed);
    }

    fn refresh_count(&self) -> u64 {
        *self.refreshes.lock()
    }
}

impl Upstream {
    /// Returns the call with the headers of the current tool definitions, to be sent after `sent` was
    /// refused because of its headers. `None` if these have not changed. `sent` has the client's ids.
    pub(super) async fn with_fresh_headers(
        &self,
        sent: &Call,
        service: &SharedService,
    ) -> Option<Call> {
        let tools = &self.inner.tools;
        let seen = tools.refresh_count();
        {
            let mut last = tools.last_refresh.lock().await;
            let recent = last.is_some_and(|last| last.elapsed() < MIN_INTERVAL);
            if tools.refresh_count() == seen && !recent {
                self.list_tools(sent, service).await;
                *last = Some(Instant::now());
                *tools.refreshes.lock() += 1;
            }
        }
        let mut again = sent.clone();
        if let Some(headers) = again.headers_mut() {
            remove_param_headers(headers);
        }
        tools.mirror(&mut again).ok()?;
        // With the same headers the answer would be the same.
        (again.headers() != sent.headers()).then_some(again)
    }

    /// Lists the tools on behalf of the caller of `call`, at the replica that refused it.
    async fn list_tools(&self, call: &Call, service: &SharedService) {
        let pages = async {
            let (mut cursor, mut budget) = (None, PageBudget::new(MAX_PAGES));
            loop {
                let page = page_call(call, self.inner.ids.next(), cursor.as_ref());
                let Ok(reply) = service.answer(page).await else {
                    return;
                };
                let Ok(StartedReply::Once(Response {
                    outcome: Outcome::Result(result),
                    ..
                })) = StartedReply::start(reply).await
                else {
                    return;
                };
                self.inner.tools.learn(&result);
                match budget.count_page(&result) {
                    NextPage::Cursor(next) => cursor = Some(next),
                    NextPage::End => return,
                    NextPage::LimitReached(limit) => {
                        let name = self.name();
                        tracing::warn!(
                            upstream = name,
                            limit,
                            "the list of tools exceeds a limit; headers of further tools are not derived"
                        );
                        return;
                    }
                }
            }
        };
        if timeout(LIST_TIMEOUT, pages).await.is_err() {
            tracing::warn!(
                upstream = self.name(),
                "timeout while listing the tools for their header annotations"
            );
        }
    }
}

fn page_call(call: &Call, number: i64, cursor: Option<&String>) -> Call {
    let mut params = ParamsWriter::new();
    if let Some(cursor) = cursor {
        // Serialising a string cannot fail.
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

fn remove_param_headers(headers: &mut HeaderMap) {
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
    // Misses an annotation written with escapes; then the call is refused and the tools are listed.
    result.as_str().contains("x-mcp-header")
}

/// A page of tools.
#[derive(Deserialize)]
struct ToolPage {
    tools: Vec<RawJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedTool {
    name: String,
    input_schema: Option<JsonObject>,
}

impl ToolPage {
    fn parse(result: &RawJson) -> Option<Self> {
        result.decode().ok()
    }

    /// Returns the name of each tool, its headers if it has valid ones, and the length of its
    /// definition.
    fn annotations(self) -> impl Iterator<Item = (String, Option<ParamHeaders>, usize)> {
        self.tools.into_iter().filter_map(|tool| {
            let length = tool.as_bytes().len();
            if !mentions_headers(&tool) || length > MAX_BYTES {
                let name: String = Params::parse(tool).ok()?.get("name")?.decode().ok()?;
                return Some((name, None, length));
            }
            let ListedTool { name, input_schema } = tool.decode().ok()?;
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
    fn known_tools_are_bounded_and_removed_ones_make_room() {
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
