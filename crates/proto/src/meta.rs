//! The `_meta` of a request (`basic/index#_meta`).

use crate::decode::{string_value, unescaped};
use crate::json::{Scanner, SyntaxError, ValueKind};
use carryall_types::{
    ClientCapabilities, Implementation, JsonObject, LoggingLevel, ProgressToken, ProtocolVersion,
    RawJson,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

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

/// What the `_meta` of a request says. Each request stands for itself: nothing here is ever taken
/// from an earlier one.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The version this request speaks.
    pub version: ProtocolVersion,
    /// Lowest level of log messages wanted; none are sent without it.
    pub log_level: Option<LoggingLevel>,
    /// The token under which progress is wanted.
    pub progress_token: Option<ProgressToken>,
    /// `None` when the client declares none, as most do.
    client_capabilities: Option<Arc<ClientCapabilities>>,
    raw: RawJson,
}

static NO_CAPABILITIES: LazyLock<ClientCapabilities> = LazyLock::new(ClientCapabilities::default);

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

impl Meta {
    /// A `_meta` as a client writes it. Further members (trace context, an extension's keys) go
    /// into `extra`.
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
        put(
            key::CLIENT_CAPABILITIES,
            serde_json::to_value(&client_capabilities),
        );
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
        let declares = client_capabilities != ClientCapabilities::default();
        let client_capabilities = declares.then(|| Arc::new(client_capabilities));
        Self {
            version,
            log_level,
            progress_token,
            client_capabilities,
            raw,
        }
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
        let mut scanner = Scanner::new(raw.as_str());
        let found = MetaText::scan(&mut scanner, raw.as_str())
            .and_then(|found| scanner.end().map(|()| found));
        let found = found.map_err(|error| MetaError::Malformed(error.to_string()))?;
        found.read(raw.clone())
    }

    /// The same on a buffer of its own, worth keeping to recognise the same text in later requests
    /// by; see [`decode_http_cached`](crate::decode::decode_http_cached). `None` where that is not
    /// worth it: a progress token differs from request to request, and nobody wants to compare long
    /// texts.
    #[must_use]
    pub fn to_cache_key(&self) -> Option<Self> {
        const LONGEST: usize = 2048;
        let worth_it = self.progress_token.is_none() && self.raw.as_bytes().len() <= LONGEST;
        let raw = || RawJson::from_trusted(bytes::Bytes::copy_from_slice(self.raw.as_bytes()));
        worth_it.then(|| Self {
            raw: raw(),
            ..self.clone()
        })
    }

    /// What the client can do, for this request.
    #[must_use]
    pub fn client_capabilities(&self) -> &ClientCapabilities {
        self.client_capabilities
            .as_deref()
            .unwrap_or(&NO_CAPABILITIES)
    }

    /// Who the client says it is. For display and logs; nothing may depend on it.
    #[must_use]
    pub fn client_info(&self) -> Option<Implementation> {
        serde_json::from_value(self.get(key::CLIENT_INFO)?).ok()
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

/// What a scan has found of `_meta`.
#[derive(Debug)]
pub(crate) enum ScannedMeta<'a> {
    Text(MetaText<'a>),
    /// The same text as this one has, which was read before.
    Known(&'a Meta),
}

impl<'a> ScannedMeta<'a> {
    /// Looks at the object that comes next in `text`. Most clients write the same in each of their
    /// requests, and to compare is quicker than to read. It says the same, too: nothing is taken
    /// from an earlier request but what this text means.
    pub(crate) fn scan(
        scanner: &mut Scanner<'a>,
        text: &'a str,
        known: Option<&'a Meta>,
    ) -> Result<Self, SyntaxError> {
        // A whole object is one wherever it stands: what follows it cannot be part of it.
        if let Some(known) = known
            && scanner.skip_text(known.raw.as_bytes())
        {
            return Ok(Self::Known(known));
        }
        MetaText::scan(scanner, text).map(Self::Text)
    }

    /// Reads the values; `raw` is the whole object.
    pub(crate) fn read(self, raw: RawJson) -> Result<Meta, MetaError> {
        match self {
            Self::Text(text) => text.read(raw),
            Self::Known(known) => Ok(Meta {
                version: known.version,
                log_level: known.log_level,
                progress_token: known.progress_token.clone(),
                client_capabilities: known.client_capabilities.clone(),
                raw,
            }),
        }
    }
}

/// The members of `_meta` that every request is checked for, as text.
#[derive(Debug, Default)]
pub(crate) struct MetaText<'a> {
    version: Option<&'a str>,
    client_capabilities: Option<&'a str>,
    client_info: Option<&'a str>,
    log_level: Option<&'a str>,
    progress_token: Option<&'a str>,
    twice: Option<&'static str>,
}

impl<'a> MetaText<'a> {
    /// Finds them in the object that comes next in `text`.
    pub(crate) fn scan(scanner: &mut Scanner<'a>, text: &'a str) -> Result<Self, SyntaxError> {
        let mut found = Self::default();
        let mut members = scanner.object()?;
        while let Some(name) = members.next_key(scanner)? {
            let name = if scanner.had_escapes() {
                unescaped(&text[name])
            } else {
                Cow::Borrowed(&text[name])
            };
            let value = &text[scanner.skip_value()?];
            let (slot, name) = match name.as_ref() {
                key::PROTOCOL_VERSION => (&mut found.version, key::PROTOCOL_VERSION),
                key::CLIENT_CAPABILITIES => {
                    (&mut found.client_capabilities, key::CLIENT_CAPABILITIES)
                }
                key::CLIENT_INFO => (&mut found.client_info, key::CLIENT_INFO),
                key::LOG_LEVEL => (&mut found.log_level, key::LOG_LEVEL),
                key::PROGRESS_TOKEN => (&mut found.progress_token, key::PROGRESS_TOKEN),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                found.twice = Some(name);
            }
        }
        Ok(found)
    }

    /// Reads their values; `raw` is the whole object.
    pub(crate) fn read(self, raw: RawJson) -> Result<Meta, MetaError> {
        if let Some(name) = self.twice {
            return Err(MetaError::Malformed(format!("{name:?} occurs twice")));
        }
        let version = self
            .version
            .ok_or(MetaError::Missing(key::PROTOCOL_VERSION))?;
        let version = match string_value(version) {
            Some(version) => version,
            None => {
                return Err(MetaError::Malformed(format!(
                    "{:?} has to be a string",
                    key::PROTOCOL_VERSION
                )));
            }
        };
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

/// An `Implementation` has a name and a version; the rest is looked at by whoever wants to show it.
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
        let known = match &text[key] {
            "name" => &mut name,
            "version" => &mut version,
            _ => &mut false,
        };
        *known |= scanner.kind() == Ok(ValueKind::String);
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
