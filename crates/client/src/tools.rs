//! What the client knows about listed tools: headers, output schemas and whether a call may be
//! repeated.

use crate::ClientError;
use carryall_proto::Params;
use carryall_proto::headers::ParamHeaders;
use carryall_proto::sync::RwLock;
use carryall_schema::{Schema, SchemaProblem};
use carryall_types::{JsonObject, JsonValue, RawJson, Tool};
use http::HeaderMap;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, RwLockWriteGuard};

/// The most tools in the index. Further ones are called without headers and validation.
const MAX_TOOLS: usize = 10_000;

/// What the definition of one tool says.
#[derive(Debug, PartialEq)]
pub(crate) struct KnownTool {
    headers: ParamHeaders,
    pub(crate) output: Option<OutputSchema>,
    /// The server declares the tool idempotent or read-only.
    pub(crate) is_repeatable: bool,
}

/// The most recently listed definitions, by name.
#[derive(Debug, Default)]
pub(crate) struct ToolIndex {
    known: RwLock<HashMap<Box<str>, Arc<KnownTool>>>,
}

impl ToolIndex {
    /// Indexes the tools of one page. With `mirror_headers`, tools whose header annotations are
    /// invalid are removed from the page
    /// (`basic/transports/streamable-http#schema-extension`).
    ///
    /// A cached page is older than the index and replaces nothing in it.
    pub(crate) fn learn(&self, tools: &mut Vec<Tool>, mirror_headers: bool, cached: bool) {
        let mut learnt = Vec::with_capacity(tools.len());
        tools.retain(|tool| {
            let headers = match ParamHeaders::compile(&tool.input_schema) {
                Ok(headers) => headers,
                Err(_) if !mirror_headers => ParamHeaders::default(),
                Err(problem) => {
                    tracing::warn!(tool = %carryall_proto::Printable(&tool.name), problem = %carryall_proto::PrintableFmt(&problem), "tool left out: its x-mcp-header annotations are invalid");
                    learnt.push((tool.name.clone(), None));
                    return false;
                }
            };
            learnt.push((tool.name.clone(), Some(KnownTool::new(tool, headers))));
            true
        });
        let mut known = self.write();
        for (name, tool) in learnt {
            let current = known.get(&*name);
            match tool {
                None => drop(known.remove(&*name)),
                // An unchanged definition keeps its compiled schema.
                Some(tool) if current.is_some_and(|current| cached || **current == tool) => {}
                Some(tool) if current.is_some() || known.len() < MAX_TOOLS => {
                    known.insert(name.into(), Arc::new(tool));
                }
                Some(_) => {}
            }
        }
    }

    /// Removes tools that a complete list does not contain.
    pub(crate) fn retain_listed(&self, tools: &[Tool]) {
        let names: HashSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        self.write().retain(|name, _| names.contains(&**name));
    }

    /// Returns the tool that the parameters of a `tools/call` name.
    pub(crate) fn called_by(&self, params: &Params) -> Option<Arc<KnownTool>> {
        let known = self.known.read();
        if known.is_empty() {
            return None;
        }
        known.get(&*tool_name(params)?).cloned()
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Arc<KnownTool>>> {
        self.known.write()
    }
}

/// Returns the name in the parameters of a `tools/call`.
pub(crate) fn tool_name(params: &Params) -> Option<Cow<'_, str>> {
    params.string("name")
}

impl KnownTool {
    fn new(tool: &Tool, headers: ParamHeaders) -> Self {
        let annotations = tool.annotations.as_ref();
        let is_repeatable = annotations.is_some_and(|annotations| {
            annotations.idempotent_hint == Some(true) || annotations.read_only_hint == Some(true)
        });
        Self {
            headers,
            output: tool.output_schema.clone().map(OutputSchema::new),
            is_repeatable,
        }
    }

    /// Returns the `Mcp-Param-*` headers of a call with these parameters.
    pub(crate) fn mirror(&self, params: &Params) -> Result<Option<HeaderMap>, ClientError> {
        if self.headers.is_empty() {
            return Ok(None);
        }
        let arguments = match params
            .get("arguments")
            .map(|arguments| arguments.decode::<JsonValue>())
        {
            Some(Ok(JsonValue::Object(arguments))) => arguments,
            _ => JsonObject::new(),
        };
        let headers = self
            .headers
            .mirror(&arguments)
            .map_err(|error| ClientError::Request(error.to_string()))?;
        Ok(Some(headers.into_iter().collect()))
    }
}

/// The output schema of a tool. Compiled on first use, since most listed tools are never called.
#[derive(Debug)]
pub(crate) struct OutputSchema {
    schema: JsonObject,
    compiled: OnceLock<Result<Schema, SchemaProblem>>,
}

impl PartialEq for OutputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl OutputSchema {
    fn new(schema: JsonObject) -> Self {
        Self {
            schema,
            compiled: OnceLock::new(),
        }
    }

    /// Checks structured content. An `Err` says why it does not match, or why the schema cannot be
    /// used.
    ///
    /// A schema with an unsupported pattern accepts everything: generators of older dialects emit
    /// look-around, which needs more than linear time, and the server is not to blame for that.
    pub(crate) fn check(&self, content: &RawJson) -> Result<(), String> {
        let schema = self
            .compiled
            .get_or_init(|| Schema::compile_published(&self.schema));
        let schema = match schema {
            Ok(schema) => schema,
            Err(problem @ SchemaProblem::UnsupportedPattern(_)) => {
                tracing::warn!(problem = %carryall_proto::PrintableFmt(&problem), "structured content not validated");
                return Ok(());
            }
            Err(problem) => return Err(format!("the schema cannot be used: {problem}")),
        };
        schema
            .check(content)
            .map_err(|violations| violations.to_string())
    }
}
