//! What several features share: who speaks, who a piece of software is, icons and annotations.

use crate::JsonValue;
use crate::number::Plain;
use crate::object::object;
use serde::{Deserialize, Serialize};

/// The sender or recipient of messages and data in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The human.
    User,
    /// The model.
    Assistant,
}

object! {
    /// Hints for the client on how to use or display what they are attached to.
    #[derive(Default)]
    pub struct Annotations {
        optional {
            /// Who this is meant for.
            audience / with_audience: Vec<Role> = "audience" as KnownRoles,
            /// From 0 (entirely optional) to 1 (effectively required).
            priority / with_priority: f64 = "priority" as Plain,
            /// When the resource was last modified, as an ISO 8601 date and time.
            last_modified / with_last_modified: String = "lastModified",
        }
        open extra;
    }
}

/// An audience on the wire: a role that this revision does not have is left out, since a hint must
/// not cost the reader the list it came with.
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
pub enum IconTheme {
    /// A light background.
    Light,
    /// A dark background.
    Dark,
    /// A theme that this revision does not have. It does not cost the reader the list that the icon
    /// is in.
    #[serde(untagged)]
    Other(String),
}

object! {
    /// An icon that can be displayed in a user interface (`basic/index#icons`).
    ///
    /// The URI comes from the other side: check it before fetching anything.
    #[derive(Default)]
    pub struct Icon {
        required {
            /// An HTTP or HTTPS URL, or a `data:` URI with base64-encoded image data.
            src: String = "src",
        }
        optional {
            /// The MIME type, if the one of the source is missing or generic.
            mime_type / with_mime_type: String = "mimeType",
            /// Sizes the icon can be used at, like `48x48` or `any`. Absent means any size.
            sizes / with_sizes: Vec<String> = "sizes",
            /// The background the icon is designed for. Absent means any.
            theme / with_theme: IconTheme = "theme",
        }
        open extra;
    }
}

object! {
    /// A piece of client or server software, as it describes itself.
    ///
    /// Self-reported and unverified: for display, logs and debugging, never for decisions
    /// (`basic/index#per-response-protocol-fields`).
    #[derive(Default)]
    pub struct Implementation {
        required {
            /// The name for programs.
            name: String = "name",
            /// The version of the software.
            version: String = "version",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// What the software does.
            description / with_description: String = "description",
            /// The website of the software.
            website_url / with_website_url: String = "websiteUrl",
            /// Icons for a user interface.
            icons / with_icons: Vec<Icon> = "icons",
        }
        open extra;
    }
}

impl Implementation {
    /// The name to show to people: the title, or the name where there is none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}
