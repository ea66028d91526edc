//! Content blocks of tool results and prompts.

use crate::common::Annotations;
use crate::object::object;
use crate::tagged::tagged;
use crate::{Icon, JsonObject, Resource, ResourceContents};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

tagged! {
    /// A content block, distinguished by its `type` (`server/tools#tool-result`).
    pub enum ContentBlock {
        /// Text.
        Text(TextContent) = "text",
        /// An image.
        Image(ImageContent) = "image",
        /// Audio.
        Audio(AudioContent) = "audio",
        /// A link to a resource, to be read on demand.
        ResourceLink(ResourceLink) = "resource_link",
        /// An embedded resource.
        Resource(EmbeddedResource) = "resource",
    } else {
        /// A block of a type that this revision does not define, unchanged.
        Unknown(JsonObject)
    }
}

impl ContentBlock {
    /// Creates a text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextContent::new(text))
    }

    /// Creates an image block; `data` is base64.
    #[must_use]
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Image(ImageContent::new(data, mime_type))
    }

    /// Creates an audio block; `data` is base64.
    #[must_use]
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Audio(AudioContent::new(data, mime_type))
    }

    /// Creates a link to the resource at `uri`.
    #[must_use]
    pub fn resource_link(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ResourceLink(ResourceLink::new(uri, name))
    }

    /// Creates an embedded resource.
    #[must_use]
    pub fn resource(contents: impl Into<ResourceContents>) -> Self {
        Self::Resource(EmbeddedResource::new(contents))
    }

    /// Returns the text of a text block, `None` for other blocks.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

impl From<&str> for ContentBlock {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for ContentBlock {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

object! {
    /// Text to or from a model.
    #[derive(Default)]
    pub struct TextContent {
        required {
            /// The text.
            text: String = "text",
        }
        optional {
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// An image to or from a model.
    #[derive(Default)]
    pub struct ImageContent {
        required {
            /// The image, in base64.
            data: String = "data",
            /// The MIME type of the image.
            mime_type: String = "mimeType",
        }
        optional {
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}

impl ImageContent {
    /// Creates an image from bytes, which are encoded as base64.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::new(STANDARD.encode(bytes), mime_type)
    }

    /// Returns the decoded image.
    ///
    /// # Errors
    /// When `data` is not valid base64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.data)
    }
}

object! {
    /// Audio to or from a model.
    #[derive(Default)]
    pub struct AudioContent {
        required {
            /// The audio data, in base64.
            data: String = "data",
            /// The MIME type of the audio data.
            mime_type: String = "mimeType",
        }
        optional {
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}

impl AudioContent {
    /// Creates audio from bytes, which are encoded as base64.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::new(STANDARD.encode(bytes), mime_type)
    }

    /// Returns the decoded audio data.
    ///
    /// # Errors
    /// When `data` is not valid base64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.data)
    }
}

object! {
    /// A link to a resource of the server, which need not be listed in `resources/list`.
    #[derive(Default)]
    pub struct ResourceLink {
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
        skip { "type" }
        open extra;
    }
}

impl From<Resource> for ResourceLink {
    fn from(resource: Resource) -> Self {
        let Resource {
            uri,
            name,
            title,
            description,
            icons,
            mime_type,
            annotations,
            size,
            meta,
            extra,
        } = resource;
        Self {
            uri,
            name,
            title,
            description,
            icons,
            mime_type,
            annotations,
            size,
            meta,
            extra,
        }
    }
}

object! {
    /// The contents of a resource, embedded in a prompt or tool result.
    pub struct EmbeddedResource {
        required {
            /// The contents.
            resource: ResourceContents = "resource",
        }
        optional {
            /// Hints for the client.
            annotations / with_annotations: Annotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}
