//! Writes the messages of an exchange to its event stream.

use super::resumable::ResumableStream;
use super::store::StreamStore;
use crate::serve::background::Spawner;
use crate::serve::exchange::Outgoing;
use carryall_proto::Response;
use carryall_types::{ErrorObject, RequestId, code};
use futures_core::Stream;
use futures_util::StreamExt as _;
use std::sync::Arc;

/// Spawns a task that writes `items` to `stream`, until they end, or nobody has read the stream for
/// the grace period, or the stream is closed. `request` is the request that the stream answers.
///
/// `held` is kept until then: a session that is being written to is not evicted.
pub(crate) fn write(
    spawner: &Spawner,
    store: &Arc<StreamStore>,
    held: impl Send + 'static,
    stream: Arc<ResumableStream>,
    request: Option<RequestId>,
    items: impl Stream<Item = Outgoing> + Send + 'static,
) {
    let guard = WriterGuard {
        store: Arc::clone(store),
        stream,
        request,
    };
    spawner.spawn(async move {
        let _held = held;
        let WriterGuard {
            store,
            stream,
            request,
        } = &guard;
        let write_all = async {
            let mut items = std::pin::pin!(items);
            while let Some(item) = items.next().await {
                store.wait_for_room(stream).await;
                store.append(stream, &item);
            }
        };
        let is_abandoned = tokio::select! {
            biased;
            () = write_all => false,
            () = stream.abandoned() => true,
        };
        if let (true, Some(id)) = (is_abandoned, request) {
            tracing::debug!(%id, "a request was cancelled: its client did not come back");
            let error = ErrorObject::new(
                code::INTERNAL_ERROR,
                "Cancelled: nobody read the stream of this request",
            );
            let response = Response::error(id.clone(), error);
            store.append(stream, &Outgoing::Response(response));
        }
    });
}

/// Finishes the stream when its writer ends for whatever reason, so that readers do not wait for
/// more.
struct WriterGuard {
    store: Arc<StreamStore>,
    stream: Arc<ResumableStream>,
    request: Option<RequestId>,
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(id) = &self.request
        {
            let response = Response::error(id.clone(), ErrorObject::internal());
            self.store
                .append(&self.stream, &Outgoing::Response(response));
        }
        self.store.finish(&self.stream);
    }
}
