//! What clients and servers can do.

use crate::JsonObject;
use crate::object::object;

object! {
    /// What the client can do for one request (`basic/index#per-request-protocol-fields`).
    ///
    /// Roots and sampling are deprecated since 2026-07-28 (SEP-2577); the first revision released
    /// on or after 2027-07-28 may remove them.
    #[derive(Default)]
    pub struct ClientCapabilities {
        optional {
            /// Capabilities outside any standard.
            experimental / with_experimental: JsonObject = "experimental",
            /// The client can ask the user for input.
            elicitation / with_elicitation: ElicitationCapability = "elicitation",
            /// The extensions that the client supports, and their settings.
            extensions / with_extensions: JsonObject = "extensions",
        }
        silent {
            /// The client can list roots. Deprecated (SEP-2577).
            roots: JsonObject = "roots",
            /// The client can ask a model. Deprecated (SEP-2577).
            sampling: SamplingCapability = "sampling",
        }
        open extra;
    }
}

object! {
    /// How the client can ask a model (`client/sampling#capabilities`). Deprecated with sampling
    /// (SEP-2577).
    #[derive(Default)]
    pub struct SamplingCapability {
        optional {
            /// `includeContext` may be other than `none`. Deprecated since 2025-11-25 (SEP-2596).
            context / with_context: JsonObject = "context",
            /// The request may offer tools to the model.
            tools / with_tools: JsonObject = "tools",
        }
        open extra;
    }
}

object! {
    /// How the client can ask the user (`client/elicitation#capabilities`). Neither mode stated
    /// means forms.
    #[derive(Default)]
    pub struct ElicitationCapability {
        optional {
            /// By a form.
            form / with_form: JsonObject = "form",
            /// By a page in the user's browser.
            url / with_url: JsonObject = "url",
        }
        open extra;
    }
}

impl ElicitationCapability {
    /// Whether forms are supported, explicitly or because no mode is stated.
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

    /// Whether the client can ask the user by a form.
    #[must_use]
    pub fn supports_elicitation_form(&self) -> bool {
        self.elicitation
            .as_ref()
            .is_some_and(ElicitationCapability::has_form)
    }

    /// Whether the client can send the user to a page.
    #[must_use]
    pub fn supports_elicitation_url(&self) -> bool {
        self.elicitation
            .as_ref()
            .is_some_and(|elicitation| elicitation.url.is_some())
    }

    /// Whether the client can ask a model.
    #[must_use]
    pub fn supports_sampling(&self) -> bool {
        self.sampling.is_some()
    }

    /// Whether the client can offer tools to the model it asks.
    #[must_use]
    pub fn supports_sampling_tools(&self) -> bool {
        self.sampling
            .as_ref()
            .is_some_and(|sampling| sampling.tools.is_some())
    }

    /// Whether the client can list roots.
    #[must_use]
    pub fn supports_roots(&self) -> bool {
        self.roots.is_some()
    }

    /// Whether the client supports the extension `id`.
    #[must_use]
    pub fn has_extension(&self, id: &str) -> bool {
        self.extensions
            .as_ref()
            .is_some_and(|extensions| extensions.contains_key(id))
    }

    /// What these capabilities ask for and `declared` does not have, or `None` when it has it all:
    /// the `requiredCapabilities` of a `-32021` error.
    ///
    /// Settings are not compared: a capability counts as declared when it is there.
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
            // An empty object asks for forms, and `{"url": {}}` does not offer them.
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

/// The members of `wanted` whose keys `declared` does not have; `None` when there are none.
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
    /// What the server can do (`server/discover#response`).
    ///
    /// Logging is deprecated since 2026-07-28 (SEP-2577); the first revision released on or after
    /// 2027-07-28 may remove it.
    #[derive(Default)]
    pub struct ServerCapabilities {
        optional {
            /// Capabilities outside any standard.
            experimental / with_experimental: JsonObject = "experimental",
            /// The server completes arguments.
            completions / with_completions: JsonObject = "completions",
            /// The server offers prompts.
            prompts / with_prompts: PromptsCapability = "prompts",
            /// The server offers resources.
            resources / with_resources: ResourcesCapability = "resources",
            /// The server offers tools.
            tools / with_tools: ToolsCapability = "tools",
            /// The extensions that the server supports, and their settings.
            extensions / with_extensions: JsonObject = "extensions",
        }
        silent {
            /// The server can send log messages. Deprecated (SEP-2577).
            logging: JsonObject = "logging",
        }
        open extra;
    }
}

impl ServerCapabilities {
    /// Takes out of `declared` what cannot be read as a capability, and returns the names of what
    /// it took out. A server that declares one capability in a form that is not known can still be
    /// used for the others.
    pub fn retain_readable(declared: &mut JsonObject) -> Vec<String> {
        let mut unreadable = Vec::new();
        declared.retain(|name, value| {
            let alone = JsonObject::from_iter([(name.clone(), value.clone())]);
            let is_readable = crate::decode_value::<Self>(alone.into()).is_ok();
            if !is_readable {
                unreadable.push(name.clone());
            }
            is_readable
        });
        unreadable
    }
}

impl ServerCapabilities {
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

    /// Whether the server supports the extension `id`.
    #[must_use]
    pub fn has_extension(&self, id: &str) -> bool {
        self.extensions
            .as_ref()
            .is_some_and(|extensions| extensions.contains_key(id))
    }
}

object! {
    /// How the server offers prompts.
    #[derive(Default)]
    pub struct PromptsCapability {
        optional {
            /// Whether it tells listeners when the list changes; absent means no.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}

object! {
    /// How the server offers resources.
    #[derive(Default)]
    pub struct ResourcesCapability {
        optional {
            /// Whether it tells listeners when a resource changes; absent means no.
            subscribe / with_subscribe: bool = "subscribe",
            /// Whether it tells listeners when the list changes; absent means no.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}

object! {
    /// How the server offers tools.
    #[derive(Default)]
    pub struct ToolsCapability {
        optional {
            /// Whether it tells listeners when the list changes; absent means no.
            list_changed / with_list_changed: bool = "listChanged",
        }
        open extra;
    }
}
