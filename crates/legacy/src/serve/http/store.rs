//! The streams of this process that are open, or can still be read again.

use super::super::conversation::Outgoing;
use super::events::{EventStream, Limits, Subject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_types::RequestId;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A longer request id does not go into event ids.
const MAX_SUBJECT_BYTES: usize = 64;

/// All streams, bounded in number, bytes and time.
#[derive(Debug)]
pub(super) struct Store {
    limits: Limits,
    table: Mutex<Table>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    streams: HashMap<Arc<str>, Arc<EventStream>>,
    /// In the order in which they finished.
    finished: VecDeque<(Instant, Arc<str>)>,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, table: Mutex::default(), bytes: AtomicUsize::new(0) }
    }

    /// A stream that is not in the table yet.
    pub(super) fn stream(&self, name: Name<'_>, session: &Arc<str>, polls: bool) -> Arc<EventStream> {
        EventStream::new(name.stream_id(), Arc::clone(session), polls, self.limits)
    }

    /// Keeps a stream from now on. `false` when there are too many.
    pub(super) fn keep(&self, stream: &Arc<EventStream>) -> bool {
        let mut table = self.sweep(0);
        if table.streams.len() >= self.limits.streams && !self.forget_oldest(&mut table) {
            return false;
        }
        table.streams.insert(Arc::clone(&stream.id), Arc::clone(stream));
        true
    }

    pub(super) fn find(&self, id: &str, session: &str) -> Option<Arc<EventStream>> {
        let table = self.sweep(0);
        table.streams.get(id).filter(|stream| *stream.session == *session).cloned()
    }

    /// Adds a message to a kept stream. The oldest of what is only kept to be read again makes room.
    pub(super) fn append(&self, stream: &EventStream, message: &Outgoing) {
        let grown = stream.append(message);
        let all = match usize::try_from(grown) {
            Ok(grown) => self.bytes.fetch_add(grown, Relaxed) + grown,
            Err(_) => self.bytes.fetch_sub(grown.unsigned_abs(), Relaxed),
        };
        if all > self.limits.all_bytes {
            drop(self.sweep(self.limits.all_bytes));
            if self.is_full() {
                self.bytes.fetch_sub(stream.shed(), Relaxed);
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Relaxed) > self.limits.all_bytes
    }

    /// Nothing comes on this stream any more; it can be read again for a while.
    pub(super) fn finish(&self, stream: &EventStream) {
        stream.complete();
        let mut table = self.sweep(0);
        if table.streams.contains_key(&stream.id) {
            table.finished.push_back((Instant::now(), Arc::clone(&stream.id)));
        }
    }

    /// Drops a stream, whatever is on it.
    pub(super) fn forget(&self, stream: &EventStream) {
        let mut table = self.lock();
        self.remove(&mut table, &stream.id);
    }

    /// Forgets what finished too long ago, and more of it while there are more than `down_to` bytes, unless that is 0.
    fn sweep(&self, down_to: usize) -> MutexGuard<'_, Table> {
        let mut table = self.lock();
        let now = Instant::now();
        while let Some((finished_at, _)) = table.finished.front() {
            let old = now.duration_since(*finished_at) >= self.limits.kept;
            if !old && (down_to == 0 || self.bytes.load(Relaxed) <= down_to) {
                break;
            }
            self.forget_oldest(&mut table);
        }
        table
    }

    fn forget_oldest(&self, table: &mut Table) -> bool {
        let Some((_, id)) = table.finished.pop_front() else { return false };
        self.remove(table, &id);
        true
    }

    fn remove(&self, table: &mut Table, id: &str) {
        if let Some(stream) = table.streams.remove(id) {
            stream.close();
            self.bytes.fetch_sub(stream.take(), Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.lock().streams.len(), self.bytes.load(Relaxed))
    }
}

/// What the id of a stream tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    /// It answers one request, or several of a batch.
    Answers(Option<&'a RequestId>),
    /// It carries changes.
    Changes,
}

impl Name<'_> {
    /// A new id. The request is in it so that a replica that does not have the stream can still say that the answer is lost.
    fn stream_id(self) -> Arc<str> {
        let mut random = [0; 8];
        // Ids are unique per session, and a session's own streams are all that it can reach.
        getrandom::fill(&mut random).ok();
        let random = u64::from_be_bytes(random);
        match self {
            Self::Changes => format!("s{random:016x}").into(),
            Self::Answers(request) => {
                let request = request.and_then(|id| serde_json::to_vec(id).ok());
                match request.filter(|text| text.len() <= MAX_SUBJECT_BYTES) {
                    Some(text) => format!("r{random:016x}.{}", URL_SAFE_NO_PAD.encode(text)).into(),
                    None => format!("r{random:016x}").into(),
                }
            }
        }
    }
}

/// What an event id of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventId<'a> {
    pub(super) stream: &'a str,
    pub(super) number: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Answers(Subject),
    Changes,
}

/// Reads `Last-Event-ID`.
pub(super) fn event_id(text: &str) -> Option<EventId<'_>> {
    let (stream, number) = text.rsplit_once('-')?;
    let number = number.parse().ok()?;
    let kind = match stream.split_at_checked(1)? {
        ("s", _) => Kind::Changes,
        ("r", rest) => Kind::Answers(
            rest.split_once('.')
                .and_then(|(_, request)| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request).ok()?).ok()),
        ),
        _ => return None,
    };
    Some(EventId { stream, number, kind })
}

#[cfg(test)]
mod tests;
