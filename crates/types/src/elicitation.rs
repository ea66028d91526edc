//! Elicitation: the server asks the user (`client/elicitation`).
//!
//! Form mode collects plain data through the client. Whatever grants access or moves money
//! (passwords, keys, tokens, payment data) must go through URL mode, past the client.

mod build;
mod check;
mod format;
mod schema;

pub use schema::{
    BooleanSchema, EnumOption, LegacyTitledEnumSchema, NumberSchema, NumberType, ObjectType,
    PrimitiveSchemaDefinition, RequestedSchema, StringFormat, StringSchema, StringType,
    TitledItems, TitledMultiSelectEnumSchema, TitledSingleSelectEnumSchema, UntitledItems,
    UntitledMultiSelectEnumSchema, UntitledSingleSelectEnumSchema,
};

use crate::weburl::WebUrl;
use crate::{JsonObject, JsonValue};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The parameters of an `elicitation/create` input request, told apart by `mode`; no `mode` means
/// form.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ElicitRequestParams {
    /// The client shows a form and returns what the user filled in.
    Form(ElicitRequestFormParams),
    /// The user opens a page; the client sees nothing of what happens there.
    Url(ElicitRequestURLParams),
}

impl ElicitRequestParams {
    /// Why the user is asked.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Form(form) => &form.message,
            Self::Url(url) => &url.message,
        }
    }
}

impl From<ElicitRequestFormParams> for ElicitRequestParams {
    fn from(params: ElicitRequestFormParams) -> Self {
        Self::Form(params)
    }
}

impl From<ElicitRequestURLParams> for ElicitRequestParams {
    fn from(params: ElicitRequestURLParams) -> Self {
        Self::Url(params)
    }
}

impl<'de> Deserialize<'de> for ElicitRequestParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let params = JsonObject::deserialize(deserializer)?;
        let decoded = match params.get("mode") {
            None => serde_json::from_value(JsonValue::Object(params)).map(Self::Form),
            Some(JsonValue::String(mode)) if mode == "form" => {
                serde_json::from_value(JsonValue::Object(params)).map(Self::Form)
            }
            Some(JsonValue::String(mode)) if mode == "url" => {
                serde_json::from_value(JsonValue::Object(params)).map(Self::Url)
            }
            Some(other) => {
                return Err(D::Error::custom(format!(
                    "unknown elicitation mode {other}"
                )));
            }
        };
        decoded.map_err(D::Error::custom)
    }
}

/// The `mode` of a form: always `form`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormMode {
    /// `form`.
    #[default]
    #[serde(rename = "form")]
    Form,
}

/// The `mode` of a URL elicitation: always `url`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UrlMode {
    /// `url`.
    #[default]
    #[serde(rename = "url")]
    Url,
}

/// Asks the user to fill in a form. Never for secrets
/// (`client/elicitation#user-interaction-model`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitRequestFormParams {
    /// The mode, where the sender spelt it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FormMode>,
    /// Why the user is asked, and for what.
    pub message: String,
    /// The fields of the form.
    pub requested_schema: RequestedSchema,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitRequestFormParams {
    /// A form with the fields of `requested_schema`.
    #[must_use]
    pub fn new(message: impl Into<String>, requested_schema: RequestedSchema) -> Self {
        Self {
            mode: Some(FormMode::Form),
            message: message.into(),
            requested_schema,
            extra: JsonObject::new(),
        }
    }
}

/// Asks the user to open a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElicitRequestURLParams {
    /// The mode.
    pub mode: UrlMode,
    /// Why the user should go there.
    pub message: String,
    /// The page. Without credentials or personal data, and not usable by whoever else gets hold of
    /// it (`client/elicitation#safe-url-handling`).
    pub url: String,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitRequestURLParams {
    /// Sends the user to `url`.
    #[must_use]
    pub fn new(message: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            mode: UrlMode::Url,
            message: message.into(),
            url: url.into(),
            extra: JsonObject::new(),
        }
    }

    /// Checks that the URL is one that a client can show and open: `http` or `https`, with a host,
    /// without user name or password (`client/elicitation#safe-url-handling`), and spelt so that
    /// every parser sees the same host.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn check(&self) -> Result<(), String> {
        WebUrl::parse(&self.url)
            .map(drop)
            .map_err(|problem| format!("elicitation URL: {problem}"))
    }

    /// The host that a client has to show before it asks for consent. `None` when [`Self::check`]
    /// fails.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        WebUrl::parse(&self.url).ok().map(|url| url.host)
    }

    /// What a client should warn about before it asks for consent: a host in Punycode, or one that
    /// is reached without TLS.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let Ok(url) = WebUrl::parse(&self.url) else {
            return vec!["this is not a usable web address"];
        };
        let mut warnings = Vec::new();
        if url.host.split('.').any(|label| label.starts_with("xn--")) {
            warnings.push("the host name is Punycode: it may look like a name that it is not");
        }
        if !url.secure && !url.is_loopback() {
            warnings.push("the connection is not encrypted");
        }
        warnings
    }
}

/// What the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElicitAction {
    /// Submitted the form, or agreed to open the page.
    Accept,
    /// Said no.
    Decline,
    /// Dismissed the question without an answer.
    Cancel,
}

/// The client's answer to `elicitation/create`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElicitResult {
    /// What the user did.
    pub action: ElicitAction,
    /// What the user filled in. Only with [`ElicitAction::Accept`] and only for a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<JsonObject>,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitResult {
    /// An answer without content.
    #[must_use]
    pub fn new(action: ElicitAction) -> Self {
        Self {
            action,
            content: None,
            extra: JsonObject::new(),
        }
    }

    /// The user submitted a form with `content`.
    #[must_use]
    pub fn accept(content: JsonObject) -> Self {
        Self {
            content: Some(content),
            ..Self::new(ElicitAction::Accept)
        }
    }

    /// The user said no.
    #[must_use]
    pub fn decline() -> Self {
        Self::new(ElicitAction::Decline)
    }

    /// The user dismissed the question.
    #[must_use]
    pub fn cancel() -> Self {
        Self::new(ElicitAction::Cancel)
    }

    /// Checks the answer against the question: content comes with an accepted form and with nothing
    /// else, and it fits the form's schema (`client/elicitation#response-actions`).
    ///
    /// Content that comes with a decline or cancel is let pass, as it is only "typically" left out;
    /// it must be ignored.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, question: &ElicitRequestParams) -> Result<(), String> {
        match (self.action, question, &self.content) {
            (ElicitAction::Accept, ElicitRequestParams::Form(form), Some(content)) => {
                form.requested_schema.check(content)
            }
            (ElicitAction::Accept, ElicitRequestParams::Form(_), None) => {
                Err("an accepted form needs content".to_owned())
            }
            (ElicitAction::Accept, ElicitRequestParams::Url(_), Some(_)) => {
                Err("an accepted URL elicitation has no content".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
