//! The state that the clones of a client share.

use crate::ClientError;
use crate::cache::{CacheView, ResponseCache};
use crate::call::exchange::Timeouts;
use crate::config::ClientConfig;
use crate::error::VersionError;
use crate::meta::{MetaOptions, MetaTemplate};
use crate::options::CallOptions;
use crate::tools::ToolIndex;
use carryall_proto::{Meta, SharedService};
use carryall_types::ErrorObject;
use serde::Deserialize;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// The state that the clones of a client share.
pub struct ClientCore {
    pub(crate) service: SharedService,
    /// Distinguishes servers in a shared cache.
    pub(crate) server_id: Arc<str>,
    pub(crate) next_id: AtomicI64,
    /// One for each supported version, in order of preference.
    pub(crate) templates: Box<[MetaTemplate]>,
    /// The index of the template in use.
    pub(crate) current_template: AtomicUsize,
    pub(crate) tools: ToolIndex,
    pub(crate) cache: Option<ResponseCache>,
    pub(crate) config: ClientConfig,
}

/// A client's shared state and an authorization context. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ScopedCore {
    core: Arc<ClientCore>,
    auth_context: Arc<str>,
}

impl ScopedCore {
    pub(crate) fn new(core: ClientCore, auth_context: Arc<str>) -> Self {
        Self {
            core: Arc::new(core),
            auth_context,
        }
    }

    /// Returns the same client in another authorization context.
    pub(crate) fn with_context(&self, auth_context: Arc<str>) -> Self {
        Self {
            core: Arc::clone(&self.core),
            auth_context,
        }
    }

    /// Returns the client's view of its cache; `None` if it has no cache.
    pub(crate) fn cache_view(&self) -> Option<CacheView> {
        Some(CacheView {
            cache: self.cache.clone()?,
            server_id: Arc::clone(&self.server_id),
            auth_context: Arc::clone(&self.auth_context),
        })
    }
}

impl Deref for ScopedCore {
    type Target = ClientCore;

    fn deref(&self) -> &ClientCore {
        &self.core
    }
}

impl ClientCore {
    /// Returns a request id that was not used before.
    pub(crate) fn next_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the `_meta` template of the version in use.
    pub(crate) fn template(&self) -> &MetaTemplate {
        // `current_template` is only ever set to a valid index.
        &self.templates[self.current_template.load(Ordering::Relaxed)]
    }

    pub(crate) fn timeouts(&self, options: &CallOptions) -> Timeouts {
        Timeouts {
            idle: options.timeout.unwrap_or(self.config.timeout),
            total: options.max_timeout.unwrap_or(self.config.max_timeout),
            reset_on_progress: options.reset_on_progress,
        }
    }

    /// Returns the `_meta` of one request, ambient members included.
    pub(crate) fn render_meta(
        &self,
        options: &MetaOptions,
        progress_token: Option<i64>,
    ) -> Result<Meta, ClientError> {
        let merged = self.with_ambient_meta(options);
        self.template()
            .render(merged.as_ref().unwrap_or(options), progress_token)
    }

    /// Adds the client's ambient `_meta` members to those of a request, which take precedence.
    /// `None` if there are none to add.
    fn with_ambient_meta(&self, options: &MetaOptions) -> Option<MetaOptions> {
        let ambient = self.config.ambient_meta.as_ref()?();
        if ambient.is_empty() {
            return None;
        }
        let mut merged = options.clone();
        for (name, value) in ambient {
            if merged.extra.contains_key(&name) {
                continue;
            }
            match crate::meta::check_member(&name, &value) {
                Ok(()) => {
                    merged.extra.insert(name, value);
                }
                Err(reason) => {
                    tracing::warn!(reason = %carryall_proto::PrintableFmt(&reason), "ambient _meta member left out")
                }
            }
        }
        Some(merged)
    }

    /// Switches to a version that both sides support
    /// (`basic/versioning#protocol-version-negotiation`).
    pub(crate) fn choose_version(&self, refusal: &ErrorObject) -> Result<(), ClientError> {
        #[derive(Deserialize, Default)]
        struct SupportedVersions {
            #[serde(default)]
            supported: Vec<String>,
        }
        let SupportedVersions { supported } = refusal
            .data
            .as_ref()
            .and_then(|data| data.decode().ok())
            .unwrap_or_default();
        let is_supported =
            |template: &MetaTemplate| supported.iter().any(|theirs| theirs == template.version());
        match self.templates.iter().position(is_supported) {
            Some(index) => {
                self.current_template.store(index, Ordering::Relaxed);
                Ok(())
            }
            None => {
                let ours = self.templates.iter();
                let ours = ours.map(|template| template.version().to_owned()).collect();
                Err(VersionError::NoneInCommon {
                    ours,
                    theirs: supported,
                }
                .into())
            }
        }
    }
}

impl fmt::Debug for ScopedCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_id", &self.server_id)
            .field("version", &self.template().version())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
