//! What the client remembers of the tools it has seen: their headers, output schemas and whether
//! they may be repeated.

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

/// Tools beyond this many are used without what their definition says.
const MAX_TOOLS: usize = 10_000;

/// What one definition says.
#[derive(Debug, PartialEq)]
pub(crate) struct KnownTool {
    headers: ParamHeaders,
    pub(crate) output: Option<OutputSchema>,
    /// The server says that calling it twice is calling it once.
    pub(crate) repeatable: bool,
}

/// The definitions most recently listed, by name.
#[derive(Debug, Default)]
pub(crate) struct ToolIndex {
    known: RwLock<HashMap<Box<str>, Arc<KnownTool>>>,
}

impl ToolIndex {
    /// Takes over the definitions of one page and removes from it the tools that must not be used
    /// over HTTP (`basic/transports/streamable-http#schema-extension`): one bad tool does not spoil
    /// the rest.
    ///
    /// A page out of the cache is older than what is known: it only adds.
    pub(crate) fn learn(&self, tools: &mut Vec<Tool>, mirrors: bool, cached: bool) {
        let mut learnt = Vec::with_capacity(tools.len());
        tools.retain(|tool| {
            let headers = match ParamHeaders::compile(&tool.input_schema) {
                Ok(headers) => headers,
                Err(_) if !mirrors => ParamHeaders::default(),
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
            let there = known.get(&*name);
            match tool {
                None => drop(known.remove(&*name)),
                // What has not changed keeps its compiled schema.
                Some(tool) if there.is_some_and(|there| cached || **there == tool) => {}
                Some(tool) if there.is_some() || known.len() < MAX_TOOLS => {
                    known.insert(name.into(), Arc::new(tool));
                }
                Some(_) => {}
            }
        }
    }

    /// After all pages: forgets the tools that are gone.
    pub(crate) fn keep_only(&self, tools: &[Tool]) {
        let names: HashSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        self.write().retain(|name, _| names.contains(&**name));
    }

    /// The tool that the parameters of a `tools/call` name.
    pub(crate) fn of_call(&self, params: &Params) -> Option<Arc<KnownTool>> {
        let known = self.known.read();
        if known.is_empty() {
            return None;
        }
        known.get(&*name_of(params)?).cloned()
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Arc<KnownTool>>> {
        self.known.write()
    }
}

/// The tool's name, without a copy unless it is written with escapes.
pub(crate) fn name_of(params: &Params) -> Option<Cow<'_, str>> {
    let token = params.get_str("name")?;
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        carryall_types::decode_text(token).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

impl KnownTool {
    fn new(tool: &Tool, headers: ParamHeaders) -> Self {
        let hints = tool.annotations.as_ref();
        let repeatable = hints.is_some_and(|hints| {
            hints.idempotent_hint == Some(true) || hints.read_only_hint == Some(true)
        });
        Self {
            headers,
            output: tool.output_schema.clone().map(OutputSchema::new),
            repeatable,
        }
    }

    /// The `Mcp-Param-*` headers for a call with these parameters.
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

/// What a tool says of its structured content; compiled when it is first needed, since most tools
/// that are listed are never called.
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

    /// Why the content does not match, or why nobody can say. Servers in the field declare older
    /// dialects too, and generators write patterns with look-around, which take more than linear
    /// time: such a schema leaves the content unchecked, since its server is not to blame.
    pub(crate) fn check(&self, content: &RawJson) -> Result<(), String> {
        let schema = self
            .compiled
            .get_or_init(|| Schema::compile_published(&self.schema));
        let schema = match schema {
            Ok(schema) => schema,
            Err(problem @ SchemaProblem::UnsupportedPattern(_)) => {
                tracing::warn!(problem = %carryall_proto::PrintableFmt(&problem), "structured content goes unchecked");
                return Ok(());
            }
            Err(problem) => return Err(format!("the schema cannot be used: {problem}")),
        };
        schema
            .check(content)
            .map_err(|violations| violations.to_string())
    }
}
