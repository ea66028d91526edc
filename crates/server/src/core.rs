//! The server's insides: what all of its clones share.

use crate::call::error_policy::ErrorPolicy;
use crate::call::result_writer::{Cache, ResultBuffer, ResultWriter};
use crate::catalogue::rate_limit::RateLimit;
use crate::catalogue::{Catalogue, List, ListSettings, Listed};
use crate::replication::Shared;
use crate::state::quota::Ledger;
use crate::state::rounds::Sealer;
use crate::subscriptions::Subscriptions;
use crate::tasks::TaskEngine;
use arc_swap::ArcSwap;
use carryall_proto::Call;
use carryall_proto::budget::Amount;
use carryall_proto::decode::SUPPORTED_VERSIONS;
use carryall_proto::listen::Change;
use carryall_types::{
    JsonObject, PromptsCapability, RawJson, ResourcesCapability, ServerCapabilities,
    ToolsCapability,
};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) struct Core {
    pub(crate) stamp: Arc<ResultWriter>,
    pub(crate) settings: Settings,
    pub(crate) states: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) catalogue: ArcSwap<Catalogue>,
    pub(crate) features: ArcSwap<Features>,
    pub(crate) discover: ArcSwap<RawJson>,
    pub(crate) hub: Arc<Subscriptions>,
    pub(crate) sealer: Sealer,
    pub(crate) shared: Shared,
    pub(crate) tasks: Option<Arc<TaskEngine>>,
    /// What handles keep in the store.
    pub(crate) kept: Ledger,
    /// Calls of handlers that are running now.
    pub(crate) running: AtomicUsize,
    /// Whether it was logged that authorization headers lead to no principal.
    warned_of_authorization: AtomicBool,
    /// Serialises changes; readers never wait for it.
    changing: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) lists: ListSettings,
    pub(crate) discover_cache: Cache,
    pub(crate) instructions: Option<String>,
    pub(crate) extensions: JsonObject,
    pub(crate) experimental: JsonObject,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_running: usize,
    pub(crate) max_listeners: usize,
    pub(crate) max_listeners_per_caller: usize,
    /// What handles may keep: in total, and for each caller.
    pub(crate) handle_limits: (Amount, Amount),
    pub(crate) errors: ErrorPolicy,
    pub(crate) max_resource_subscriptions: usize,
    pub(crate) completion_rate: RateLimit,
}

/// Which features the server advertises. A feature that was once advertised stays, even when its
/// list gets empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    pub(crate) completions: bool,
    pub(crate) logging: bool,
}

impl Core {
    pub(crate) fn new(
        stamp: ResultWriter,
        settings: Settings,
        states: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
        mut catalogue: Catalogue,
        features: Features,
        (sealer, shared, tasks): (Sealer, Shared, Option<Arc<TaskEngine>>),
    ) -> Self {
        catalogue.prepare(settings.lists, &stamp);
        let stamp = Arc::new(stamp);
        let core = Self {
            hub: Arc::new(Subscriptions::new(
                Arc::clone(&stamp),
                settings.max_listeners,
                settings.max_listeners_per_caller,
            )),
            kept: Ledger::new(settings.handle_limits.0, settings.handle_limits.1),
            sealer,
            shared,
            tasks,
            stamp,
            settings,
            states,
            catalogue: ArcSwap::from_pointee(Catalogue::default()),
            features: ArcSwap::from_pointee(features),
            discover: ArcSwap::from_pointee(RawJson::EMPTY_OBJECT),
            running: AtomicUsize::new(0),
            warned_of_authorization: AtomicBool::new(false),
            changing: Mutex::new(()),
        };
        core.publish(catalogue);
        core
    }

    /// Changes the catalogue and tells the listeners about the lists that differ.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Catalogue) -> Result<T, String>,
    ) -> Result<T, String> {
        let guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.catalogue.load_full();
        let mut catalogue = Catalogue::clone(&before);
        let value = change(&mut catalogue)?;
        catalogue.prepare(self.settings.lists, &self.stamp);
        let tools = differs(&before.tools, &catalogue.tools);
        let prompts = differs(&before.prompts, &catalogue.prompts);
        let resources = differs(&before.resources, &catalogue.resources)
            || differs(&before.templates, &catalogue.templates);
        self.publish(catalogue);
        drop(guard);
        for (changed, what) in [
            (tools, Change::Tools),
            (prompts, Change::Prompts),
            (resources, Change::Resources),
        ] {
            if changed {
                self.tell(&what);
            }
        }
        Ok(value)
    }

    /// Tells the listeners of this replica and the other replicas.
    pub(crate) fn tell(&self, change: &Change) {
        self.publish_here(change);
        self.shared.tell_others(change);
    }

    /// Tells the listeners of this replica, those of them who may know.
    pub(crate) fn publish_here(&self, change: &Change) {
        let at = match change {
            Change::Resource(uri) => self
                .catalogue
                .load()
                .resource_at(uri)
                .map(|(entry, _)| entry),
            _ => None,
        };
        self.hub.publish(change, |caller| {
            at.as_ref().is_none_or(|entry| entry.allows(caller))
        });
    }

    /// Tells the listeners of this replica that all they listen to may have changed.
    pub(crate) fn publish_everything(&self) {
        for change in [Change::Tools, Change::Prompts, Change::Resources] {
            self.publish_here(&change);
        }
        for uri in self.hub.resources_listened_to() {
            self.publish_here(&Change::Resource(uri.into()));
        }
    }

    /// Begins what goes on behind the calls, as soon as there is an executor to do it on.
    pub(crate) fn start(self: &Arc<Self>) {
        // Rows of tasks expire in a store that nobody has chosen too.
        if self.shared.is_chosen() || self.tasks.is_some() {
            self.shared.start(self);
        }
        if let Some(tasks) = &self.tasks {
            tasks.start(self);
        }
    }

    fn publish(&self, catalogue: Catalogue) {
        let mut features = **self.features.load();
        features.tools |= !catalogue.tools.is_empty();
        features.prompts |= !catalogue.prompts.is_empty();
        features.resources |= !catalogue.resources.is_empty() || !catalogue.templates.is_empty();
        features.completions |= !catalogue.completions.is_empty();
        self.features.store(Arc::new(features));
        self.discover
            .store(Arc::new(self.render_discover(features)));
        self.catalogue.store(Arc::new(catalogue));
    }

    pub(crate) fn capabilities(&self, features: Features) -> ServerCapabilities {
        let mut capabilities = ServerCapabilities::default();
        if features.tools {
            capabilities.tools = Some(ToolsCapability {
                list_changed: Some(true),
                ..Default::default()
            });
        }
        if features.prompts {
            capabilities.prompts = Some(PromptsCapability {
                list_changed: Some(true),
                ..Default::default()
            });
        }
        if features.resources {
            let resources = ResourcesCapability {
                subscribe: Some(true),
                list_changed: Some(true),
                ..Default::default()
            };
            capabilities.resources = Some(resources);
        }
        capabilities.completions = features.completions.then(JsonObject::new);
        capabilities.logging = features.logging.then(JsonObject::new);
        let some = |map: &JsonObject| (!map.is_empty()).then(|| map.clone());
        capabilities.extensions = some(&self.settings.extensions);
        capabilities.experimental = some(&self.settings.experimental);
        capabilities
    }

    fn render_discover(&self, features: Features) -> RawJson {
        let versions: Vec<&str> = SUPPORTED_VERSIONS
            .iter()
            .map(|version| version.as_str())
            .collect();
        let versions = serde_json::to_vec(&versions).unwrap_or_default();
        let capabilities = serde_json::to_vec(&self.capabilities(features)).unwrap_or_default();
        let mut out = ResultBuffer::start("complete", 512);
        out.raw_member("supportedVersions", &versions);
        out.raw_member("capabilities", &capabilities);
        if let Some(instructions) = &self.settings.instructions {
            out.raw_member(
                "instructions",
                &serde_json::to_vec(instructions).unwrap_or_default(),
            );
        }
        out.cache(self.settings.discover_cache);
        out.finish_discover(&self.stamp)
    }

    /// Warns once when a call comes with credentials and without a principal, while some entries
    /// are not for everybody: probably a layer has verified the credentials and has not said for
    /// whom in a way that is understood here.
    pub(crate) fn notice_unused_authorization(&self, call: &Call) {
        let has_credentials = || {
            call.headers
                .as_ref()
                .is_some_and(|headers| headers.contains_key(http::header::AUTHORIZATION))
        };
        let warned = self.warned_of_authorization.load(Ordering::Relaxed);
        if warned
            || call.principal.is_some()
            || !has_credentials()
            || !self.catalogue.load().is_restricted()
        {
            return;
        }
        if !self.warned_of_authorization.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request has an Authorization header and no principal, so its caller is anonymous here, and does not see \
                 entries that need a scope or a rule; an authorization layer has to insert a `carryall::proto::Principal` \
                 (or `Arc<Principal>`) into the extensions of the HTTP request"
            );
        }
    }

    /// Takes one of the places for running handlers, or finds that there is none.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.settings.max_running {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(Arc::clone(self)))
    }
}

/// A place among the running handlers, given back when dropped.
pub(crate) struct Permit(Arc<Core>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether two lists may look different to anybody. The rule of a restricted entry cannot be
/// compared, so that a new one counts as different.
fn differs<T: Listed>(before: &List<T>, after: &List<T>) -> bool {
    let same = |(old, new): (&Arc<T>, &Arc<T>)| {
        let same_rule = Arc::ptr_eq(old, new) || !(old.is_restricted() || new.is_restricted());
        old.key() == new.key() && old.json() == new.json() && same_rule
    };
    before.len() != after.len() || !before.iter().zip(after.iter()).all(same)
}

#[cfg(test)]
mod tests {
    use crate::{Server, Tasks};
    use carryall_store::Row;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn tasks_that_have_expired_are_removed_from_a_store_of_the_servers_own() {
        let server = Server::new("own", "1").tasks(Tasks::new()).build().unwrap();
        let store = server.core.shared.store();
        let (kind, key, value) = ("task", "expired".to_owned(), bytes::Bytes::new());
        let expired = Row {
            kind,
            key,
            version: 1,
            value,
            expires_at: Some(1),
            due_at: None,
        };
        store.insert(expired, 0).await.unwrap();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(
            store.expire(u64::MAX / 2, 10).await.unwrap(),
            0,
            "nothing is left to be removed"
        );
    }
}
