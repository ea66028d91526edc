//! The `_meta` of a request (`basic/index#_meta`).

use crate::json::{Scanner, SyntaxError, ValueKind, WriteError, decode_name, decode_string};
use carryall_types::{
    ClientCapabilities, Implementation, JsonObject, JsonValue, LoggingLevel, ProgressToken,
    ProtocolVersion, RawJson,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The names of reserved `_meta` keys.
pub mod key {
    /// Protocol version of a request; required.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Capabilities of the client for this request; required.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Name and version of the client.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Minimum level of the log messages that the request asks for.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Name and version of the server, on results.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The listen request to which a notification belongs.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// The token under which a request asks for progress.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// The `_meta` of one request, decoded. It is never completed from an earlier request.
#[derive(Clone, Debug)]
pub struct Meta {
    version: ProtocolVersion,
    log_level: Option<LoggingLevel>,
    progress_token: Option<ProgressToken>,
    /// `None` when the client declares none, as most do.
    client_capabilities: Option<Arc<ClientCapabilities>>,
    raw: RawJson,
}

static NO_CAPABILITIES: LazyLock<ClientCapabilities> = LazyLock::new(ClientCapabilities::default);

/// Why a `_meta` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaError {
    /// A required key, or `_meta` itself, is missing.
    Missing(&'static str),
    /// A value does not have the type that its key requires.
    Malformed(String),
    /// This implementation does not know the version.
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

impl Meta {
    /// Creates a `_meta` with the required members.
    #[must_use]
    pub fn new(version: ProtocolVersion, client_capabilities: ClientCapabilities) -> Self {
        Self::builder(version, client_capabilities).build()
    }

    /// Starts a `_meta` with the required members.
    pub fn builder(
        version: ProtocolVersion,
        client_capabilities: ClientCapabilities,
    ) -> MetaBuilder {
        MetaBuilder {
            version,
            client_capabilities,
            client_info: None,
            log_level: None,
            progress_token: None,
            extra: JsonObject::new(),
        }
    }

    /// Parses the `_meta` of a request.
    ///
    /// # Errors
    /// When a required key is missing, a value has the wrong type, or the version is unknown.
    pub fn parse(raw: RawJson) -> Result<Self, MetaError> {
        let mut scanner = Scanner::new(raw.as_str());
        let scanned = MetaText::scan(&mut scanner, raw.as_str())
            .and_then(|scanned| scanner.end().map(|()| scanned))
            .map_err(|error| MetaError::Malformed(error.to_string()))?;
        scanned.decode(raw.clone())
    }

    /// Returns the protocol version of the request.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Returns the minimum level of the log messages that the request asks for. `None`: no log
    /// messages are sent.
    #[must_use]
    pub fn log_level(&self) -> Option<LoggingLevel> {
        self.log_level
    }

    /// Returns the token under which the request asks for progress.
    #[must_use]
    pub fn progress_token(&self) -> Option<&ProgressToken> {
        self.progress_token.as_ref()
    }

    /// Returns what the client declares that it can do, for this request.
    #[must_use]
    pub fn client_capabilities(&self) -> &ClientCapabilities {
        self.client_capabilities
            .as_deref()
            .unwrap_or(&NO_CAPABILITIES)
    }

    /// Returns the name and version that the client gives itself. It is unverified: for display and
    /// logs, never for decisions.
    #[must_use]
    pub fn client_info(&self) -> Option<Implementation> {
        serde_json::from_value(self.get(key::CLIENT_INFO)?).ok()
    }

    /// Returns the text of the whole object.
    #[must_use]
    pub fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// Returns a member by name, for example `traceparent` or an extension's key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<JsonValue> {
        self.members().remove(name)
    }

    /// Returns this `_meta` with another progress token.
    #[must_use]
    pub fn with_progress_token(&self, token: ProgressToken) -> Self {
        let mut members = self.members();
        members.insert(key::PROGRESS_TOKEN.to_owned(), to_value(&token));
        Self {
            progress_token: Some(token),
            raw: RawJson::from(&JsonValue::Object(members)),
            ..self.clone()
        }
    }

    /// Returns this `_meta` with its members changed by `edit`.
    ///
    /// # Errors
    /// When the result is not a valid `_meta`.
    pub fn edited(&self, edit: impl FnOnce(&mut JsonObject)) -> Result<Self, MetaError> {
        let mut members = self.members();
        edit(&mut members);
        Self::parse(RawJson::from(&JsonValue::Object(members)))
    }

    /// Returns this `_meta` with more members, appended to its text as it is. None of them may be
    /// there already.
    ///
    /// For a client that has the constant members of its requests written once.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub fn extended(
        &self,
        extra: &JsonObject,
        log_level: Option<LoggingLevel>,
        progress_token: Option<ProgressToken>,
    ) -> Result<Self, WriteError> {
        let written = self.raw.as_bytes();
        let mut text = Vec::with_capacity(written.len() + 128);
        // The text ends with the brace that closes the object; members go before it.
        text.extend_from_slice(&written[..written.len() - 1]);
        for (name, value) in extra {
            write_member(&mut text, name, value)?;
        }
        if let Some(level) = &log_level {
            write_member(&mut text, key::LOG_LEVEL, level)?;
        }
        if let Some(token) = &progress_token {
            write_member(&mut text, key::PROGRESS_TOKEN, token)?;
        }
        text.push(b'}');
        Ok(Self {
            log_level: log_level.or(self.log_level),
            progress_token: progress_token.or_else(|| self.progress_token.clone()),
            raw: RawJson::from_trusted(text.into()),
            ..self.clone()
        })
    }

    /// Returns a copy that does not share the buffer of its message, so that it can be kept.
    pub(crate) fn detached(&self) -> Self {
        Self {
            raw: RawJson::from_trusted(bytes::Bytes::copy_from_slice(self.raw.as_bytes())),
            ..self.clone()
        }
    }

    fn members(&self) -> JsonObject {
        self.raw.decode().unwrap_or_default()
    }
}

/// Builds a [`Meta`]; see [`Meta::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MetaBuilder {
    version: ProtocolVersion,
    client_capabilities: ClientCapabilities,
    client_info: Option<Implementation>,
    log_level: Option<LoggingLevel>,
    progress_token: Option<ProgressToken>,
    extra: JsonObject,
}

impl MetaBuilder {
    /// Sets the name and version of the client.
    pub fn client_info(mut self, info: Implementation) -> Self {
        self.client_info = Some(info);
        self
    }

    /// Asks for log messages of this level and above. Default: none.
    pub fn log_level(mut self, level: impl Into<Option<LoggingLevel>>) -> Self {
        self.log_level = level.into();
        self
    }

    /// Asks for progress under this token. Default: none.
    pub fn progress_token(mut self, token: impl Into<Option<ProgressToken>>) -> Self {
        self.progress_token = token.into();
        self
    }

    /// Adds further members (trace context, an extension's keys). The members that have a method of
    /// their own take precedence.
    pub fn extra(mut self, members: JsonObject) -> Self {
        self.extra = members;
        self
    }

    /// Returns the finished `_meta`.
    #[must_use]
    pub fn build(self) -> Meta {
        let mut members = self.extra;
        let mut put = |key: &str, value| members.insert(key.to_owned(), value);
        put(key::PROTOCOL_VERSION, self.version.as_str().into());
        put(
            key::CLIENT_CAPABILITIES,
            to_value(&self.client_capabilities),
        );
        if let Some(info) = &self.client_info {
            put(key::CLIENT_INFO, to_value(info));
        }
        if let Some(level) = &self.log_level {
            put(key::LOG_LEVEL, to_value(level));
        }
        if let Some(token) = &self.progress_token {
            put(key::PROGRESS_TOKEN, to_value(token));
        }
        let declares_any = self.client_capabilities != ClientCapabilities::default();
        Meta {
            version: self.version,
            log_level: self.log_level,
            progress_token: self.progress_token,
            client_capabilities: declares_any.then(|| Arc::new(self.client_capabilities)),
            raw: RawJson::from(&JsonValue::Object(members)),
        }
    }
}

/// Serialises a type of the schema, which cannot fail.
fn to_value<T: Serialize>(value: &T) -> JsonValue {
    serde_json::to_value(value).unwrap_or_default()
}

fn write_member<T: Serialize>(text: &mut Vec<u8>, name: &str, value: &T) -> Result<(), WriteError> {
    text.push(b',');
    crate::json::write_str(text, name);
    text.push(b':');
    crate::json::write_value(text, value)
}

/// The result of scanning a `_meta`.
#[derive(Debug)]
pub(crate) enum ScannedMeta<'a> {
    Text(MetaText<'a>),
    /// The text is that of this cached `_meta`.
    Cached(&'a Meta),
}

impl<'a> ScannedMeta<'a> {
    /// Scans the object that comes next in `text`, or skips it if it is the text of `cached`.
    pub(crate) fn scan(
        scanner: &mut Scanner<'a>,
        text: &'a str,
        cached: Option<&'a Meta>,
    ) -> Result<Self, SyntaxError> {
        // An object ends with its closing brace, whatever follows.
        if let Some(cached) = cached
            && scanner.skip_text(cached.raw.as_bytes())
        {
            return Ok(Self::Cached(cached));
        }
        MetaText::scan(scanner, text).map(Self::Text)
    }

    /// Decodes the members; `raw` is the whole object.
    pub(crate) fn decode(self, raw: RawJson) -> Result<Meta, MetaError> {
        match self {
            Self::Text(text) => text.decode(raw),
            // Field by field: `..cached.clone()` would also touch the cached text's reference count.
            Self::Cached(cached) => Ok(Meta {
                version: cached.version,
                log_level: cached.log_level,
                progress_token: cached.progress_token.clone(),
                client_capabilities: cached.client_capabilities.clone(),
                raw,
            }),
        }
    }
}

/// The text of the members that are checked in every request.
#[derive(Debug, Default)]
pub(crate) struct MetaText<'a> {
    version: Option<&'a str>,
    client_capabilities: Option<&'a str>,
    client_info: Option<&'a str>,
    log_level: Option<&'a str>,
    progress_token: Option<&'a str>,
    duplicate: Option<&'static str>,
}

impl<'a> MetaText<'a> {
    /// Finds them in the object that comes next in `text`.
    fn scan(scanner: &mut Scanner<'a>, text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanned = Self::default();
        let mut members = scanner.object()?;
        while let Some(name) = members.next_key(scanner)? {
            let name = if scanner.had_escapes() {
                decode_name(&text[name])
            } else {
                Cow::Borrowed(&text[name])
            };
            let value = &text[scanner.skip_value()?];
            let (member, name) = match name.as_ref() {
                key::PROTOCOL_VERSION => (&mut scanned.version, key::PROTOCOL_VERSION),
                key::CLIENT_CAPABILITIES => {
                    (&mut scanned.client_capabilities, key::CLIENT_CAPABILITIES)
                }
                key::CLIENT_INFO => (&mut scanned.client_info, key::CLIENT_INFO),
                key::LOG_LEVEL => (&mut scanned.log_level, key::LOG_LEVEL),
                key::PROGRESS_TOKEN => (&mut scanned.progress_token, key::PROGRESS_TOKEN),
                _ => continue,
            };
            if member.replace(value).is_some() {
                scanned.duplicate = Some(name);
            }
        }
        Ok(scanned)
    }

    /// Decodes them; `raw` is the whole object.
    fn decode(self, raw: RawJson) -> Result<Meta, MetaError> {
        if let Some(name) = self.duplicate {
            return Err(MetaError::Malformed(format!("{name:?} occurs twice")));
        }
        let version = self
            .version
            .ok_or(MetaError::Missing(key::PROTOCOL_VERSION))?;
        let version = decode_string(version).ok_or_else(|| {
            MetaError::Malformed(format!("{:?} has to be a string", key::PROTOCOL_VERSION))
        })?;
        let capabilities = self
            .client_capabilities
            .ok_or(MetaError::Missing(key::CLIENT_CAPABILITIES))?;
        let client_capabilities = match capabilities {
            "{}" => None,
            text => Some(decode(key::CLIENT_CAPABILITIES, text)?),
        };
        if let Some(info) = self.client_info {
            check_implementation(info)?;
        }
        let log_level = self
            .log_level
            .map(|text| decode(key::LOG_LEVEL, text))
            .transpose()?;
        let progress_token = self
            .progress_token
            .map(|text| decode(key::PROGRESS_TOKEN, text))
            .transpose()?;
        let version = version
            .parse()
            .map_err(|_| MetaError::UnknownVersion(version.into_owned()))?;
        Ok(Meta {
            version,
            log_level,
            progress_token,
            client_capabilities,
            raw,
        })
    }
}

/// Checks that an `Implementation` has a name and a version. The rest is checked when it
/// is decoded for display.
fn check_implementation(text: &str) -> Result<(), MetaError> {
    let malformed =
        |why: &dyn fmt::Display| MetaError::Malformed(format!("{:?}: {why}", key::CLIENT_INFO));
    let (mut name, mut version) = (false, false);
    let mut scanner = Scanner::new(text);
    let mut members = scanner.object().map_err(|error| malformed(&error))?;
    while let Some(key) = members
        .next_key(&mut scanner)
        .map_err(|error| malformed(&error))?
    {
        let is_string = match &text[key] {
            "name" => &mut name,
            "version" => &mut version,
            _ => &mut false,
        };
        *is_string |= scanner.kind() == Ok(ValueKind::String);
        scanner.skip_value().map_err(|error| malformed(&error))?;
    }
    if name && version {
        Ok(())
    } else {
        Err(malformed(&"\"name\" and \"version\" have to be strings"))
    }
}

fn decode<'a, T: Deserialize<'a>>(key: &str, text: &'a str) -> Result<T, MetaError> {
    serde_json::from_str(text).map_err(|error| MetaError::Malformed(format!("{key:?}: {error}")))
}
