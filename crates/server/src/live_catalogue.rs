//! The catalogue as it is now, and who is notified when it changes.

use crate::call::result_writer::ResultWriter;
use crate::catalogue::Catalogue;
use crate::catalogue::list::{ListSettings, Listed as _, differs};
use crate::discovery::{DiscoverySettings, Features};
use crate::environment::ChangePublisher;
use crate::replication::{ChangeSink, Replication};
use crate::subscriptions::Subscriptions;
use arc_swap::{ArcSwap, Guard};
use carryall_proto::listen::Change;
use carryall_proto::sync::Mutex;
use carryall_store::Changes;
use carryall_types::{RawJson, ServerCapabilities};
use std::sync::Arc;

/// Swaps one immutable catalogue for the next, and notifies subscribers of what differs.
pub(crate) struct LiveCatalogue {
    current: ArcSwap<Catalogue>,
    features: ArcSwap<Features>,
    discovery: ArcSwap<RawJson>,
    settings: CatalogueSettings,
    results: Arc<ResultWriter>,
    subscriptions: Arc<Subscriptions>,
    /// Only where a store was configured.
    replication: Option<Replication>,
    /// Serialises changes; readers never wait for it.
    change_lock: Mutex<()>,
}

/// How lists and the discovery result are rendered.
#[derive(Debug)]
pub(crate) struct CatalogueSettings {
    pub(crate) lists: ListSettings,
    pub(crate) discovery: DiscoverySettings,
}

impl LiveCatalogue {
    pub(crate) fn new(
        mut catalogue: Catalogue,
        features: Features,
        settings: CatalogueSettings,
        results: Arc<ResultWriter>,
        subscriptions: Arc<Subscriptions>,
        replication: Option<Replication>,
    ) -> Self {
        catalogue.render_first_pages(settings.lists, &results);
        let live = Self {
            current: ArcSwap::from_pointee(Catalogue::default()),
            features: ArcSwap::from_pointee(features),
            discovery: ArcSwap::from_pointee(RawJson::EMPTY_OBJECT),
            settings,
            results,
            subscriptions,
            replication,
            change_lock: Mutex::default(),
        };
        live.replace(catalogue);
        live
    }

    pub(crate) fn current(&self) -> Guard<Arc<Catalogue>> {
        self.current.load()
    }

    pub(crate) fn features(&self) -> Features {
        **self.features.load()
    }

    pub(crate) fn capabilities(&self) -> ServerCapabilities {
        self.settings.discovery.capabilities(self.features())
    }

    /// The result of `server/discover`.
    pub(crate) fn discovery(&self) -> RawJson {
        RawJson::clone(&self.discovery.load())
    }

    pub(crate) fn list_settings(&self) -> ListSettings {
        self.settings.lists
    }

    pub(crate) fn subscriptions(&self) -> &Arc<Subscriptions> {
        &self.subscriptions
    }

    /// Changes the catalogue, and notifies subscribers of the lists that differ.
    ///
    /// # Errors
    /// The error of `change`. Nothing has changed then.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Catalogue) -> Result<T, String>,
    ) -> Result<T, String> {
        let guard = self.change_lock.lock();
        let before = self.current.load_full();
        let mut catalogue = Catalogue::clone(&before);
        let value = change(&mut catalogue)?;
        catalogue.render_first_pages(self.settings.lists, &self.results);
        let tools = differs(&before.tools, &catalogue.tools);
        let prompts = differs(&before.prompts, &catalogue.prompts);
        let resources = differs(&before.resources, &catalogue.resources)
            || differs(&before.templates, &catalogue.templates);
        self.replace(catalogue);
        drop(guard);
        for (changed, list) in [
            (tools, Change::Tools),
            (prompts, Change::Prompts),
            (resources, Change::Resources),
        ] {
            if changed {
                self.publish(&list);
            }
        }
        Ok(value)
    }

    fn replace(&self, catalogue: Catalogue) {
        let features = self.features().with_those_of(&catalogue);
        self.features.store(Arc::new(features));
        let discovery = self.settings.discovery.render(features, &self.results);
        self.discovery.store(Arc::new(discovery));
        self.current.store(Arc::new(catalogue));
    }

    /// Subscribes to the changes of other replicas; `None` if there can be none.
    pub(crate) fn subscribe_to_replicas(&self) -> Option<Changes> {
        self.replication.as_ref().map(Replication::subscribe)
    }

    /// Exchanges changes with the other replicas for as long as it is polled; never completes.
    pub(crate) async fn replicate(&self, changes: Option<Changes>) {
        match (&self.replication, changes) {
            (Some(replication), Some(changes)) => replication.run(changes, self).await,
            _ => std::future::pending().await,
        }
    }
}

impl ChangePublisher for LiveCatalogue {
    fn publish(&self, change: &Change) {
        self.deliver(change);
        if let Some(replication) = &self.replication {
            replication.announce(change);
        }
    }
}

impl ChangeSink for LiveCatalogue {
    /// Notifies the subscribers of this process that may know of what has changed.
    fn deliver(&self, change: &Change) {
        let entry = match change {
            Change::Resource(uri) => self.current().resource_at(uri).map(|(entry, _)| entry),
            _ => None,
        };
        self.subscriptions.publish(change, |caller| {
            entry.as_ref().is_none_or(|entry| entry.allows(caller))
        });
    }

    fn deliver_all(&self) {
        for list in [Change::Tools, Change::Prompts, Change::Resources] {
            self.deliver(&list);
        }
        for uri in self.subscriptions.resources() {
            self.deliver(&Change::Resource(uri.into()));
        }
    }
}
