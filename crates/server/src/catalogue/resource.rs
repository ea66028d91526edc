//! Resources and resource templates: data that the application reads.

use crate::call::handler::{ErasedHandler, Handler};
use crate::call::handler_error::HandlerError;
use crate::call::result_writer::CachePolicy;
use crate::catalogue::access::Access;
use crate::catalogue::instances::{IntoInstances, ListQuery};
use crate::catalogue::uri::{UriTemplate, UriVariables, is_uri};
use carryall_proto::Principal;
use carryall_types::{
    Annotations, BlobResourceContents, CacheScope, Icon, RawJson, Resource as ResourceDefinition,
    ResourceContents, ResourceTemplate, TextResourceContents,
};
use std::fmt;
use std::time::Duration;

/// A resource, or a template for many: what clients see of it, and the handler that reads it.
///
/// The macro `#[resource]` makes one from a function. Without it:
///
/// ```
/// # use carryall_server::{HandlerError, Resource, UriVariables};
/// let settings = Resource::new("config://app", "settings", async || "{}").mime("application/json");
/// let notes = Resource::template("note://{id}", "notes", async |variables: UriVariables| {
///     let id: u64 = variables.get("id")?;
///     Ok::<_, HandlerError>(format!("Note {id}"))
/// });
/// ```
#[derive(Clone)]
pub struct Resource {
    pub(crate) kind: ResourceKind,
    pub(crate) handler: ErasedHandler<UriVariables, Contents>,
    pub(crate) instances: Option<ErasedHandler<ListQuery, Vec<ResourceDefinition>>>,
    pub(crate) access: Access,
    pub(crate) cache: CachePolicy,
}

#[derive(Clone)]
pub(crate) enum ResourceKind {
    One(ResourceDefinition),
    Template(ResourceTemplate),
}

/// A value that [`ServerBuilder::resource`](crate::ServerBuilder::resource) takes: a [`Resource`],
/// or a function that makes one, as `#[resource]` makes of a function.
pub trait IntoResource {
    /// Returns the resource.
    fn into_resource(self) -> Resource;
}

impl IntoResource for Resource {
    fn into_resource(self) -> Resource {
        self
    }
}

impl<F: FnOnce() -> Resource> IntoResource for F {
    fn into_resource(self) -> Resource {
        self()
    }
}

macro_rules! on_definition {
    ($self:ident, $definition:ident => $change:expr) => {
        match &mut $self.kind {
            ResourceKind::One($definition) => $change,
            ResourceKind::Template($definition) => $change,
        }
    };
}

impl Resource {
    /// Makes a resource at `uri` from an async function: see [`Handler`] for what it may take, and
    /// [`IntoContents`] for what it may return.
    pub fn new<H, M>(uri: impl Into<String>, name: impl Into<String>, handler: H) -> Self
    where
        H: Handler<UriVariables, M>,
        H::Output: IntoContents,
    {
        Self::from_kind(
            ResourceKind::One(ResourceDefinition::new(uri, name)),
            handler,
        )
    }

    /// Makes a template: one resource for each URI that matches it. `{name}` stands for one path
    /// segment, `{+name}` for any number of them. The last parameter of the handler may be the
    /// [`UriVariables`].
    ///
    /// Variables arrive percent-decoded, so that even `{name}` may contain a `/` or a `..`. A
    /// handler that opens files resolves them with a [`FileRoot`](crate::FileRoot).
    pub fn template<H, M>(
        uri_template: impl Into<String>,
        name: impl Into<String>,
        handler: H,
    ) -> Self
    where
        H: Handler<UriVariables, M>,
        H::Output: IntoContents,
    {
        let definition = ResourceTemplate::new(uri_template, name);
        Self::from_kind(ResourceKind::Template(definition), handler)
    }

    fn from_kind<H, M>(kind: ResourceKind, handler: H) -> Self
    where
        H: Handler<UriVariables, M>,
        H::Output: IntoContents,
    {
        Self {
            kind,
            handler: ErasedHandler::new(handler, IntoContents::into_contents),
            instances: None,
            access: Access::Anyone,
            cache: CachePolicy::default(),
        }
    }

    /// Lists instances of a template in `resources/list`, among the other resources of the server. By
    /// default clients see the template alone.
    ///
    /// The handler is called for each page, and may take the [`ListQuery`] as its last parameter. It
    /// returns instances in any order, all of them or, if there are many, the first
    /// [`limit`](ListQuery::limit) [after](ListQuery::after) a URI in the order of URIs. Call
    /// [`Server::resource_list_changed`](crate::Server::resource_list_changed) when they change.
    ///
    /// ```
    /// use carryall_server::{HandlerError, Resource, Server, UriVariables};
    ///
    /// let notes = Resource::template("note://{id}", "notes", async |variables: UriVariables| {
    ///     Ok::<_, HandlerError>(format!("Note {}", variables.get::<u64>("id")?))
    /// })
    /// .list(async || {
    ///     let definition = |id| carryall_types::Resource::new(format!("note://{id}"), format!("Note {id}"));
    ///     (1..=3).map(definition).collect::<Vec<_>>()
    /// });
    /// Server::new("notes", "1.0.0").resource(notes).build().unwrap();
    /// ```
    #[must_use]
    pub fn list<H, M>(mut self, handler: H) -> Self
    where
        H: Handler<ListQuery, M>,
        H::Output: IntoInstances,
    {
        self.instances = Some(ErasedHandler::new(handler, IntoInstances::into_instances));
        self
    }

    /// Describes the resource. None by default.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.description = Some(description.into()));
        self
    }

    /// Sets the name that people see. None by default: clients show the resource's name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.title = Some(title.into()));
        self
    }

    /// Sets the MIME type of its contents. None by default.
    #[must_use]
    pub fn mime(mut self, mime_type: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.mime_type = Some(mime_type.into()));
        self
    }

    /// Adds an icon. None by default.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        on_definition!(self, definition => definition.icons.get_or_insert_default().push(icon));
        self
    }

    /// Sets audience, priority and last modification. None by default.
    #[must_use]
    pub fn annotations(mut self, annotations: Annotations) -> Self {
        on_definition!(self, definition => definition.annotations = Some(annotations));
        self
    }

    /// Sets how long clients may treat the contents as fresh, in whole milliseconds. Zero by
    /// default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.cache.ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Promises that the contents are the same for every caller, so that shared caches may store
    /// them. By default only the caller's own cache may.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.cache.scope = CacheScope::Public;
        self
    }

    /// Restricts the resource to callers with this scope. For others it does not exist.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Restricts the resource to callers for whom `allowed` returns `true`. For others it does not
    /// exist.
    #[must_use]
    pub fn visible_if(
        mut self,
        allowed: impl Fn(Option<&Principal>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access = Access::rule(allowed);
        self
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = match &self.kind {
            ResourceKind::One(definition) => &definition.uri,
            ResourceKind::Template(definition) => &definition.uri_template,
        };
        f.debug_struct("Resource")
            .field("uri", uri)
            .finish_non_exhaustive()
    }
}

/// The contents of a resource. Text and bytes get the URI that was read, and the declared MIME
/// type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Contents {
    /// Text.
    Text(String),
    /// Bytes. They are sent as base64.
    Bytes(Vec<u8>),
    /// Any number of contents, which have their URIs and MIME types already.
    Many(Vec<ResourceContents>),
}

impl Contents {
    pub(crate) fn resolve(self, uri: &str, mime_type: Option<&str>) -> Vec<ResourceContents> {
        match self {
            Self::Text(text) => {
                let mut contents = TextResourceContents::new(uri, text);
                contents.mime_type = mime_type.map(str::to_owned);
                vec![ResourceContents::Text(contents)]
            }
            Self::Bytes(bytes) => {
                let mut contents = BlobResourceContents::from_bytes(uri, &bytes);
                contents.mime_type = mime_type.map(str::to_owned);
                vec![ResourceContents::Blob(contents)]
            }
            Self::Many(contents) => contents,
        }
    }
}

/// What the handler of a resource may return.
#[diagnostic::on_unimplemented(
    message = "the handler of a resource cannot return `{Self}`",
    note = "it returns `String`, `Vec<u8>`, `Contents`, `Vec<ResourceContents>`, or a `Result` of one of them"
)]
pub trait IntoContents {
    /// Converts it to contents.
    ///
    /// # Errors
    /// When the handler failed.
    fn into_contents(self) -> Result<Contents, HandlerError>;
}

impl IntoContents for Contents {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        Ok(self)
    }
}

impl IntoContents for String {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        Ok(Contents::Text(self))
    }
}

impl IntoContents for &'static str {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        Ok(Contents::Text(self.to_owned()))
    }
}

impl IntoContents for Vec<u8> {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        Ok(Contents::Bytes(self))
    }
}

impl IntoContents for Vec<ResourceContents> {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        Ok(Contents::Many(self))
    }
}

impl<T: IntoContents, E: Into<HandlerError>> IntoContents for Result<T, E> {
    fn into_contents(self) -> Result<Contents, HandlerError> {
        self.map_err(Into::into)?.into_contents()
    }
}

/// A resource in the catalogue.
pub(crate) struct ResourceEntry {
    pub(crate) resource: Resource,
    pub(crate) key: String,
    pub(crate) mime_type: Option<String>,
    pub(crate) template: Option<UriTemplate>,
    pub(crate) json: RawJson,
}

impl ResourceEntry {
    /// Whether this is a template that matches the URI.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        is_uri(uri)
            && self
                .template
                .as_ref()
                .is_some_and(|template| template.matches(uri).is_some())
    }

    /// Whether this is a template with a variable of this name.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.template
            .as_ref()
            .is_some_and(|template| template.variables().any(|variable| variable == name))
    }

    pub(crate) fn new(resource: Resource) -> Result<Self, String> {
        let (key, mime_type, template, json) = match &resource.kind {
            ResourceKind::One(definition) => {
                if resource.instances.is_some() {
                    return Err(format!(
                        "resource {:?}: only a template lists instances",
                        definition.uri
                    ));
                }
                if !is_uri(&definition.uri) {
                    return Err(format!(
                        "resource {:?}: not a URI (RFC 3986)",
                        definition.uri
                    ));
                }
                let json = RawJson::from_value(definition);
                (
                    definition.uri.clone(),
                    definition.mime_type.clone(),
                    None,
                    json,
                )
            }
            ResourceKind::Template(definition) => {
                let template = UriTemplate::parse(&definition.uri_template).map_err(|why| {
                    format!("resource template {:?}: {why}", definition.uri_template)
                })?;
                let json = RawJson::from_value(definition);
                (
                    definition.uri_template.clone(),
                    definition.mime_type.clone(),
                    Some(template),
                    json,
                )
            }
        };
        let json = json.map_err(|error| format!("resource {key:?}: {error}"))?;
        Ok(Self {
            resource,
            key,
            mime_type,
            template,
            json,
        })
    }
}
