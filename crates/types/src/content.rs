//! Content blocks: what tools return and prompts are made of.

use crate::common::Annotations;
use crate::object::object;
use crate::tagged::tagged;
use crate::{Icon, JsonObject, Resource, ResourceContents};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

tagged! {
    /// One piece of content, told apart by its `type` (`server/tools#tool-result`).
    pub enum ContentBlock {
        /// Text.
        Text(TextContent) = "text",
        /// An image.
        Image(ImageContent) = "image",
        /// A recording.
        Audio(AudioContent) = "audio",
        /// A resource to be read when it is needed.
        ResourceLink(ResourceLink) = "resource_link",
        /// A resource that came along.
        Resource(EmbeddedResource) = "resource",
    } else {
        /// A type that this revision does not have, kept whole.
        Unknown(JsonObject)
    }
}

impl ContentBlock {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextContent::new(text))
    }

    /// An image; `data` is base64.
    #[must_use]
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Image(ImageContent::new(data, mime_type))
    }

    /// A recording; `data` is base64.
    #[must_use]
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Audio(AudioContent::new(data, mime_type))
    }

    /// A link to the resource at `uri`.
    #[must_use]
    pub fn resource_link(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ResourceLink(ResourceLink::new(uri, name))
    }

    /// A resource that comes along.
    #[must_use]
    pub fn resource(contents: impl Into<ResourceContents>) -> Self {
        Self::Resource(EmbeddedResource::new(contents))
    }

    /// The text of a text block.
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
    /// The image in `bytes`, which this encodes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::new(STANDARD.encode(bytes), mime_type)
    }

    /// The image itself.
    ///
    /// # Errors
    /// When `data` is not base64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.data)
    }
}

object! {
    /// A recording to or from a model.
    #[derive(Default)]
    pub struct AudioContent {
        required {
            /// The recording, in base64.
            data: String = "data",
            /// The MIME type of the recording.
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
    /// The recording in `bytes`, which this encodes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::new(STANDARD.encode(bytes), mime_type)
    }

    /// The recording itself.
    ///
    /// # Errors
    /// When `data` is not base64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.data)
    }
}

object! {
    /// A pointer to a resource that the server can read, which need not be in `resources/list`.
    #[derive(Default)]
    pub struct ResourceLink {
        required {
            /// Where the resource is.
            uri: String = "uri",
            /// The name for programs.
            name: String = "name",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// What the resource is.
            description / with_description: String = "description",
            /// Icons for a user interface.
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
    /// The contents of a resource, embedded in a prompt or a tool's result.
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
