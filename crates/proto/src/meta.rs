//! The `_meta` of a request (`basic/index#_meta`).

use carryall_types::{
    ClientCapabilities, Implementation, JsonObject, LoggingLevel, ProgressToken, ProtocolVersion, RawJson,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

/// The names of the reserved `_meta` keys.
pub mod key {
    /// Protocol version of a request; required.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Capabilities of the client for this request; required.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Name and version of the client.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Lowest level at which the request wants log messages.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Name and version of the server, on results.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The listen request to which a notification belongs.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// The token under which a request wants progress.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// What the `_meta` of a request says. Each request stands for itself: nothing here is ever taken from an earlier one.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The version this request speaks.
    pub version: ProtocolVersion,
    /// What the client can do, for this request.
    pub client_capabilities: ClientCapabilities,
    /// Who the client says it is. For display and logs; nothing may depend on it.
    pub client_info: Option<Implementation>,
    /// Lowest level of log messages wanted; none are sent without it.
    pub log_level: Option<LoggingLevel>,
    /// The token under which progress is wanted.
    pub progress_token: Option<ProgressToken>,
    raw: RawJson,
}

/// Why a `_meta` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaError {
    /// A required key, or `_meta` itself, is missing.
    Missing(&'static str),
    /// A value does not have the type that its key demands.
    Malformed(String),
    /// The version is none that this implementation knows.
    UnknownVersion(String),
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(f, "Missing required _meta field {key:?}"),
            Self::Malformed(why) => write!(f, "Malformed _meta: {why}"),
            Self::UnknownVersion(version) => write!(f, "Unknown protocol version {version:?}"),
        }
    }
}

impl std::error::Error for MetaError {}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", default)]
    client_capabilities: Option<ClientCapabilities>,
    #[serde(rename = "io.modelcontextprotocol/clientInfo", default)]
    client_info: Option<Implementation>,
    #[serde(rename = "io.modelcontextprotocol/logLevel", borrow, default)]
    log_level: Option<Cow<'a, str>>,
    #[serde(rename = "progressToken", default)]
    progress_token: Option<ProgressToken>,
}

impl Meta {
    /// A `_meta` as a client writes it. Further members (trace context, an extension's keys) go into `extra`.
    #[must_use]
    pub fn new(
        version: ProtocolVersion,
        client_capabilities: ClientCapabilities,
        client_info: Option<Implementation>,
        log_level: Option<LoggingLevel>,
        progress_token: Option<ProgressToken>,
        extra: &JsonObject,
    ) -> Self {
        let mut object = extra.clone();
        let mut put = |key: &str, value: serde_json::Result<serde_json::Value>| {
            if let Ok(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        put(key::PROTOCOL_VERSION, Ok(version.as_str().into()));
        put(key::CLIENT_CAPABILITIES, serde_json::to_value(&client_capabilities));
        if let Some(info) = &client_info {
            put(key::CLIENT_INFO, serde_json::to_value(info));
        }
        if let Some(level) = &log_level {
            put(key::LOG_LEVEL, serde_json::to_value(level));
        }
        if let Some(token) = &progress_token {
            put(key::PROGRESS_TOKEN, serde_json::to_value(token));
        }
        let raw = RawJson::from(&serde_json::Value::Object(object));
        Self { version, client_capabilities, client_info, log_level, progress_token, raw }
    }

    /// The same `_meta` with another text: `raw` says what the fields say, and perhaps more.
    ///
    /// For a client that has its `_meta` written out already and only adds a member to it.
    #[must_use]
    pub fn with_raw(mut self, raw: RawJson) -> Self {
        self.raw = raw;
        self
    }

    /// Reads the `_meta` of a request.
    ///
    /// # Errors
    /// When a required key is missing, a value has the wrong type, or the version is unknown.
    pub fn parse(raw: RawJson) -> Result<Self, MetaError> {
        let wire: Wire<'_> =
            serde_json::from_slice(raw.as_bytes()).map_err(|error| MetaError::Malformed(error.to_string()))?;
        let version = wire.version.ok_or(MetaError::Missing(key::PROTOCOL_VERSION))?;
        let client_capabilities = wire.client_capabilities.ok_or(MetaError::Missing(key::CLIENT_CAPABILITIES))?;
        let log_level = match wire.log_level {
            None => None,
            Some(level) => {
                let known = serde_json::from_value(serde_json::Value::String(level.as_ref().to_owned()));
                Some(known.map_err(|_| MetaError::Malformed(format!("unknown log level {level:?}")))?)
            }
        };
        let version = version.parse().map_err(|_| MetaError::UnknownVersion(version.into_owned()))?;
        Ok(Self {
            version,
            client_capabilities,
            client_info: wire.client_info,
            log_level,
            progress_token: wire.progress_token,
            raw,
        })
    }

    /// The whole object as it stood on the wire.
    #[must_use]
    pub fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// Any member by name, for example `traceparent` or an extension's key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<serde_json::Value> {
        self.raw.decode::<JsonObject>().ok()?.remove(name)
    }
}
