//! `server/discover`: the features that a server advertises.

use crate::call::result_writer::{CachePolicy, ResultBuffer, ResultWriter};
use crate::catalogue::Catalogue;
use carryall_proto::validate::SUPPORTED_VERSIONS;
use carryall_types::{
    JsonObject, PromptsCapability, RawJson, ResourcesCapability, ServerCapabilities,
    ToolsCapability,
};

/// The features that the server advertises. A feature that was advertised once stays advertised,
/// even when its list becomes empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    pub(crate) completions: bool,
    pub(crate) logging: bool,
}

impl Features {
    /// Adds the features that the catalogue needs.
    pub(crate) fn with_those_of(mut self, catalogue: &Catalogue) -> Self {
        self.tools |= !catalogue.tools.is_empty();
        self.prompts |= !catalogue.prompts.is_empty();
        self.resources |= !catalogue.resources.is_empty() || !catalogue.templates.is_empty();
        self.completions |= !catalogue.completions.is_empty();
        self
    }
}

/// The author's part of the discovery result.
#[derive(Debug, Default)]
pub(crate) struct DiscoverySettings {
    pub(crate) cache: CachePolicy,
    pub(crate) instructions: Option<String>,
    pub(crate) extensions: JsonObject,
    pub(crate) experimental: JsonObject,
}

impl DiscoverySettings {
    pub(crate) fn capabilities(&self, features: Features) -> ServerCapabilities {
        let mut capabilities = ServerCapabilities::default();
        if features.tools {
            capabilities.tools = Some(ToolsCapability {
                list_changed: Some(true),
                ..Default::default()
            });
        }
        if features.prompts {
            capabilities.prompts = Some(PromptsCapability {
                list_changed: Some(true),
                ..Default::default()
            });
        }
        if features.resources {
            capabilities.resources = Some(ResourcesCapability {
                subscribe: Some(true),
                list_changed: Some(true),
                ..Default::default()
            });
        }
        capabilities.completions = features.completions.then(JsonObject::new);
        capabilities.logging = features.logging.then(JsonObject::new);
        let unless_empty = |map: &JsonObject| (!map.is_empty()).then(|| map.clone());
        capabilities.extensions = unless_empty(&self.extensions);
        capabilities.experimental = unless_empty(&self.experimental);
        capabilities
    }

    /// The result of `server/discover`.
    pub(crate) fn render(&self, features: Features, results: &ResultWriter) -> RawJson {
        let versions: Vec<&str> = SUPPORTED_VERSIONS
            .iter()
            .map(|version| version.as_str())
            .collect();
        let versions = serde_json::to_vec(&versions).unwrap_or_default();
        let capabilities = serde_json::to_vec(&self.capabilities(features)).unwrap_or_default();
        let mut out = ResultBuffer::start("complete", 512);
        out.raw_member("supportedVersions", &versions);
        out.raw_member("capabilities", &capabilities);
        if let Some(instructions) = &self.instructions {
            out.raw_member(
                "instructions",
                &serde_json::to_vec(instructions).unwrap_or_default(),
            );
        }
        out.cache(self.cache);
        out.finish_discover(results)
    }
}
