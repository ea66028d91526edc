//! Relays an event stream from one replica to another through a store, piece by piece: each piece
//! is a row that its reader removes.

use super::{EventText, random_name};
use crate::serve::clock::unix_millis;
use bytes::Bytes;
use carryall_proto::sync::Mutex;
use carryall_store::{Changes, Row, RowChange, Store};
use futures_util::StreamExt as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The kind of the rows that are pieces of streams.
pub(super) const PIECE_KIND: &str = "session-pieces";
/// How long a piece is kept that nobody reads, in milliseconds.
const PIECE_LIFETIME: u64 = 60_000;
/// How often a reader polls in case a change notification was lost, and how often a writer checks
/// for its reader.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of unread pieces.
const MAX_UNREAD: u64 = 64;
/// A writer gives up after this many checks of an unread piece.
const MAX_CHECKS: u32 = 30;

/// Writes `events` as the relay `name` for as long as they are read. The first piece is empty, and
/// says that the stream is held here.
pub(super) async fn relay(store: Arc<dyn Store>, mut events: EventText, name: String) {
    let opening = piece(&name, 0, Some(&Bytes::new()));
    if store.insert(opening, unix_millis()).await.is_err() {
        return;
    }
    for number in 1_u64.. {
        let text = events.next().await;
        if let Some(oldest) = number.checked_sub(MAX_UNREAD)
            && !is_read(&*store, &piece_key(&name, oldest)).await
        {
            tracing::debug!("nobody reads a relayed stream");
            return;
        }
        let piece = piece(&name, number, text.as_ref());
        if store.insert(piece, unix_millis()).await.is_err() || text.is_none() {
            return;
        }
    }
}

/// Waits until a piece was removed. Returns `false` if that takes too long.
async fn is_read(store: &dyn Store, key: &str) -> bool {
    for _ in 0..=MAX_CHECKS {
        if let Ok(None) = store.get(PIECE_KIND, key, unix_millis()).await {
            return true;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    false
}

/// Returns the row of a piece: a byte that says whether there is text, then the text. The last
/// piece has none.
fn piece(relay: &str, number: u64, text: Option<&Bytes>) -> Row {
    let mut value = vec![u8::from(text.is_some())];
    value.extend_from_slice(text.map_or(&[], |text| text));
    Row {
        kind: PIECE_KIND,
        key: piece_key(relay, number),
        version: 1,
        value: value.into(),
        expires_at: Some(unix_millis() + PIECE_LIFETIME),
        due_at: None,
    }
}

fn piece_key(relay: &str, number: u64) -> String {
    format!("{relay} {number}")
}

/// The readers of relayed streams on this replica, by the names of the relays. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct RelayReaders(Arc<Mutex<HashMap<String, Arc<Notify>>>>);

impl RelayReaders {
    /// Wakes the readers whose pieces have changed.
    pub(super) async fn notify(&self, mut changes: Changes) {
        while let Some(changed) = changes.next().await {
            match changed {
                RowChange::Row(key) => {
                    let name = key.split(' ').next().unwrap_or_default();
                    if let Some(reader) = self.0.lock().get(name) {
                        reader.notify_one();
                    }
                }
                RowChange::Lagged => {
                    for reader in self.0.lock().values() {
                        reader.notify_one();
                    }
                }
            }
        }
    }
}

/// Reads a stream that another replica relays.
pub(super) struct RelayReader {
    store: Arc<dyn Store>,
    readers: RelayReaders,
    name: String,
    next: u64,
    changed: Arc<Notify>,
}

impl RelayReader {
    pub(super) fn new(store: Arc<dyn Store>, readers: &RelayReaders) -> Self {
        let (name, changed) = (random_name(), Arc::new(Notify::new()));
        readers.0.lock().insert(name.clone(), Arc::clone(&changed));
        Self {
            store,
            readers: readers.clone(),
            name,
            next: 0,
            changed,
        }
    }

    /// Returns the name of the relay to read.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the next piece; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let key = piece_key(&self.name, self.next);
        loop {
            if let Ok(Some(row)) = self.store.get(PIECE_KIND, &key, unix_millis()).await {
                self.next += 1;
                drop(self.store.remove(PIECE_KIND, &key, row.version).await);
                let has_text = row.value.first() == Some(&1);
                return has_text.then(|| row.value.slice(1..));
            }
            drop(timeout(POLL_INTERVAL, self.changed.notified()).await);
        }
    }
}

impl Drop for RelayReader {
    fn drop(&mut self) {
        self.readers.0.lock().remove(&self.name);
    }
}
