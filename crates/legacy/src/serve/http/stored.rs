//! Replicas that meet in a store they share, instead of calling each other.
//!
//! What one tells the others is a row that lasts a minute, and what is known of a session is a row
//! that lasts as long as a session may. A stream that is gone on with elsewhere is handed over
//! piece by piece, each piece a row that its reader removes.

use super::endpoint::now_millis as now;
use super::meeting::{EventText, Here, Note, SessionBus, SessionSnapshot, What, random_name};
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_proto::sync::Mutex;
use carryall_store::{Changed, Row, Store, StoreResult};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, MutexGuard, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The kinds of rows: what replicas tell each other, what is known of sessions, and pieces of
/// streams.
const TOLD: &str = "session-told";
const KNOWN: &str = "session-known";
const PIECES: &str = "session-pieces";
/// How long what was told, and a piece that nobody reads, is kept, in milliseconds.
const TOLD_KEPT: u64 = 60_000;
/// How long it is kept what is known of a session, unless its end is known.
const KNOWN_KEPT: u64 = 24 * 60 * 60 * 1000;
/// How far the clocks of two replicas may differ without an ended session coming back to life: its
/// end is stored this much longer than its token is good for.
pub(super) const MAX_SKEW: Duration = Duration::from_secs(10 * 60);
/// How long a store, and the replica that holds a stream, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a reader looks for a piece whose news got lost, and a writer for whether there is a
/// reader.
const LOOK: Duration = Duration::from_secs(1);
/// How many pieces may be unread, and for how many looks.
const UNREAD: (u64, u32) = (64, 30);
/// How many of those that were told last are looked through after news got lost, and how many are
/// remembered.
const LOST: usize = 1_000;
const HEARD: usize = 10_000;
const SWEEP: Duration = Duration::from_secs(10);

/// The other replicas, wherever they are: all that have the same store. They need not know of each
/// other.
#[derive(Clone)]
pub struct StoreBus(Arc<Shared>);

struct Shared {
    /// Tells this replica from the others.
    own: String,
    store: Arc<dyn Store>,
    here: OnceLock<Here>,
    background: OnceLock<Background>,
    /// Readers of streams that are elsewhere, by the names of their readings.
    readers: Mutex<HashMap<String, Arc<Notify>>>,
}

struct Background(Vec<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Serialize, Deserialize)]
struct Message {
    from: String,
    say: Say,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Say {
    Note(Note),
    /// Whoever has the stream of this event is to hand it over, under this name.
    Events {
        session: String,
        last: String,
        reading: String,
    },
}

impl StoreBus {
    /// The replicas that have this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Shared {
            own: random_name(),
            store,
            here: OnceLock::new(),
            background: OnceLock::new(),
            readers: Mutex::default(),
        }))
    }
}

impl Shared {
    /// Begins to hear, as soon as there is an executor to do it on.
    fn start(self: &Arc<Self>) {
        if self.background.get().is_some() {
            return;
        }
        let Ok(executor) = tokio::runtime::Handle::try_current() else {
            return;
        };
        self.background.get_or_init(|| {
            let (told, pieces) = (self.store.changes(TOLD), self.store.changes(PIECES));
            let shared = || Arc::downgrade(self);
            Background(vec![
                executor.spawn(hear(shared(), told)),
                executor.spawn(hear_pieces(shared(), pieces)),
                executor.spawn(sweep(shared())),
            ])
        });
    }

    async fn tell(&self, say: Say) -> StoreResult<()> {
        let now = now();
        let message = Message {
            from: self.own.clone(),
            say,
        };
        let value = Bytes::from(serde_json::to_vec(&message).unwrap_or_default());
        let (expires_at, due_at) = (Some(now + TOLD_KEPT), Some(now));
        let row = Row {
            kind: TOLD,
            key: random_name(),
            version: 1,
            value,
            expires_at,
            due_at,
        };
        self.store.insert(row, now).await.map(drop)
    }

    /// Notes what a replica that has not met the session has to know.
    async fn remember(&self, note: &Note) -> StoreResult<()> {
        loop {
            let now = now();
            let row = self.store.get(KNOWN, &note.session, now).await?;
            let mut known: SessionSnapshot = row
                .as_ref()
                .and_then(|row| serde_json::from_slice(&row.value).ok())
                .unwrap_or_default();
            let mut expires_at = now + KNOWN_KEPT;
            match &note.what {
                What::LogLevel(level) => known.log_level = Some(*level),
                What::Subscribed(uri) => known.subscribe(uri),
                What::Unsubscribed(uri) => known.subscribed.retain(|known| known != uri),
                What::Ended { until } => {
                    known.ended = true;
                    expires_at = until
                        .saturating_add(MAX_SKEW.as_secs())
                        .saturating_mul(1000);
                }
                What::Answer(_) | What::Cancelled(_) | What::Listening | What::Posted(_) => {
                    return Ok(());
                }
            }
            let value = Bytes::from(serde_json::to_vec(&known).unwrap_or_default());
            let (key, version) = (
                note.session.to_string(),
                row.as_ref().map_or(1, |row| row.version + 1),
            );
            let next = Row {
                kind: KNOWN,
                key,
                version,
                value,
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

    /// Tells the others, within a time. With `remembered` also those that come later.
    fn publish(self: &Arc<Self>, note: Note, remembered: bool) -> BoxFuture<()> {
        let shared = Arc::clone(self);
        shared.start();
        Box::pin(async move {
            let told = async {
                if remembered {
                    shared.remember(&note).await?;
                }
                shared.tell(Say::Note(note)).await
            };
            match timeout(PATIENCE, told).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the other replicas were not told"),
                Err(_) => tracing::warn!("the other replicas were not told in time"),
            }
        })
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.readers.lock()
    }

    fn act(self: &Arc<Self>, row: &Row) {
        let Ok(message) = serde_json::from_slice::<Message>(&row.value) else {
            return;
        };
        let Some(here) = self.here.get().filter(|_| message.from != self.own) else {
            return;
        };
        match message.say {
            Say::Note(note) => here.hear(note),
            Say::Events {
                session,
                last,
                reading,
            } => {
                if let Some(events) = here.events(&session, &last) {
                    drop(tokio::spawn(hand_over(
                        Arc::clone(&self.store),
                        events,
                        reading,
                    )));
                }
            }
        }
    }
}

/// Hears what the others tell.
async fn hear(shared: Weak<Shared>, mut changes: carryall_store::Changes) {
    let mut heard = HashSet::new();
    while let Some(changed) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let rows = match changed {
            Changed::Row(key) if heard.contains(&key) => continue,
            Changed::Row(key) => shared
                .store
                .get(TOLD, &key, now())
                .await
                .map(|row| row.into_iter().collect()),
            Changed::Some => shared.store.due(TOLD, now(), LOST).await,
        };
        for row in rows.unwrap_or_default() {
            if heard.len() > HEARD {
                heard.clear();
            }
            if heard.insert(row.key.clone()) {
                shared.act(&row);
            }
        }
    }
}

async fn hear_pieces(shared: Weak<Shared>, mut changes: carryall_store::Changes) {
    while let Some(changed) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match changed {
            Changed::Row(key) => {
                let reader = key
                    .split(' ')
                    .next()
                    .and_then(|reading| shared.readers().get(reading).cloned());
                reader.iter().for_each(|reader| reader.notify_one());
            }
            Changed::Some => shared
                .readers()
                .values()
                .for_each(|reader| reader.notify_one()),
        }
    }
}

async fn sweep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Err(error) = shared.store.expire(now(), LOST).await {
            tracing::debug!(%error, "cannot remove what has ended");
        }
    }
}

/// A piece of a stream; none at its end.
fn piece(reading: &str, number: u64, text: Option<&Bytes>) -> Row {
    let mut value = vec![u8::from(text.is_some())];
    value.extend_from_slice(text.map_or(&[], |text| text));
    let (key, expires_at) = (piece_name(reading, number), Some(now() + TOLD_KEPT));
    Row {
        kind: PIECES,
        key,
        version: 1,
        value: value.into(),
        expires_at,
        due_at: None,
    }
}

fn piece_name(reading: &str, number: u64) -> String {
    format!("{reading} {number}")
}

/// Hands a stream over, as long as somebody reads it. The first piece is empty, and says that the
/// stream is here.
async fn hand_over(store: Arc<dyn Store>, mut events: EventText, reading: String) {
    if store
        .insert(piece(&reading, 0, Some(&Bytes::new())), now())
        .await
        .is_err()
    {
        return;
    }
    for number in 1_u64.. {
        let text = events.next().await;
        if let Some(oldest) = number.checked_sub(UNREAD.0) {
            let mut looks = 0;
            while !matches!(
                store
                    .get(PIECES, &piece_name(&reading, oldest), now())
                    .await,
                Ok(None)
            ) {
                looks += 1;
                if looks > UNREAD.1 {
                    tracing::debug!("nobody reads a stream that was handed over");
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        if store
            .insert(piece(&reading, number, text.as_ref()), now())
            .await
            .is_err()
            || text.is_none()
        {
            return;
        }
    }
}

/// A reader of a stream that is elsewhere.
struct Reader {
    shared: Arc<Shared>,
    reading: String,
    next: u64,
    more: Arc<Notify>,
}

impl Reader {
    fn new(shared: Arc<Shared>) -> Self {
        let (reading, more) = (random_name(), Arc::new(Notify::new()));
        shared.readers().insert(reading.clone(), Arc::clone(&more));
        Self {
            shared,
            reading,
            next: 0,
            more,
        }
    }

    /// The next piece, however long it takes. `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let name = piece_name(&self.reading, self.next);
        loop {
            if let Ok(Some(row)) = self.shared.store.get(PIECES, &name, now()).await {
                self.next += 1;
                drop(self.shared.store.remove(PIECES, &name, row.version).await);
                let text = row.value.slice(1.min(row.value.len())..);
                return row
                    .value
                    .first()
                    .is_some_and(|first| *first == 1)
                    .then_some(text);
            }
            // News that got lost are made up for.
            drop(timeout(LOOK, self.more.notified()).await);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.readers().remove(&self.reading);
    }
}

impl SessionBus for StoreBus {
    fn join(&self, here: Here) {
        self.0.here.get_or_init(|| here);
        self.0.start();
    }

    fn publish(&self, note: Note) -> BoxFuture<()> {
        self.0.publish(note, true)
    }

    fn publish_now(&self, note: Note) -> BoxFuture<()> {
        self.0.publish(note, false)
    }

    fn recall(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>> {
        let (shared, session) = (Arc::clone(&self.0), session.to_owned());
        shared.start();
        Box::pin(async move {
            let row = timeout(PATIENCE, shared.store.get(KNOWN, &session, now()))
                .await
                .ok()?
                .ok()??;
            serde_json::from_slice(&row.value).ok()
        })
    }

    fn events(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>> {
        let shared = Arc::clone(&self.0);
        shared.start();
        let mut reader = Reader::new(Arc::clone(&shared));
        let (session, last, reading) =
            (session.to_owned(), last.to_owned(), reader.reading.clone());
        Box::pin(async move {
            shared
                .tell(Say::Events {
                    session,
                    last,
                    reading,
                })
                .await
                .ok()?;
            // The first piece says that somebody has the stream.
            timeout(PATIENCE, reader.next()).await.ok()??;
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
