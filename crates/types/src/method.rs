//! The methods of requests and notifications.

use crate::Printable;
use crate::tasks::task_method;
use std::fmt;

/// The maximum length of a displayed method, in characters.
const MAX_SHOWN: usize = 128;

/// The method of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// `server/discover`.
    ServerDiscover,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourcesTemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `completion/complete`.
    CompletionComplete,
    /// `subscriptions/listen`.
    SubscriptionsListen,
    /// Any other method: of an extension, of another revision, or unknown.
    Other(Box<str>),
}

impl Method {
    /// Returns the name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => known.known().unwrap_or_default(),
        }
    }

    /// Returns the name on the wire if this revision defines the method.
    #[must_use]
    pub fn known(&self) -> Option<&'static str> {
        Some(match self {
            Self::ServerDiscover => "server/discover",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::ResourcesList => "resources/list",
            Self::ResourcesTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::CompletionComplete => "completion/complete",
            Self::SubscriptionsListen => "subscriptions/listen",
            Self::Other(_) => return None,
        })
    }

    /// Returns the parameter that is mirrored in the `Mcp-Name` header
    /// (`basic/transports/streamable-http#standard-mcp-request-headers`).
    #[must_use]
    pub fn name_member(&self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            // `tasks#streamable-http-routing-headers`
            Self::Other(name)
                if matches!(
                    &**name,
                    task_method::GET | task_method::UPDATE | task_method::CANCEL
                ) =>
            {
                Some("taskId")
            }
            _ => None,
        }
    }

    /// Returns whether the server may answer with `input_required` (`basic/patterns/mrtr`).
    #[must_use]
    pub fn allows_rounds(&self) -> bool {
        matches!(
            self,
            Self::ToolsCall | Self::PromptsGet | Self::ResourcesRead
        )
    }

    /// Returns whether requests have no side effects, so that they may be executed twice.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.is_cacheable() || matches!(self, Self::PromptsGet | Self::CompletionComplete)
    }

    /// Returns whether the result carries `ttlMs` and `cacheScope` (`server/utilities/caching`).
    #[must_use]
    pub fn is_cacheable(&self) -> bool {
        matches!(
            self,
            Self::ServerDiscover
                | Self::ToolsList
                | Self::PromptsList
                | Self::ResourcesList
                | Self::ResourcesTemplatesList
                | Self::ResourcesRead
        )
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        match name {
            "server/discover" => Self::ServerDiscover,
            "tools/list" => Self::ToolsList,
            "tools/call" => Self::ToolsCall,
            "prompts/list" => Self::PromptsList,
            "prompts/get" => Self::PromptsGet,
            "resources/list" => Self::ResourcesList,
            "resources/templates/list" => Self::ResourcesTemplatesList,
            "resources/read" => Self::ResourcesRead,
            "completion/complete" => Self::CompletionComplete,
            "subscriptions/listen" => Self::SubscriptionsListen,
            other => Self::Other(other.into()),
        }
    }
}

/// Escaped by [`Printable`], since the method may be chosen by the other side. Use
/// [`as_str`](Method::as_str) for the unescaped name.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(known) => f.write_str(known),
            None => Printable(self.as_str()).clipped(MAX_SHOWN).fmt(f),
        }
    }
}

/// The methods of notifications.
pub mod notification {
    /// A request makes progress.
    pub const PROGRESS: &str = "notifications/progress";
    /// A log message.
    pub const MESSAGE: &str = "notifications/message";
    /// A request is cancelled.
    pub const CANCELLED: &str = "notifications/cancelled";
    /// The list of tools changed.
    pub const TOOLS_LIST_CHANGED: &str = "notifications/tools/list_changed";
    /// The list of prompts changed.
    pub const PROMPTS_LIST_CHANGED: &str = "notifications/prompts/list_changed";
    /// The list of resources changed.
    pub const RESOURCES_LIST_CHANGED: &str = "notifications/resources/list_changed";
    /// A resource changed.
    pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
    /// A subscription was established.
    pub const SUBSCRIPTIONS_ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
}
