//! The streams of this process that are open, or can still be resumed.

use super::event_id::StreamKind;
use super::resumable::{CallerUsage, ResumableStream, StreamLimits};
use crate::serve::background::Spawner;
use crate::serve::exchange::Outgoing;
use carryall_proto::Caller;
use carryall_proto::sync::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Minimum delay between two removals of finished streams.
const MIN_SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// All streams, bounded in number, bytes and time, in total and for each caller.
#[derive(Debug)]
pub(crate) struct StreamStore {
    limits: StreamLimits,
    spawner: Spawner,
    table: Mutex<StreamTable>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct StreamTable {
    streams: HashMap<Arc<str>, Arc<ResumableStream>>,
    /// In the order in which they finished.
    finished: VecDeque<(Instant, Arc<str>)>,
    /// The usage of each caller that has streams.
    callers: HashMap<Caller, Arc<CallerUsage>>,
    /// A task removes streams after their retention time.
    has_sweeper: bool,
}

impl StreamStore {
    /// Creates an empty store. `spawner` runs the task that removes finished streams.
    pub(crate) fn new(limits: StreamLimits, spawner: Spawner) -> Self {
        Self {
            limits,
            spawner,
            table: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Creates a stream with these limits. It is not kept yet.
    pub(crate) fn create(
        &self,
        kind: &StreamKind,
        session: &Arc<str>,
        polls: bool,
    ) -> Arc<ResumableStream> {
        ResumableStream::new(
            kind.new_stream_id(),
            Arc::clone(session),
            polls,
            self.limits,
        )
    }

    /// Keeps a stream for this caller. Returns `false` if there are too many.
    pub(crate) fn keep(&self, stream: &Arc<ResumableStream>, caller: &Caller) -> bool {
        let mut table = self.sweep();
        let usage = table.callers.get(caller).cloned();
        let own = usage
            .as_ref()
            .map_or(0, |usage| usage.streams.load(Relaxed));
        if own >= self.limits.share.items && !self.evict_oldest(&mut table, usage.as_ref(), None) {
            return false;
        }
        if table.streams.len() >= self.limits.streams
            && !self.evict_oldest(&mut table, usage.as_ref(), None)
            && !self.evict_oldest(&mut table, None, None)
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

    pub(crate) fn find(&self, id: &str, session: &str) -> Option<Arc<ResumableStream>> {
        let table = self.sweep();
        table
            .streams
            .get(id)
            .filter(|stream| *stream.session == *session)
            .cloned()
    }

    /// Adds a message to a kept stream. Finished streams are evicted to make room: the oldest of
    /// the same caller first, those of others only if all together exceed the total.
    pub(crate) fn append(&self, stream: &ResumableStream, message: &Outgoing) {
        self.count(stream, stream.append(message));
        if self.is_full(stream) {
            self.make_room(stream);
        }
        if self.is_full(stream) {
            let evicted = stream.evict_read();
            self.count(stream, -evicted.cast_signed());
        }
    }

    /// Waits until there is room for one more event on a stream.
    pub(crate) async fn wait_for_room(&self, stream: &ResumableStream) {
        stream.wait_for_room(|| self.is_full(stream)).await;
    }

    /// Returns whether there is no room for more on this stream.
    pub(crate) fn is_full(&self, stream: &ResumableStream) -> bool {
        self.bytes.load(Relaxed) > self.limits.all_bytes || self.is_share_full(stream)
    }

    fn is_share_full(&self, stream: &ResumableStream) -> bool {
        stream
            .usage()
            .is_some_and(|usage| usage.bytes.load(Relaxed) > self.limits.share.bytes)
    }

    /// Evicts finished streams other than this one, until there is room or none is left.
    fn make_room(&self, stream: &ResumableStream) {
        let mut table = self.sweep();
        while self.is_full(stream)
            && self.evict_oldest(&mut table, stream.usage(), Some(&stream.id))
        {}
        while self.bytes.load(Relaxed) > self.limits.all_bytes
            && self.evict_oldest(&mut table, None, Some(&stream.id))
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

    /// Ends a stream. It can be resumed for the retention time.
    pub(crate) fn finish(self: &Arc<Self>, stream: &ResumableStream) {
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
        let has_sweeper = std::mem::replace(&mut table.has_sweeper, true);
        drop(table);
        if !has_sweeper && !self.spawner.spawn(sweep_until_empty(Arc::clone(self))) {
            self.table.lock().has_sweeper = false;
        }
    }

    /// Removes a stream, whatever it holds.
    pub(crate) fn evict(&self, stream: &ResumableStream) {
        let mut table = self.table.lock();
        self.remove(&mut table, &stream.id);
    }

    /// Removes streams whose retention time is over.
    fn sweep(&self) -> MutexGuard<'_, StreamTable> {
        let mut table = self.table.lock();
        let now = Instant::now();
        while table
            .finished
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= self.limits.retention)
        {
            if let Some((_, id)) = table.finished.pop_front() {
                self.remove(&mut table, &id);
            }
        }
        table
    }

    /// Evicts the oldest finished stream, of this caller if one is given, but not `except`. Returns
    /// `false` if there is none.
    fn evict_oldest(
        &self,
        table: &mut StreamTable,
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

    fn remove(&self, table: &mut StreamTable, id: &str) {
        let Some(stream) = table.streams.remove(id) else {
            return;
        };
        stream.close();
        let removed = stream.clear();
        self.count(&stream, -removed.cast_signed());
        if let Some(usage) = stream.usage()
            && usage.streams.fetch_sub(1, Relaxed) == 1
        {
            table.callers.remove(&usage.caller);
        }
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.table.lock().streams.len(), self.bytes.load(Relaxed))
    }
}

/// Removes finished streams after their retention time, even if no request arrives any more.
async fn sweep_until_empty(store: Arc<StreamStore>) {
    loop {
        let pause = {
            let mut table = store.sweep();
            match table.finished.front() {
                Some((finished_at, _)) => {
                    (*finished_at + store.limits.retention).duration_since(Instant::now())
                }
                None => {
                    table.has_sweeper = false;
                    return;
                }
            }
        };
        tokio::time::sleep(pause.max(MIN_SWEEP_INTERVAL)).await;
    }
}

#[cfg(test)]
mod tests;
