//! Elicitation: the server asks the user for input (`client/elicitation`).
//!
//! Form mode collects ordinary data through the client. Sensitive data (passwords, keys, tokens,
//! payment data) must use URL mode, which bypasses the client.

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

/// The parameters of an `elicitation/create` input request, distinguished by `mode`. An absent
/// `mode` means form.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ElicitRequestParams {
    /// The client shows a form and returns its content.
    Form(ElicitRequestFormParams),
    /// The user opens a web page; the client does not see what happens there.
    Url(ElicitRequestURLParams),
}

impl ElicitRequestParams {
    /// Returns the message to the user.
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

/// Asks the user to fill in a form. Must not ask for secrets
/// (`client/elicitation#user-interaction-model`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitRequestFormParams {
    /// The mode, if the sender stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FormMode>,
    /// The message to the user: what is asked, and why.
    pub message: String,
    /// The fields of the form.
    pub requested_schema: RequestedSchema,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitRequestFormParams {
    /// Creates a request for a form with these fields.
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

/// Asks the user to open a web page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElicitRequestURLParams {
    /// The mode.
    pub mode: UrlMode,
    /// The message to the user: why to open the page.
    pub message: String,
    /// The URL of the page. It must not contain credentials or personal data, nor authenticate
    /// anyone who obtains it (`client/elicitation#safe-url-handling`).
    pub url: String,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitRequestURLParams {
    /// Creates a request to open `url`.
    #[must_use]
    pub fn new(message: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            mode: UrlMode::Url,
            message: message.into(),
            url: url.into(),
            extra: JsonObject::new(),
        }
    }

    /// Checks that a client can safely show and open the URL: `http` or `https`, with a host,
    /// without user name or password (`client/elicitation#safe-url-handling`), at most 8 KiB, and
    /// without anything that parsers interpret differently.
    ///
    /// # Errors
    /// A message that describes the problem.
    pub fn check(&self) -> Result<(), String> {
        WebUrl::parse(&self.url)
            .map(drop)
            .map_err(|problem| format!("elicitation URL: {problem}"))
    }

    /// Returns the host, which a client has to show before it asks for consent. `None` if
    /// [`Self::check`] fails.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        WebUrl::parse(&self.url).ok().map(|url| url.host)
    }

    /// Returns the warnings to show before asking for consent: the host is in Punycode, or the
    /// connection is not encrypted.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let Ok(url) = WebUrl::parse(&self.url) else {
            return vec!["this is not a valid web address"];
        };
        let mut warnings = Vec::new();
        if url.host.split('.').any(|label| label.starts_with("xn--")) {
            warnings.push("the host name is Punycode: it may imitate another name");
        }
        if !url.secure && !url.is_loopback() {
            warnings.push("the connection is not encrypted");
        }
        warnings
    }
}

/// The user's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElicitAction {
    /// The user submitted the form, or agreed to open the page.
    Accept,
    /// The user declined explicitly.
    Decline,
    /// The user dismissed the request.
    Cancel,
}

/// The client's response to `elicitation/create`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElicitResult {
    /// The user's action.
    pub action: ElicitAction,
    /// The content of the form. Only for [`ElicitAction::Accept`] of a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<JsonObject>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ElicitResult {
    /// Creates a response without content.
    #[must_use]
    pub fn new(action: ElicitAction) -> Self {
        Self {
            action,
            content: None,
            extra: JsonObject::new(),
        }
    }

    /// Creates the response for a submitted form.
    #[must_use]
    pub fn accept(content: JsonObject) -> Self {
        Self {
            content: Some(content),
            ..Self::new(ElicitAction::Accept)
        }
    }

    /// Creates the response for a declined request.
    #[must_use]
    pub fn decline() -> Self {
        Self::new(ElicitAction::Decline)
    }

    /// Creates the response for a dismissed request.
    #[must_use]
    pub fn cancel() -> Self {
        Self::new(ElicitAction::Cancel)
    }

    /// Checks the response against the request: an accepted form has content that matches its
    /// schema, an accepted URL has none (`client/elicitation#response-actions`).
    ///
    /// Content with a decline or cancel is "typically" omitted, hence no error. It has to be
    /// ignored.
    ///
    /// # Errors
    /// A message that describes the problem.
    pub fn check(&self, request: &ElicitRequestParams) -> Result<(), String> {
        match (self.action, request, &self.content) {
            (ElicitAction::Accept, ElicitRequestParams::Form(form), Some(content)) => {
                form.requested_schema.check(content)
            }
            (ElicitAction::Accept, ElicitRequestParams::Form(_), None) => {
                Err("an accepted form must have content".to_owned())
            }
            (ElicitAction::Accept, ElicitRequestParams::Url(_), Some(_)) => {
                Err("an accepted URL elicitation must not have content".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
