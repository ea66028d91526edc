//! The streams of this process that are open, or can still be read again.

use super::super::conversation::Outgoing;
use super::events::{CallerUsage, ResumableStream, StreamLimits, Subject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_proto::Caller;
use carryall_proto::sync::Mutex;
use carryall_types::RequestId;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A longer request id does not go into event ids.
const MAX_SUBJECT_BYTES: usize = 64;

/// How long to wait at least before it is looked again whether a stream has been kept for long
/// enough.
const MIN_SWEEP: Duration = Duration::from_secs(1);

/// All streams, bounded in number, bytes and time, in total and for each caller.
#[derive(Debug)]
pub(super) struct Store {
    limits: StreamLimits,
    table: Mutex<Table>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    streams: HashMap<Arc<str>, Arc<ResumableStream>>,
    /// In the order in which they finished.
    finished: VecDeque<(Instant, Arc<str>)>,
    /// What each caller holds; those with no stream have no entry.
    callers: HashMap<Caller, Arc<CallerUsage>>,
    /// There is a task that forgets what has been kept for long enough.
    has_sweeper: bool,
}

impl Store {
    pub(super) fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// A stream that is not in the table yet.
    pub(super) fn stream(
        &self,
        name: Name<'_>,
        session: &Arc<str>,
        polls: bool,
    ) -> Arc<ResumableStream> {
        ResumableStream::new(name.stream_id(), Arc::clone(session), polls, self.limits)
    }

    /// Keeps a stream from now on, for this caller. `false` when there are too many.
    pub(super) fn keep(&self, stream: &Arc<ResumableStream>, caller: &Caller) -> bool {
        let mut table = self.sweep();
        let usage = table.callers.get(caller).cloned();
        let own = usage
            .as_ref()
            .map_or(0, |usage| usage.streams.load(Relaxed));
        if own >= self.limits.share.items && !self.forget_oldest(&mut table, usage.as_ref(), None) {
            return false;
        }
        if table.streams.len() >= self.limits.streams
            && !self.forget_oldest(&mut table, usage.as_ref(), None)
            && !self.forget_oldest(&mut table, None, None)
        {
            return false;
        }
        let usage = usage.unwrap_or_else(|| {
            let (streams, bytes) = Default::default();
            let usage = Arc::new(CallerUsage {
                caller: caller.clone(),
                streams,
                bytes,
            });
            table.callers.insert(caller.clone(), Arc::clone(&usage));
            usage
        });
        usage.streams.fetch_add(1, Relaxed);
        stream.set_usage(usage);
        table
            .streams
            .insert(Arc::clone(&stream.id), Arc::clone(stream));
        true
    }

    pub(super) fn find(&self, id: &str, session: &str) -> Option<Arc<ResumableStream>> {
        let table = self.sweep();
        table
            .streams
            .get(id)
            .filter(|stream| *stream.session == *session)
            .cloned()
    }

    /// Adds a message to a kept stream. What is only kept to be read again makes room: the oldest
    /// of the same caller first, and that of others only when all of them together hold too much.
    pub(super) fn append(&self, stream: &ResumableStream, message: &Outgoing) {
        self.count(stream, stream.append(message));
        if self.is_full(stream) {
            self.make_room(stream);
        }
        if self.is_full(stream) {
            let shed = stream.shed();
            self.count(stream, -shed.cast_signed());
        }
    }

    /// Whether there is no room for more on this stream.
    pub(super) fn is_full(&self, stream: &ResumableStream) -> bool {
        self.bytes.load(Relaxed) > self.limits.all_bytes || self.is_share_full(stream)
    }

    fn is_share_full(&self, stream: &ResumableStream) -> bool {
        stream
            .usage()
            .is_some_and(|usage| usage.bytes.load(Relaxed) > self.limits.share.bytes)
    }

    /// Forgets finished streams, but not this one, until there is room or there are no more.
    fn make_room(&self, stream: &ResumableStream) {
        let mut table = self.sweep();
        while self.is_full(stream)
            && self.forget_oldest(&mut table, stream.usage(), Some(&stream.id))
        {}
        while self.bytes.load(Relaxed) > self.limits.all_bytes
            && self.forget_oldest(&mut table, None, Some(&stream.id))
        {}
    }

    fn count(&self, stream: &ResumableStream, grown: isize) {
        let add = |counter: &AtomicUsize| match usize::try_from(grown) {
            Ok(grown) => counter.fetch_add(grown, Relaxed),
            Err(_) => counter.fetch_sub(grown.unsigned_abs(), Relaxed),
        };
        add(&self.bytes);
        stream
            .usage()
            .into_iter()
            .for_each(|usage| _ = add(&usage.bytes));
    }

    /// Nothing comes on this stream any more; it can be read again for a while.
    pub(super) fn finish(self: &Arc<Self>, stream: &ResumableStream) {
        stream.complete();
        if self.is_full(stream) {
            self.make_room(stream);
        }
        let mut table = self.sweep();
        if !table.streams.contains_key(&stream.id) {
            return;
        }
        table
            .finished
            .push_back((Instant::now(), Arc::clone(&stream.id)));
        if let Ok(executor) = Handle::try_current()
            && !std::mem::replace(&mut table.has_sweeper, true)
        {
            executor.spawn(sweep_until_empty(Arc::downgrade(self)));
        }
    }

    /// Drops a stream, whatever is on it.
    pub(super) fn forget(&self, stream: &ResumableStream) {
        let mut table = self.lock();
        self.remove(&mut table, &stream.id);
    }

    /// Forgets what finished too long ago.
    fn sweep(&self) -> MutexGuard<'_, Table> {
        let mut table = self.lock();
        let now = Instant::now();
        while table
            .finished
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= self.limits.kept)
        {
            if let Some((_, id)) = table.finished.pop_front() {
                self.remove(&mut table, &id);
            }
        }
        table
    }

    /// Forgets the finished stream that is the oldest one, of this caller if one is given. `except`
    /// stays.
    fn forget_oldest(
        &self,
        table: &mut Table,
        of: Option<&Arc<CallerUsage>>,
        except: Option<&str>,
    ) -> bool {
        let may_go = |id: &Arc<str>| {
            let usage = table.streams.get(id).and_then(|stream| stream.usage());
            except != Some(&**id)
                && of.is_none_or(|of| usage.is_some_and(|usage| Arc::ptr_eq(usage, of)))
        };
        let Some(at) = table.finished.iter().position(|(_, id)| may_go(id)) else {
            return false;
        };
        let Some((_, id)) = table.finished.remove(at) else {
            return false;
        };
        self.remove(table, &id);
        true
    }

    fn remove(&self, table: &mut Table, id: &str) {
        let Some(stream) = table.streams.remove(id) else {
            return;
        };
        stream.close();
        let taken = stream.take();
        self.count(&stream, -taken.cast_signed());
        if let Some(usage) = stream.usage()
            && usage.streams.fetch_sub(1, Relaxed) == 1
        {
            table.callers.remove(&usage.caller);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.lock().streams.len(), self.bytes.load(Relaxed))
    }
}

/// Forgets finished streams when their time is over, also when nobody calls any more.
async fn sweep_until_empty(store: Weak<Store>) {
    loop {
        let pause = {
            let Some(store) = store.upgrade() else { return };
            let mut table = store.sweep();
            match table.finished.front() {
                Some((finished_at, _)) => {
                    (*finished_at + store.limits.kept).duration_since(Instant::now())
                }
                None => {
                    table.has_sweeper = false;
                    return;
                }
            }
        };
        tokio::time::sleep(pause.max(MIN_SWEEP)).await;
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
    /// A new id. The request is in it so that a replica that does not have the stream can still say
    /// that the answer is lost.
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
        ("r", rest) => Kind::Answers(rest.split_once('.').and_then(|(_, request)| {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request).ok()?).ok()
        })),
        _ => return None,
    };
    Some(EventId {
        stream,
        number,
        kind,
    })
}

#[cfg(test)]
mod tests;
