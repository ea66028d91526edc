//! Merges the capabilities of all upstreams.

use super::Federation;
use super::extensions::retain_routable;
use super::fan_out::{PartialAnswer, first_error, merged_hint};
use super::malformed::MalformedParts;
use crate::upstream::SEPARATOR;
use carryall_proto::Call;
use carryall_proto::validate::SUPPORTED_VERSIONS;
use carryall_types::{
    DiscoverResult, ErrorObject, JsonValue, PromptsCapability, RawJson, ResourcesCapability,
    ServerCapabilities, ToolsCapability,
};

impl Federation {
    pub(super) async fn discover(&self, call: &Call) -> Result<RawJson, ErrorObject> {
        let calls = self.upstreams.iter();
        let calls = calls.map(|upstream| (upstream, call.clone())).collect();
        let parts = self.fan_out(calls).await;
        let mut capabilities = ServerCapabilities::default();
        let mut instructions = String::new();
        let mut any = false;
        for (part, upstream) in parts.iter().zip(&self.upstreams) {
            let PartialAnswer::Result(result) = part else {
                continue;
            };
            let mut malformed = MalformedParts::default();
            let server = DiscoveredServer::decode(result, &mut malformed);
            malformed.report(upstream.name(), call.method());
            let Some(server) = server else { continue };
            any = true;
            merge_capabilities(&mut capabilities, server.capabilities);
            if let Some(text) = server.instructions {
                append_instructions(&mut instructions, upstream.name(), &text);
            }
        }
        // What a late upstream offers is unknown, and a client of an earlier revision asks only
        // once, so announce list changes for everything.
        if parts
            .iter()
            .any(|part| matches!(part, PartialAnswer::Late(_)))
        {
            any = true;
            capabilities.tools.get_or_insert_default().list_changed = Some(true);
            capabilities.prompts.get_or_insert_default().list_changed = Some(true);
            capabilities.resources.get_or_insert_default().list_changed = Some(true);
        }
        if !any {
            return Err(first_error(parts, call.method()));
        }
        let mut result = self.result_members(merged_hint(call.method(), &parts));
        let versions: Vec<JsonValue> = SUPPORTED_VERSIONS
            .iter()
            .map(|version| version.as_str().into())
            .collect();
        result.insert("supportedVersions".into(), versions.into());
        result.insert(
            "capabilities".into(),
            serde_json::to_value(&capabilities).unwrap_or_default(),
        );
        if !instructions.is_empty() {
            result.insert("instructions".into(), instructions.into());
        }
        Ok(RawJson::from(&JsonValue::Object(result)))
    }
}

/// The parts of a `server/discover` result that a federation uses.
#[derive(Default)]
struct DiscoveredServer {
    capabilities: ServerCapabilities,
    instructions: Option<String>,
}

impl DiscoveredServer {
    /// Decodes a result of `server/discover`; `None` if it is something else. Malformed parts are
    /// left out: a server with one malformed capability can still be used for the others.
    fn decode(result: &RawJson, malformed: &mut MalformedParts) -> Option<Self> {
        if let Ok(DiscoverResult {
            capabilities,
            instructions,
            ..
        }) = result.decode()
        {
            return Some(Self {
                capabilities,
                instructions,
            });
        }
        let Ok(JsonValue::Object(mut members)) = result.decode::<JsonValue>() else {
            malformed.add("result", "not an object");
            return None;
        };
        let mut server = Self::default();
        match members.remove("capabilities") {
            Some(JsonValue::Object(mut declared)) => {
                for name in ServerCapabilities::retain_readable(&mut declared) {
                    malformed.add(
                        format_args!("capabilities.{name}"),
                        "not a valid value of this capability",
                    );
                }
                server.capabilities = RawJson::from(&JsonValue::Object(declared))
                    .decode()
                    .unwrap_or_default();
            }
            // Without the supported versions either, it could be any other result.
            None if !members.contains_key("supportedVersions") => {
                malformed.add("result", "not one of server/discover");
                return None;
            }
            _ => malformed.add("capabilities", "missing or not an object"),
        }
        match members.remove("instructions") {
            Some(JsonValue::String(text)) => server.instructions = Some(text),
            None | Some(JsonValue::Null) => {}
            Some(_) => malformed.add("instructions", "not a string"),
        }
        Some(server)
    }
}

/// Adds the capabilities of one upstream, as far as the gateway can route them.
fn merge_capabilities(all: &mut ServerCapabilities, one: ServerCapabilities) {
    let either = |a: Option<bool>, b: Option<bool>| {
        (a == Some(true) || b == Some(true))
            .then_some(true)
            .or(a)
            .or(b)
    };
    if let Some(tools) = one.tools {
        let all: &mut ToolsCapability = all.tools.get_or_insert_default();
        all.list_changed = either(all.list_changed, tools.list_changed);
    }
    if let Some(prompts) = one.prompts {
        let all: &mut PromptsCapability = all.prompts.get_or_insert_default();
        all.list_changed = either(all.list_changed, prompts.list_changed);
    }
    if let Some(resources) = one.resources {
        let all: &mut ResourcesCapability = all.resources.get_or_insert_default();
        all.list_changed = either(all.list_changed, resources.list_changed);
        all.subscribe = either(all.subscribe, resources.subscribe);
    }
    if let Some(mut extensions) = one.extensions {
        retain_routable(&mut extensions);
        for (id, settings) in extensions {
            all.extensions
                .get_or_insert_default()
                .entry(id)
                .or_insert(settings);
        }
        all.extensions.take_if(|extensions| extensions.is_empty());
    }
    all.completions = all.completions.take().or(one.completions);
    all.logging = all.logging.take().or(one.logging);
}

/// Appends the instructions of one upstream. They use the upstream's own names of tools, so the
/// prefix is explained.
fn append_instructions(all: &mut String, upstream: &str, text: &str) {
    if !all.is_empty() {
        all.push_str("\n\n");
    }
    all.push_str(&format!(
        "# {upstream}\n\nThe names of its tools and prompts begin with `{upstream}{SEPARATOR}` here.\n\n{text}"
    ));
}
