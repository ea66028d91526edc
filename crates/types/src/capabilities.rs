//! The capabilities of clients and servers.

use crate::JsonObject;
use crate::object::object;

object! {
    /// The capabilities that a client declares with a request
    /// (`basic/index#per-request-protocol-fields`).
    ///
    /// Roots and sampling are deprecated since 2026-07-28 (SEP-2577); the first revision released
    /// on or after 2027-07-28 may remove them.
    #[derive(Default)]
    pub struct ClientCapabilities {
        optional {
            /// Non-standard capabilities.
            experimental / with_experimental: JsonObject = "experimental",
            /// The client supports elicitation.
            elicitation / with_elicitation: ElicitationCapability = "elicitation",
            /// The supported extensions by id, with their settings.
            extensions / with_extensions: JsonObject = "extensions",
        }
        silent {
            /// The client supports roots. Deprecated (SEP-2577).
            roots: JsonObject = "roots",
            /// The client supports sampling. Deprecated (SEP-2577).
            sampling: SamplingCapability = "sampling",
        }
        open extra;
    }
}

object! {
    /// The sampling capabilities of a client (`client/sampling#capabilities`). Deprecated with
    /// sampling (SEP-2577).
    #[derive(Default)]
    pub struct SamplingCapability {
        optional {
            /// Values of `includeContext` other than `none` are supported. Deprecated since
            /// 2025-11-25 (SEP-2596).
            context / with_context: JsonObject = "context",
            /// Tools in sampling requests are supported.
            tools / with_tools: JsonObject = "tools",
        }
        open extra;
    }
}

object! {
    /// The elicitation modes of a client (`client/elicitation#capabilities`). Without any mode it
    /// supports forms.
    #[derive(Default)]
    pub struct ElicitationCapability {
        optional {
            /// Form mode.
            form / with_form: JsonObject = "form",
            /// URL mode.
            url / with_url: JsonObject = "url",
        }
        open extra;
    }
}

impl ElicitationCapability {
    /// Returns whether forms are supported, explicitly or by default.
    fn has_form(&self) -> bool {
        self.form.is_some() || self.url.is_none()
    }
}

impl ClientCapabilities {
    /// Sets `roots`. The first revision released on or after 2027-07-28 may remove it.
    #[deprecated(
        note = "Roots are deprecated (SEP-2577), removed on 2027-07-28 at the earliest: \
                         pass paths as tool parameters, resource URIs or server configuration"
    )]
    #[must_use]
    pub fn with_roots(mut self, roots: impl Into<JsonObject>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// Sets `sampling`. The first revision released on or after 2027-07-28 may remove it.
    #[deprecated(
        note = "Sampling is deprecated (SEP-2577), removed on 2027-07-28 at the earliest: \
                         call the API of a model provider"
    )]
    #[must_use]
    pub fn with_sampling(mut self, sampling: impl Into<SamplingCapability>) -> Self {
        self.sampling = Some(sampling.into());
        self
    }

    /// Adds an extension and its settings.
    #[must_use]
    pub fn with_extension(mut self, id: impl Into<String>, settings: JsonObject) -> Self {
        self.extensions
            .get_or_insert_default()
            .insert(id.into(), settings.into());
        self
    }

    /// Returns whether the client supports elicitation in form mode.
    #[must_use]
    pub fn supports_elicitation_form(&self) -> bool {
        self.elicitation
            .as_ref()
            .is_some_and(ElicitationCapability::has_form)
    }

    /// Returns whether the client supports elicitation in URL mode.
    #[must_use]
    pub fn supports_elicitation_url(&self) -> bool {
        self.elicitation
            .as_ref()
            .is_some_and(|elicitation| elicitation.url.is_some())
    }

    /// Returns whether the client supports sampling.
    #[must_use]
    pub fn supports_sampling(&self) -> bool {
        self.sampling.is_some()
    }

    /// Returns whether the client supports tools in sampling requests.
    #[must_use]
    pub fn supports_sampling_tools(&self) -> bool {
        self.sampling
            .as_ref()
            .is_some_and(|sampling| sampling.tools.is_some())
    }

    /// Returns whether the client supports roots.
    #[must_use]
    pub fn supports_roots(&self) -> bool {
        self.roots.is_some()
    }

    /// Returns whether the client supports the extension `id`.
    #[must_use]
    pub fn has_extension(&self, id: &str) -> bool {
        self.extensions
            .as_ref()
            .is_some_and(|extensions| extensions.contains_key(id))
    }

    /// Returns the capabilities that are missing from `declared`: the `requiredCapabilities` of a
    /// `-32021` error. `None` if none is missing.
    ///
    /// Settings are not compared: a capability is declared if it is present.
    #[must_use]
    pub fn missing_from(&self, declared: &Self) -> Option<Self> {
        let missing = Self {
            experimental: missing_keys(self.experimental.as_ref(), declared.experimental.as_ref()),
            elicitation: self.missing_elicitation(declared),
            extensions: missing_keys(self.extensions.as_ref(), declared.extensions.as_ref()),
            roots: if declared.roots.is_some() {
                None
            } else {
                self.roots.clone()
            },
            sampling: self.missing_sampling(declared),
            extra: missing_keys(Some(&self.extra), Some(&declared.extra)).unwrap_or_default(),
        };
        (missing != Self::default()).then_some(missing)
    }

    fn missing_elicitation(&self, declared: &Self) -> Option<ElicitationCapability> {
        let wanted = self.elicitation.as_ref()?;
        let Some(has) = &declared.elicitation else {
            return Some(wanted.clone());
        };
        let missing = ElicitationCapability {
            // `{}` means forms, but `{"url": {}}` does not include them.
            form: wanted
                .has_form()
                .then(|| wanted.form.clone().unwrap_or_default())
                .filter(|_| !has.has_form()),
            url: wanted.url.clone().filter(|_| has.url.is_none()),
            extra: missing_keys(Some(&wanted.extra), Some(&has.extra)).unwrap_or_default(),
        };
        (missing != ElicitationCapability::default()).then_some(missing)
    }

    fn missing_sampling(&self, declared: &Self) -> Option<SamplingCapability> {
        let wanted = self.sampling.as_ref()?;
        let Some(has) = &declared.sampling else {
            return Some(wanted.clone());
        };
        let missing = SamplingCapability {
            context: wanted.context.clone().filter(|_| has.context.is_none()),
            tools: wanted.tools.clone().filter(|_| has.tools.is_none()),
            extra: missing_keys(Some(&wanted.extra), Some(&has.extra)).unwrap_or_default(),
        };
        (missing != SamplingCapability::default()).then_some(missing)
    }
}

/// Returns the members of `wanted` that are missing from `declared`; `None` if there are none.
fn missing_keys(wanted: Option<&JsonObject>, declared: Option<&JsonObject>) -> Option<JsonObject> {
    let is_declared = |key: &str| declared.is_some_and(|declared| declared.contains_key(key));
    let missing: JsonObject = wanted?
        .iter()
        .filter(|(key, _)| !is_declared(key))
        .map(|(key, settings)| (key.clone(), settings.clone()))
        .collect();
    (!missing.is_empty()).then_some(missing)
}

object! {
    /// The capabilities of a server (`server/discover#response`).
    ///
    /// Logging is deprecated since 2026-07-28 (SEP-2577); the first revision released on or after
    /// 2027-07-28 may remove it.
    #[derive(Default)]
    pub struct ServerCapabilities {
        optional {
            /// Non-standard capabilities.
            experimental / with_experimental: JsonObject = "experimental",
            /// The server supports argument completion.
            completions / with_completions: JsonObject = "completions",
            /// The server has prompts.
            prompts / with_prompts: PromptsCapability = "prompts",
            /// The server has resources.
            resources / with_resources: ResourcesCapability = "resources",
            /// The server has tools.
            tools / with_tools: ToolsCapability = "tools",
            /// The supported extensions by id, with their settings.
            extensions / with_extensions: JsonObject = "extensions",
        }
        silent {
            /// The server sends log messages. Deprecated (SEP-2577).
            logging: JsonObject = "logging",
        }
        open extra;
    }
}

impl ServerCapabilities {
    /// Removes the members of `declared` that do not decode as capabilities. Returns their names.
    ///
    /// The other capabilities of a server that declares one in an unknown form remain usable.
    pub fn retain_readable(declared: &mut JsonObject) -> Vec<String> {
        let mut unreadable = Vec::new();
        declared.retain(|name, value| {
            let member = JsonObject::from_iter([(name.clone(), value.clone())]);
            let is_readable = crate::decode_value::<Self>(member.into()).is_ok();
            if !is_readable {
                unreadable.push(name.clone());
            }
            is_readable
        });
        unreadable
    }

    /// Sets `logging`. The first revision released on or after 2027-07-28 may remove it.
    #[deprecated(
        note = "Logging is deprecated (SEP-2577), removed on 2027-07-28 at the earliest: \
                         log to stderr or use OpenTelemetry"
    )]
    #[must_use]
    pub fn with_logging(mut self, logging: impl Into<JsonObject>) -> Self {
        self.logging = Some(logging.into());
        self
    }

    /// Adds an extension and its settings.
    #[must_use]
    pub fn with_extension(mut self, id: impl Into<String>, settings: JsonObject) -> Self {
        self.extensions
            .get_or_insert_default()
            .insert(id.into(), settings.into());
        self
    }

    /// Returns whether the server supports the extension `id`.
    #[must_use]
    pub fn has_extension(&self, id: &str) -> bool {
        self.extensions
            .as_ref()
            .is_some_and(|extensions| extensions.contains_key(id))
    }
}

object! {
    /// The prompt capabilities of a server.
    #[derive(Default)]
    pub struct PromptsCapability {
        optional {
            /// Whether subscribers are notified when the list changes; absent means `false`.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}

object! {
    /// The resource capabilities of a server.
    #[derive(Default)]
    pub struct ResourcesCapability {
        optional {
            /// Whether subscribers are notified when a resource changes; absent means `false`.
            subscribe / with_subscribe: bool = "subscribe",
            /// Whether subscribers are notified when the list changes; absent means `false`.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}

object! {
    /// The tool capabilities of a server.
    #[derive(Default)]
    pub struct ToolsCapability {
        optional {
            /// Whether subscribers are notified when the list changes; absent means `false`.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}
