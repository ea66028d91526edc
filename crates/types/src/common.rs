//! Types shared by several features: roles, annotations, icons and implementations.

use crate::JsonValue;
use crate::number::Plain;
use crate::object::object;
use serde::{Deserialize, Serialize};

/// The sender or recipient of messages and data in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

object! {
    /// Hints for the client on how to use or display the annotated object.
    #[derive(Default)]
    pub struct Annotations {
        optional {
            /// The intended audience.
            audience / with_audience: Vec<Role> = "audience" as KnownRoles,
            /// The importance, from 0 (entirely optional) to 1 (effectively required).
            priority / with_priority: f64 = "priority" as Plain,
            /// The time of the last modification, in ISO 8601.
            last_modified / with_last_modified: String = "lastModified",
        }
        open extra;
    }
}

/// An audience on the wire. Unknown roles are ignored, since a hint must not make the whole result
/// fail to decode.
struct KnownRoles(Vec<Role>);

impl From<Vec<Role>> for KnownRoles {
    fn from(roles: Vec<Role>) -> Self {
        Self(roles)
    }
}

impl From<KnownRoles> for Vec<Role> {
    fn from(roles: KnownRoles) -> Self {
        roles.0
    }
}

impl Serialize for KnownRoles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KnownRoles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let roles = Vec::<JsonValue>::deserialize(deserializer)?;
        Ok(Self(
            roles
                .iter()
                .filter_map(|role| Role::deserialize(role).ok())
                .collect(),
        ))
    }
}

/// The background an icon is designed for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum IconTheme {
    /// A light background.
    Light,
    /// A dark background.
    Dark,
    /// A theme that this revision does not define. Kept, since it must not make the whole result
    /// fail to decode.
    #[serde(untagged)]
    Other(String),
}

object! {
    /// An icon that can be displayed in a user interface (`basic/index#icons`).
    ///
    /// The URI comes from the other side: validate it before fetching it.
    #[derive(Default)]
    pub struct Icon {
        required {
            /// An HTTP or HTTPS URL, or a `data:` URI with base64-encoded image data.
            src: String = "src",
        }
        optional {
            /// The MIME type, if that of the source is missing or generic.
            mime_type / with_mime_type: String = "mimeType",
            /// The sizes the icon is designed for, such as `48x48` or `any`. Absent means any.
            sizes / with_sizes: Vec<String> = "sizes",
            /// The background the icon is designed for. Absent means any.
            theme / with_theme: IconTheme = "theme",
        }
        open extra;
    }
}

object! {
    /// The name and version of client or server software.
    ///
    /// Self-reported and unverified: use it for display, logs and debugging, not for decisions
    /// (`basic/index#per-response-protocol-fields`).
    #[derive(Default)]
    pub struct Implementation {
        required {
            /// The programmatic name.
            name: String = "name",
            /// The version of the software.
            version: String = "version",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the software.
            description / with_description: String = "description",
            /// The website of the software.
            website_url / with_website_url: String = "websiteUrl",
            /// Icons to display.
            icons / with_icons: Vec<Icon> = "icons",
        }
        open extra;
    }
}

impl Implementation {
    /// Returns the name to display: the title, or else the name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}
