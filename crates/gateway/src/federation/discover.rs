//! What several servers can do as one.

use super::Federation;
use super::extensions::relayed;
use super::fan_out::{Part, first_error, merged_hint};
use super::faults::MalformedParts;
use crate::upstream::SEPARATOR;
use carryall_proto::Call;
use carryall_proto::validate::SUPPORTED_VERSIONS;
use carryall_types::{
    DiscoverResult, ErrorObject, JsonValue, PromptsCapability, RawJson, ResourcesCapability,
    ServerCapabilities, ToolsCapability,
};

impl Federation {
    pub(super) async fn discover(&self, call: &Call) -> Result<RawJson, ErrorObject> {
        let parts = self
            .ask(
                self.upstreams
                    .iter()
                    .map(|upstream| (upstream, call.clone()))
                    .collect(),
            )
            .await;
        let mut capabilities = ServerCapabilities::default();
        let mut instructions = String::new();
        let mut any = false;
        for (part, upstream) in parts.iter().zip(&self.upstreams) {
            let Part::Result(result) = part else { continue };
            let mut faults = MalformedParts::default();
            let found = abilities(result, &mut faults);
            faults.report(upstream.name(), call.method());
            let Some(found) = found else { continue };
            any = true;
            unite(&mut capabilities, found.capabilities);
            if let Some(text) = found.instructions {
                introduce(&mut instructions, upstream.name(), &text);
            }
        }
        // What it offers is not known yet, and a client of an earlier revision asks once: the lists
        // may have got it later.
        if parts.iter().any(|part| matches!(part, Part::Late(_))) {
            any = true;
            capabilities.tools.get_or_insert_default().list_changed = Some(true);
            capabilities.prompts.get_or_insert_default().list_changed = Some(true);
            capabilities.resources.get_or_insert_default().list_changed = Some(true);
        }
        if !any {
            return Err(first_error(parts, call.method()));
        }
        let mut result = self.signed(merged_hint(call.method(), &parts));
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

/// What a server says of itself that is of use to a federation.
#[derive(Default)]
struct Abilities {
    capabilities: ServerCapabilities,
    instructions: Option<String>,
}

/// Reads a result of `server/discover`; `None` if it is no such result. What is malformed counts as
/// not said: a server that declares one capability in a form that is not known can still be used
/// for the others.
fn abilities(result: &RawJson, faults: &mut MalformedParts) -> Option<Abilities> {
    if let Ok(DiscoverResult {
        capabilities,
        instructions,
        ..
    }) = result.decode()
    {
        return Some(Abilities {
            capabilities,
            instructions,
        });
    }
    let Ok(JsonValue::Object(mut members)) = result.decode::<JsonValue>() else {
        faults.add("result", "not an object");
        return None;
    };
    let mut found = Abilities::default();
    match members.remove("capabilities") {
        Some(JsonValue::Object(mut declared)) => {
            for name in ServerCapabilities::retain_readable(&mut declared) {
                faults.add(
                    format_args!("capabilities.{name}"),
                    "not what this capability looks like",
                );
            }
            found.capabilities = RawJson::from(&JsonValue::Object(declared))
                .decode()
                .unwrap_or_default();
        }
        // Without the supported versions either, nothing tells it from any other result.
        None if !members.contains_key("supportedVersions") => {
            faults.add("result", "not one of server/discover");
            return None;
        }
        _ => faults.add("capabilities", "missing or not an object"),
    }
    match members.remove("instructions") {
        Some(JsonValue::String(text)) => found.instructions = Some(text),
        None | Some(JsonValue::Null) => {}
        Some(_) => faults.add("instructions", "not a string"),
    }
    Some(found)
}

/// What any of them can do, the whole can, as far as it can be routed.
fn unite(all: &mut ServerCapabilities, one: ServerCapabilities) {
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
        relayed(&mut extensions);
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

/// Instructions speak of tools by their own names, so they need a word on the others.
fn introduce(all: &mut String, upstream: &str, text: &str) {
    if !all.is_empty() {
        all.push_str("\n\n");
    }
    all.push_str(&format!(
        "# {upstream}\n\nThe names of its tools and prompts begin with `{upstream}{SEPARATOR}` here.\n\n{text}"
    ));
}
