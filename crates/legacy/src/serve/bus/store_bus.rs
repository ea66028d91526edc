//! Replicas that share a store instead of calling each other.
//!
//! An event is a row that lasts a minute. The snapshot of a session is a row that lasts as long as
//! a session may.

use super::stream_relay::{PIECE_KIND, RelayReader, RelayReaders, relay};
use super::{
    EventText, LocalReplica, SessionBus, SessionEvent, SessionEventKind, SessionSnapshot,
    random_name,
};
use crate::serve::clock::unix_millis;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_store::{Changes, Row, RowChange, Store, StoreResult};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The kind of the rows that are events.
const EVENT_KIND: &str = "session-told";
/// The kind of the rows that are snapshots.
const SNAPSHOT_KIND: &str = "session-known";
/// How long an event is kept, in milliseconds.
const EVENT_LIFETIME: u64 = 60_000;
/// How long a snapshot is kept unless the session has ended, in milliseconds.
const SNAPSHOT_LIFETIME: u64 = 24 * 60 * 60 * 1000;
/// Maximum difference between the clocks of two replicas. The end of a session is stored this much
/// longer than its id is valid, so that a replica whose clock is behind does not accept the id
/// again.
pub(crate) const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);
/// How long the store, and the replica that holds a stream, may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How many of the latest events are read after change notifications were lost, and how many
/// expired rows are removed at once.
const BATCH_SIZE: usize = 1_000;
/// How many received events are remembered.
const MAX_RECEIVED: usize = 10_000;
/// How often expired rows are removed.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(10);

/// A [`SessionBus`] between all replicas that share a store. They need not know each other.
#[derive(Clone)]
pub struct StoreBus(Arc<StoreBusInner>);

struct StoreBusInner {
    /// Distinguishes this replica from the others.
    id: String,
    store: Arc<dyn Store>,
    readers: RelayReaders,
}

/// The content of an event row. The names are those of earlier releases, so that replicas can be
/// upgraded one by one.
#[derive(Serialize, Deserialize)]
struct BusMessage {
    from: String,
    #[serde(rename = "say")]
    payload: BusPayload,
}

#[derive(Serialize, Deserialize)]
enum BusPayload {
    #[serde(rename = "note")]
    Event(SessionEvent),
    /// Asks the replica that holds the stream of the event `last` to relay it.
    #[serde(rename = "events")]
    Resume {
        session: String,
        last: String,
        #[serde(rename = "reading")]
        relay: String,
    },
}

impl StoreBus {
    /// Connects all replicas that have this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(StoreBusInner {
            id: random_name(),
            store,
            readers: RelayReaders::default(),
        }))
    }
}

impl StoreBusInner {
    /// Inserts an event row.
    async fn send(&self, payload: BusPayload) -> StoreResult<()> {
        let now = unix_millis();
        let message = BusMessage {
            from: self.id.clone(),
            payload,
        };
        let row = Row {
            kind: EVENT_KIND,
            key: random_name(),
            version: 1,
            value: Bytes::from(serde_json::to_vec(&message).unwrap_or_default()),
            expires_at: Some(now + EVENT_LIFETIME),
            due_at: Some(now),
        };
        self.store.insert(row, now).await.map(drop)
    }

    /// Applies an event to the snapshot of its session, retrying on version conflict.
    async fn update_snapshot(&self, event: &SessionEvent) -> StoreResult<()> {
        loop {
            let now = unix_millis();
            let row = self.store.get(SNAPSHOT_KIND, &event.session, now).await?;
            let mut snapshot: SessionSnapshot = row
                .as_ref()
                .and_then(|row| serde_json::from_slice(&row.value).ok())
                .unwrap_or_default();
            let mut expires_at = now + SNAPSHOT_LIFETIME;
            match &event.kind {
                SessionEventKind::LogLevel(level) => snapshot.log_level = Some(*level),
                SessionEventKind::Subscribed(uri) => snapshot.subscribe(uri),
                SessionEventKind::Unsubscribed(uri) => {
                    snapshot.subscribed.retain(|subscribed| subscribed != uri);
                }
                SessionEventKind::Ended { until } => {
                    snapshot.ended = true;
                    expires_at = until
                        .saturating_add(MAX_CLOCK_SKEW.as_secs())
                        .saturating_mul(1000);
                }
                SessionEventKind::Response(_)
                | SessionEventKind::Cancelled(_)
                | SessionEventKind::Listening
                | SessionEventKind::Posted(_) => return Ok(()),
            }
            let next = Row {
                kind: SNAPSHOT_KIND,
                key: event.session.to_string(),
                version: row.as_ref().map_or(1, |row| row.version + 1),
                value: Bytes::from(serde_json::to_vec(&snapshot).unwrap_or_default()),
                expires_at: Some(expires_at),
                due_at: None,
            };
            let written = match row {
                Some(_) => self.store.replace(next).await?,
                None => self.store.insert(next, now).await?,
            };
            if written {
                return Ok(());
            }
        }
    }

    /// Publishes an event, and with `persistent` updates the snapshot first.
    fn publish(self: &Arc<Self>, event: SessionEvent, persistent: bool) -> BoxFuture<()> {
        let inner = Arc::clone(self);
        Box::pin(async move {
            let published = async {
                if persistent {
                    inner.update_snapshot(&event).await?;
                }
                inner.send(BusPayload::Event(event)).await
            };
            match timeout(TIMEOUT, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot publish a session event"),
                Err(_) => tracing::warn!("cannot publish a session event: the store timed out"),
            }
        })
    }

    /// Delivers the events of the other replicas, and relays the streams that they ask for.
    async fn receive(&self, replica: LocalReplica, mut changes: Changes) {
        let mut received = HashSet::new();
        // Dropping this future ends the relays.
        let mut relays = JoinSet::new();
        while let Some(changed) = changes.next().await {
            while relays.try_join_next().is_some() {}
            let now = unix_millis();
            let rows = match changed {
                RowChange::Row(key) if received.contains(&key) => continue,
                RowChange::Row(key) => {
                    let row = self.store.get(EVENT_KIND, &key, now).await;
                    row.map(|row| row.into_iter().collect())
                }
                RowChange::Lagged => self.store.due(EVENT_KIND, now, BATCH_SIZE).await,
            };
            for row in rows.unwrap_or_default() {
                if received.len() > MAX_RECEIVED {
                    received.clear();
                }
                if !received.insert(row.key.clone()) {
                    continue;
                }
                let Ok(message) = serde_json::from_slice::<BusMessage>(&row.value) else {
                    continue;
                };
                if message.from == self.id {
                    continue;
                }
                match message.payload {
                    BusPayload::Event(event) => replica.deliver(event),
                    BusPayload::Resume {
                        session,
                        last,
                        relay: name,
                    } => {
                        if let Some(events) = replica.resume(&session, &last) {
                            relays.spawn(relay(Arc::clone(&self.store), events, name));
                        }
                    }
                }
            }
        }
    }

    /// Removes expired rows now and then.
    async fn expire(&self) {
        loop {
            tokio::time::sleep(EXPIRE_INTERVAL).await;
            if let Err(error) = self.store.expire(unix_millis(), BATCH_SIZE).await {
                tracing::debug!(%error, "cannot remove expired rows");
            }
        }
    }
}

impl SessionBus for StoreBus {
    fn run(&self, replica: LocalReplica) -> BoxFuture<()> {
        let inner = Arc::clone(&self.0);
        // Subscribed before this returns, so that nothing published from now on is missed.
        let events = inner.store.changes(EVENT_KIND);
        let pieces = inner.store.changes(PIECE_KIND);
        Box::pin(async move {
            tokio::join!(
                inner.receive(replica, events),
                inner.readers.notify(pieces),
                inner.expire()
            );
        })
    }

    fn publish(&self, event: SessionEvent) -> BoxFuture<()> {
        self.0.publish(event, true)
    }

    fn publish_transient(&self, event: SessionEvent) -> BoxFuture<()> {
        self.0.publish(event, false)
    }

    fn load(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>> {
        let (inner, session) = (Arc::clone(&self.0), session.to_owned());
        Box::pin(async move {
            let row = inner.store.get(SNAPSHOT_KIND, &session, unix_millis());
            let row = timeout(TIMEOUT, row).await.ok()?.ok()??;
            serde_json::from_slice(&row.value).ok()
        })
    }

    fn resume(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>> {
        let inner = Arc::clone(&self.0);
        let mut reader = RelayReader::new(Arc::clone(&inner.store), &inner.readers);
        let payload = BusPayload::Resume {
            session: session.to_owned(),
            last: last.to_owned(),
            relay: reader.name().to_owned(),
        };
        Box::pin(async move {
            inner.send(payload).await.ok()?;
            // The first piece says that a replica holds the stream.
            timeout(TIMEOUT, reader.next()).await.ok()??;
            let pieces = stream::unfold(reader, async |mut reader| {
                reader.next().await.map(|text| (text, reader))
            });
            Some(Box::pin(pieces) as EventText)
        })
    }
}

impl fmt::Debug for StoreBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBus")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
