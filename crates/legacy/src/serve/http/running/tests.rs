use super::super::endpoint::limits;
use super::super::exchange::guarded;
use super::super::sessions::tests::session;
use super::super::store::Name;
use super::*;
use crate::serve::Options;
use carryall_proto::budget::Amount;
use carryall_proto::{Caller, Notification};
use carryall_types::RawJson;
use futures_util::stream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::time::advance;

const SILENCE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(60);

fn note() -> Outgoing {
    Outgoing::Notification(Notification::new("n", RawJson::EMPTY_OBJECT))
}

fn answer(id: i64) -> Outgoing {
    Outgoing::Response(Response::result(id.into(), RawJson::EMPTY_OBJECT))
}

struct Bench {
    session: Arc<Session>,
    store: Arc<Store>,
    stream: Arc<ResumableStream>,
    places: Budget,
}

impl Bench {
    fn new() -> Self {
        let store = Arc::new(Store::new(limits(&Options::default())));
        let session = session("a");
        let stream = store.stream(Name::Answers(Some(&1.into())), &session.name, true);
        Self {
            session,
            store,
            stream,
            places: Budget::new(Amount::new(2, 0), Amount::new(1, 0)),
        }
    }

    async fn begin(&self, exchange: Exchange, one: bool) -> ResponseStart {
        UnansweredExchange::new(exchange, GRACE, &self.places, &self.session)
            .begin(one, SILENCE, &self.session, &self.stream)
            .await
    }
}

fn items(items: Vec<Outgoing>) -> Exchange {
    Box::pin(stream::iter(items))
}

/// Never says anything, and counts when it is dropped.
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
async fn the_first_thing_said_decides_what_the_response_is() {
    let bench = Bench::new();
    assert!(
        matches!(bench.begin(items(vec![answer(1)]), true).await, ResponseStart::Complete(all) if all.len() == 1)
    );
    assert!(
        matches!(bench.begin(items(vec![]), true).await, ResponseStart::Complete(all) if all.is_empty())
    );
    assert!(
        matches!(bench.begin(items(vec![answer(1), answer(2)]), false).await, ResponseStart::Complete(all) if all.len() == 2)
    );
    let ResponseStart::Stream(first, rest) = bench
        .begin(items(vec![answer(1), note(), answer(2)]), false)
        .await
    else {
        panic!()
    };
    assert_eq!(first, [answer(1), note()]);
    assert_eq!(rest.collect::<Vec<_>>().await, [answer(2)]);
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_pause_begin_a_stream_and_the_end_of_the_session_ends_it() {
    let bench = Bench::new();
    let dropped = Arc::default();
    let start = Instant::now();
    let begun = bench.begin(endless(&dropped), true).await;
    assert!(matches!(&begun, ResponseStart::Stream(first, _) if first.is_empty()));
    assert_eq!(start.elapsed().as_secs(), SILENCE.as_secs());
    drop(begun);
    let pausing = tokio::spawn({
        let stream = Arc::clone(&bench.stream);
        async move { stream.pause().await }
    });
    let begun = bench.begin(endless(&dropped), true).await;
    assert!(matches!(begun, ResponseStart::Stream(..)));
    assert_eq!(start.elapsed().as_secs(), SILENCE.as_secs(), "at once");
    pausing.abort();
    let other = Bench::new();
    let (begun, ()) = tokio::join!(other.begin(endless(&dropped), true), async {
        tokio::task::yield_now().await;
        other.session.end();
    });
    assert!(matches!(begun, ResponseStart::Ended));
    assert_eq!(dropped.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_whose_client_is_gone_goes_on_for_the_grace_time_if_there_is_a_place() {
    let bench = Bench::new();
    let dropped = Arc::default();
    for _ in 0..2 {
        drop(UnansweredExchange::new(
            endless(&dropped),
            GRACE,
            &bench.places,
            &bench.session,
        ));
    }
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(SeqCst), 1, "one caller has one place");
    advance(GRACE - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(dropped.load(SeqCst), 2);
    assert_eq!(bench.places.used().items, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_request() {
    let bench = Bench::new();
    let panics = || {
        Box::pin(stream::poll_fn(|_| -> Poll<Option<Outgoing>> {
            panic!("secret detail")
        }))
    };
    let ResponseStart::Complete(answers) = bench.begin(guarded(panics(), 7.into()), true).await
    else {
        panic!()
    };
    assert_eq!(
        answers,
        [Response::error(7.into(), ErrorObject::internal())]
    );
    // Behind the guard too: a reader never waits for a writer that is gone.
    assert!(bench.store.keep(&bench.stream, &Caller::Anonymous));
    let mut reader = Reader::new(bench.stream.read(Some(0)), SILENCE);
    write(
        Arc::clone(&bench.store),
        Arc::clone(&bench.session),
        Arc::clone(&bench.stream),
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
