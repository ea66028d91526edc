//! Resources and resource templates: what the application reads.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::call::result_writer::CachePolicy;
use crate::catalogue::access::Access;
use crate::catalogue::uri::{UriTemplate, UriVariables, is_uri};
use carryall_proto::{BoxFuture, Principal};
use carryall_types::{
    Annotations, BlobResourceContents, CacheScope, Icon, RawJson, Resource as Definition,
    ResourceContents, ResourceTemplate, TextResourceContents,
};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A resource, or a template for many, as the server offers it. The macro `#[resource]` makes one
/// from a function.
#[derive(Clone)]
pub struct Resource {
    pub(crate) kind: ResourceKind,
    pub(crate) handler: Handler,
    pub(crate) access: Access,
    pub(crate) cache: CachePolicy,
}

#[derive(Clone)]
pub(crate) enum ResourceKind {
    One(Definition),
    Template(ResourceTemplate),
}

pub(crate) type Handler =
    Arc<dyn Fn(Ctx, UriVariables) -> BoxFuture<Result<Contents, HandlerError>> + Send + Sync>;

/// Anything that [`ServerBuilder::resource`](crate::ServerBuilder::resource) takes.
pub trait IntoResource {
    /// The resource.
    fn into_resource(self) -> Resource;
}

impl IntoResource for Resource {
    fn into_resource(self) -> Resource {
        self
    }
}

/// A function that makes one; `#[resource]` turns functions into such.
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
    /// The resource at `uri`.
    pub fn new<F, Fut, R>(uri: impl Into<String>, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Ctx, UriVariables) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoContents + 'static,
    {
        Self::from_kind(ResourceKind::One(Definition::new(uri, name)), handler)
    }

    /// All resources whose URI matches a template: `{name}` stands for one path segment, `{+name}`
    /// for the rest.
    ///
    /// UriVariables arrive percent-decoded, so that even `{name}` may hold a `/` or a `..`. A handler
    /// that opens files leaves it to [`FileRoot`](crate::FileRoot) to find out which one is meant.
    pub fn template<F, Fut, R>(
        uri_template: impl Into<String>,
        name: impl Into<String>,
        handler: F,
    ) -> Self
    where
        F: Fn(Ctx, UriVariables) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoContents + 'static,
    {
        Self::from_kind(
            ResourceKind::Template(ResourceTemplate::new(uri_template, name)),
            handler,
        )
    }

    fn from_kind<F, Fut, R>(kind: ResourceKind, handler: F) -> Self
    where
        F: Fn(Ctx, UriVariables) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoContents + 'static,
    {
        let handler: Handler = Arc::new(move |ctx, variables| {
            let contents = handler(ctx, variables);
            Box::pin(async move { contents.await.into_contents() })
        });
        Self {
            kind,
            handler,
            access: Access::Anyone,
            cache: CachePolicy::default(),
        }
    }

    /// What the resource is.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.description = Some(description.into()));
        self
    }

    /// What people see as its name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.title = Some(title.into()));
        self
    }

    /// The MIME type of its contents.
    #[must_use]
    pub fn mime(mut self, mime_type: impl Into<String>) -> Self {
        on_definition!(self, definition => definition.mime_type = Some(mime_type.into()));
        self
    }

    /// Adds an icon.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        on_definition!(self, definition => definition.icons.get_or_insert_default().push(icon));
        self
    }

    /// Audience, priority and age.
    #[must_use]
    pub fn annotations(mut self, annotations: Annotations) -> Self {
        on_definition!(self, definition => definition.annotations = Some(annotations));
        self
    }

    /// How long clients may take what they read as fresh.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.cache.ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Promises that the contents are the same for every caller, so that shared caches may keep
    /// them.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.cache.scope = CacheScope::Public;
        self
    }

    /// Only callers with this scope see the resource and may read it.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Only callers for whom `allowed` holds see the resource and may read it.
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

/// What reading a resource yields. Text and bytes get the URI that was asked for and the declared
/// MIME type.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Text.
    Text(String),
    /// Bytes, which travel as base64.
    Bytes(Vec<u8>),
    /// Any number of contents, complete with their URIs.
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

/// What a resource handler may return.
pub trait IntoContents {
    /// The contents, or why there are none.
    ///
    /// # Errors
    /// When the resource does not exist or cannot be read.
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
    /// Whether it is a template with this variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.template
            .as_ref()
            .is_some_and(|template| template.variables().any(|variable| variable == name))
    }

    pub(crate) fn new(resource: Resource) -> Result<Self, String> {
        let (key, mime_type, template, json) = match &resource.kind {
            ResourceKind::One(definition) => {
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
