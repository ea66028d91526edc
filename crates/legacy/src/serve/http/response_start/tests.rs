use super::super::session::tests::session_with_server;
use super::super::stream::{
    EventBody, ResumableStream, StreamControl, StreamKind, StreamLimits, StreamStore, write,
};
use super::*;
use crate::serve::LegacyOptions;
use crate::serve::exchange::catch_panics;
use crate::serve::server_context::ServerContext;
use carryall_proto::budget::Amount;
use carryall_proto::{Caller, Notification};
use carryall_types::{ErrorObject, RawJson};
use futures_util::stream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use tokio::time::{Instant, advance};

const SSE_AFTER: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(60);

fn notification() -> Outgoing {
    Outgoing::Notification(Notification::new("n", RawJson::EMPTY_OBJECT))
}

fn response(id: i64) -> Outgoing {
    Outgoing::Response(Response::result(id.into(), RawJson::EMPTY_OBJECT))
}

struct Fixture {
    session: Arc<HttpSession>,
    server: ServerContext,
    deferred: Arc<DeferredStream>,
    detached: Budget,
}

impl Fixture {
    fn new() -> Self {
        let (session, server) = session_with_server("a", Caller::Anonymous);
        Self {
            session,
            server,
            deferred: DeferredStream::new(true),
            detached: Budget::new(Amount::new(2, 0), Amount::new(1, 0)),
        }
    }

    fn unanswered(&self, exchange: Exchange) -> UnansweredExchange {
        UnansweredExchange::new(exchange, GRACE, &self.detached, &self.session)
    }

    async fn start(&self, exchange: Exchange, is_single: bool) -> ResponseStart {
        self.unanswered(exchange)
            .start(is_single, SSE_AFTER, &self.deferred)
            .await
    }

    fn stream(&self) -> (Arc<StreamStore>, Arc<ResumableStream>) {
        let limits = StreamLimits::new(&LegacyOptions::default());
        let store = Arc::new(StreamStore::new(limits, self.server.background.spawner()));
        let kind = StreamKind::Responses(Some(1.into()));
        let stream = store.create(&kind, &self.session.name, true);
        assert!(store.keep(&stream, &Caller::Anonymous));
        (store, stream)
    }
}

fn items(items: Vec<Outgoing>) -> Exchange {
    Box::pin(stream::iter(items))
}

/// Never sends anything, and counts when it is dropped.
fn endless(dropped: &Arc<AtomicUsize>) -> Exchange {
    struct OnDrop(Arc<AtomicUsize>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let guard = OnDrop(Arc::clone(dropped));
    Box::pin(stream::poll_fn(move |_| {
        let _ = &guard;
        Poll::Pending
    }))
}

#[tokio::test(start_paused = true)]
async fn the_first_message_decides_how_the_response_starts() {
    let fixture = Fixture::new();
    assert!(
        matches!(fixture.start(items(vec![response(1)]), true).await, ResponseStart::Complete(all) if all.len() == 1)
    );
    assert!(
        matches!(fixture.start(items(vec![]), true).await, ResponseStart::Complete(all) if all.is_empty())
    );
    assert!(
        matches!(fixture.start(items(vec![response(1), response(2)]), false).await, ResponseStart::Complete(all) if all.len() == 2)
    );
    let ResponseStart::Stream(first, rest) = fixture
        .start(items(vec![response(1), notification(), response(2)]), false)
        .await
    else {
        panic!()
    };
    assert_eq!(first, [response(1), notification()]);
    assert_eq!(rest.collect::<Vec<_>>().await, [response(2)]);
}

#[tokio::test(start_paused = true)]
async fn silence_or_a_pause_starts_a_stream_and_the_end_of_the_session_ends_it() {
    let fixture = Fixture::new();
    let dropped = Arc::default();
    let start = Instant::now();
    let started = fixture.start(endless(&dropped), true).await;
    assert!(matches!(&started, ResponseStart::Stream(first, _) if first.is_empty()));
    assert_eq!(start.elapsed().as_secs(), SSE_AFTER.as_secs());
    drop(started);
    let pausing = tokio::spawn({
        let control = StreamControl::new(&fixture.deferred);
        async move { control.pause().await }
    });
    let started = fixture.start(endless(&dropped), true).await;
    assert!(matches!(started, ResponseStart::Stream(..)));
    assert_eq!(start.elapsed().as_secs(), SSE_AFTER.as_secs(), "at once");
    pausing.abort();
    let other = Fixture::new();
    let (started, ()) = tokio::join!(other.start(endless(&dropped), true), async {
        tokio::task::yield_now().await;
        other.session.end();
    });
    assert!(matches!(started, ResponseStart::SessionEnded));
    assert_eq!(dropped.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_of_a_disconnected_client_goes_on_for_the_grace_period_within_the_quota() {
    let fixture = Fixture::new();
    let dropped = Arc::default();
    for _ in 0..2 {
        drop(fixture.unanswered(endless(&dropped)));
    }
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(SeqCst), 1, "the quota of one caller is 1");
    advance(GRACE - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(dropped.load(SeqCst), 2);
    assert_eq!(fixture.detached.used().items, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_request() {
    let fixture = Fixture::new();
    let panics = || {
        Box::pin(stream::poll_fn(|_| -> Poll<Option<Outgoing>> {
            panic!("secret detail")
        }))
    };
    let ResponseStart::Complete(answers) =
        fixture.start(catch_panics(panics(), 7.into()), true).await
    else {
        panic!()
    };
    assert_eq!(
        answers,
        [Response::error(7.into(), ErrorObject::internal())]
    );
    // A reader does not wait for a writer that has panicked itself.
    let (store, stream) = fixture.stream();
    let mut reader = EventBody::new(stream.read(Some(0)), SSE_AFTER);
    write(
        &fixture.server.background.spawner(),
        &store,
        Arc::clone(&fixture.session),
        stream,
        Some(1.into()),
        panics(),
    );
    let text = reader.next().await.unwrap();
    assert!(
        String::from_utf8_lossy(&text).contains(r#""id":1,"error":{"code":-32603"#),
        "{text:?}"
    );
    assert_eq!(reader.next().await, None);
}
