//! Resources (`server/resources`).

use crate::common::{Annotations, Icon};
use crate::number::Ttl;
use crate::object::{FromMembers, MemberKey, deserialize_object, object, once, unnamed};
use crate::{CacheScope, JsonObject};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

object! {
    /// A resource that the server can read.
    #[derive(Default)]
    pub struct Resource {
        required {
            /// The URI of the resource.
            uri: String = "uri",
            /// The programmatic name.
            name: String = "name",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the resource.
            description / with_description: String = "description",
            /// Icons to display.
            icons / with_icons: Vec<Icon> = "icons",
            /// The MIME type, if known.
            mime_type / with_mime_type: String = "mimeType",
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The size in bytes before any encoding, if known.
            size / with_size: u64 = "size",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// A set of resources described by a URI template (RFC 6570).
    #[derive(Default)]
    pub struct ResourceTemplate {
        required {
            /// The template.
            uri_template: String = "uriTemplate",
            /// The programmatic name.
            name: String = "name",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the template.
            description / with_description: String = "description",
            /// Icons to display.
            icons / with_icons: Vec<Icon> = "icons",
            /// The MIME type, if it is the same for all resources.
            mime_type / with_mime_type: String = "mimeType",
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// Text contents of a resource.
    #[derive(Default)]
    pub struct TextResourceContents {
        required {
            /// The URI of the resource.
            uri: String = "uri",
            /// The text.
            text: String = "text",
        }
        optional {
            /// The MIME type, if known.
            mime_type / with_mime_type: String = "mimeType",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// Binary contents of a resource.
    #[derive(Default)]
    pub struct BlobResourceContents {
        required {
            /// The URI of the resource.
            uri: String = "uri",
            /// The bytes, in base64.
            blob: String = "blob",
        }
        optional {
            /// The MIME type, if known.
            mime_type / with_mime_type: String = "mimeType",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

impl BlobResourceContents {
    /// Creates contents from bytes, which are encoded as base64.
    #[must_use]
    pub fn from_bytes(uri: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(uri, STANDARD.encode(bytes))
    }

    /// Returns the decoded bytes.
    ///
    /// # Errors
    /// When `blob` is not valid base64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.blob)
    }
}

/// The contents of a resource, or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceContents {
    /// Text: the object has a `text` member.
    Text(TextResourceContents),
    /// Binary: the object has a `blob` member.
    Blob(BlobResourceContents),
}

impl ResourceContents {
    /// Creates text contents.
    #[must_use]
    pub fn text(uri: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Text(TextResourceContents::new(uri, text))
    }

    /// Creates binary contents, which are encoded as base64.
    #[must_use]
    pub fn blob(uri: impl Into<String>, bytes: &[u8]) -> Self {
        Self::Blob(BlobResourceContents::from_bytes(uri, bytes))
    }

    /// Returns the URI of the resource.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Text(contents) => &contents.uri,
            Self::Blob(contents) => &contents.uri,
        }
    }

    /// Returns the MIME type, if known.
    #[must_use]
    pub fn mime_type(&self) -> Option<&str> {
        match self {
            Self::Text(contents) => contents.mime_type.as_deref(),
            Self::Blob(contents) => contents.mime_type.as_deref(),
        }
    }

    /// Returns the contents with this MIME type.
    #[must_use]
    pub fn with_mime_type(self, mime_type: impl Into<String>) -> Self {
        match self {
            Self::Text(contents) => Self::Text(contents.with_mime_type(mime_type)),
            Self::Blob(contents) => Self::Blob(contents.with_mime_type(mime_type)),
        }
    }
}

impl From<TextResourceContents> for ResourceContents {
    fn from(contents: TextResourceContents) -> Self {
        Self::Text(contents)
    }
}

impl From<BlobResourceContents> for ResourceContents {
    fn from(contents: BlobResourceContents) -> Self {
        Self::Blob(contents)
    }
}

impl<'de> FromMembers<'de> for ResourceContents {
    const NAME: &'static str = "ResourceContents";

    fn from_members<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let (mut uri, mut text, mut blob) = (None::<String>, None::<String>, None::<String>);
        let (mut mime_type, mut meta, mut extra) =
            (None::<String>, None::<JsonObject>, JsonObject::new());
        while let Some(key) = map.next_key::<MemberKey<'de>>()? {
            match key.as_str() {
                "uri" => {
                    once(&uri, "uri").and_then(|()| map.next_value().map(|v| uri = Some(v)))?
                }
                "text" => once(&text, "text").and_then(|()| map.next_value().map(|v| text = v))?,
                "blob" => once(&blob, "blob").and_then(|()| map.next_value().map(|v| blob = v))?,
                "mimeType" => once(&mime_type, "mimeType")
                    .and_then(|()| map.next_value().map(|v| mime_type = v))?,
                "_meta" => {
                    once(&meta, "_meta").and_then(|()| map.next_value().map(|v| meta = v))?
                }
                _ => unnamed!(map, key, extra),
            }
        }
        let uri = uri.ok_or_else(|| A::Error::missing_field("uri"))?;
        match (text, blob) {
            (Some(text), None) => Ok(Self::Text(TextResourceContents {
                uri,
                text,
                mime_type,
                meta,
                extra,
            })),
            (None, Some(blob)) => Ok(Self::Blob(BlobResourceContents {
                uri,
                blob,
                mime_type,
                meta,
                extra,
            })),
            (None, None) => Err(A::Error::custom(
                "resource contents have neither `text` nor `blob`",
            )),
            (Some(_), Some(_)) => Err(A::Error::custom(
                "resource contents have both `text` and `blob`",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for ResourceContents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_object(deserializer)
    }
}

impl Serialize for ResourceContents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(contents) => contents.serialize(serializer),
            Self::Blob(contents) => contents.serialize(serializer),
        }
    }
}

object! {
    /// One page of `resources/list`.
    #[derive(Default)]
    pub struct ListResourcesResult {
        required {
            /// The resources.
            resources: Vec<Resource> = "resources",
        }
        defaulted {
            /// How long the result may be cached, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may be served a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// The cursor of the next page; absent on the last page. It may be an empty string.
            next_cursor / with_next_cursor: String = "nextCursor",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

object! {
    /// One page of `resources/templates/list`.
    #[derive(Default)]
    pub struct ListResourceTemplatesResult {
        required {
            /// The templates.
            resource_templates: Vec<ResourceTemplate> = "resourceTemplates",
        }
        defaulted {
            /// How long the result may be cached, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may be served a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// The cursor of the next page; absent on the last page. It may be an empty string.
            next_cursor / with_next_cursor: String = "nextCursor",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

object! {
    /// The parameters of `resources/read`.
    #[derive(Default)]
    pub struct ReadResourceRequestParams {
        required {
            /// The resource to read.
            uri: String = "uri",
        }
        optional {
            /// The answers to the input requests of the previous round.
            input_responses / with_input_responses: JsonObject = "inputResponses",
            /// The `requestState` of the previous round, unchanged.
            request_state / with_request_state: String = "requestState",
        }
    }
}

object! {
    /// The result of `resources/read`.
    #[derive(Default)]
    pub struct ReadResourceResult {
        required {
            /// The contents of the resource, or of its parts.
            contents: Vec<ResourceContents> = "contents",
        }
        defaulted {
            /// How long the result may be cached, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may be served a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
