use super::super::running::Reader;
use super::*;
use carryall_proto::Notification;
use carryall_proto::budget::Amount;
use carryall_types::RawJson;
use futures_util::{FutureExt as _, StreamExt as _};
use std::time::Duration;
use tokio::time::advance;

const GRACE: Duration = Duration::from_secs(60);

const LIMITS: StreamLimits = StreamLimits {
    events: 4,
    bytes: 4096,
    streams: 3,
    all_bytes: 8192,
    kept: Duration::from_secs(300),
    grace: GRACE,
    retry: Duration::from_millis(250),
    share: Amount::new(3, 8192),
};

fn said(n: usize) -> Outgoing {
    Outgoing::Notification(Notification::new(
        "n",
        RawJson::from(&serde_json::json!({ "n": n })),
    ))
}

fn large(bytes: usize) -> Outgoing {
    Outgoing::Notification(Notification::new(
        "n",
        RawJson::from(&serde_json::json!({ "x": "x".repeat(bytes) })),
    ))
}

struct Bench {
    store: Arc<Store>,
    session: Arc<str>,
}

impl Bench {
    fn new() -> Self {
        Self {
            store: Arc::new(Store::new(LIMITS)),
            session: "alice".into(),
        }
    }

    fn with_shares(share: Amount) -> Self {
        Self {
            store: Arc::new(Store::new(StreamLimits { share, ..LIMITS })),
            session: "alice".into(),
        }
    }

    fn stream(&self, polls: bool) -> Arc<ResumableStream> {
        let stream = self.store.stream(Name::Changes, &self.session, polls);
        assert!(self.store.keep(&stream, &Caller::Anonymous));
        stream
    }

    fn stream_of(&self, caller: u8) -> Option<Arc<ResumableStream>> {
        let stream = self.store.stream(Name::Changes, &self.session, false);
        self.store
            .keep(&stream, &Caller::Address([10, 0, 0, caller].into()))
            .then_some(stream)
    }

    fn has(&self, stream: &ResumableStream) -> bool {
        self.store.find(&stream.id, "alice").is_some()
    }

    fn say(&self, stream: &ResumableStream, numbers: std::ops::RangeInclusive<usize>) {
        numbers.for_each(|n| self.store.append(stream, &said(n)));
    }
}

fn reader(stream: &Arc<ResumableStream>, after: Option<u64>) -> Reader {
    Reader::new(stream.read(after), Duration::from_secs(15))
}

/// What a reader has right now.
fn now(reader: &mut Reader) -> Option<String> {
    let text = reader.next().now_or_never()?;
    Some(text.map_or_else(
        || "end".into(),
        |text| String::from_utf8(text.to_vec()).unwrap(),
    ))
}

/// The numbers of the events in a text.
fn numbers(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| event_id(id).unwrap().number)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_an_id_and_goes_on_after_any_of_them() {
    let bench = Bench::new();
    let stream = bench.stream(true);
    let mut first = reader(&stream, None);
    assert_eq!(
        now(&mut first).unwrap(),
        format!("id: {}-0\ndata: \n\n", stream.id)
    );
    bench.say(&stream, 1..=2);
    let text = now(&mut first).unwrap();
    assert_eq!(
        text.lines().nth(1),
        Some(r#"data: {"jsonrpc":"2.0","method":"n","params":{"n":1}}"#)
    );
    assert_eq!(numbers(&text), [1, 2]);
    assert_eq!(now(&mut first), None);
    drop(first);
    bench.say(&stream, 3..=3);
    let mut second = reader(&stream, Some(1));
    assert_eq!(numbers(&now(&mut second).unwrap()), [2, 3]);
    bench.store.finish(&stream);
    assert_eq!(now(&mut second).unwrap(), "end");
}

#[tokio::test(start_paused = true)]
async fn clients_of_revisions_without_polling_get_no_event_without_data() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    let mut first = reader(&stream, None);
    assert_eq!(now(&mut first), None);
    bench.say(&stream, 1..=1);
    assert_eq!(numbers(&now(&mut first).unwrap()), [1]);
    stream.pause().await;
    assert_eq!(now(&mut first), None, "and are not sent away");
}

#[tokio::test(start_paused = true)]
async fn the_newest_reader_is_the_only_one() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    let (mut old, mut new) = (reader(&stream, None), reader(&stream, Some(0)));
    bench.say(&stream, 1..=1);
    assert_eq!(now(&mut old).unwrap(), "end");
    drop(old);
    assert_eq!(numbers(&now(&mut new).unwrap()), [1]);
    advance(GRACE * 2).await;
    assert!(
        stream.abandoned().now_or_never().is_none(),
        "the old reader's end is not the end"
    );
}

#[tokio::test(start_paused = true)]
async fn the_writer_waits_for_a_reader_that_is_behind_and_nothing_unread_is_lost() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    let mut first = reader(&stream, None);
    bench.say(&stream, 1..=4);
    assert!(stream.room(&bench.store).now_or_never().is_none());
    assert_eq!(numbers(&now(&mut first).unwrap()), [1, 2, 3, 4]);
    assert!(stream.room(&bench.store).now_or_never().is_some());
    bench.say(&stream, 5..=6);
    assert_eq!(
        numbers(&now(&mut reader(&stream, Some(0))).unwrap()),
        [3, 4, 5, 6],
        "what was read makes room"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_writer_wakes_when_something_is_read() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    let mut first = reader(&stream, None);
    bench.say(&stream, 1..=4);
    let room = tokio::time::timeout(Duration::from_secs(1), stream.room(&bench.store));
    let read = async {
        tokio::task::yield_now().await;
        now(&mut first)
    };
    let (room, _) = tokio::join!(room, read);
    room.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_given_up_when_nobody_reads_it_for_the_grace_time() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    drop(reader(&stream, None));
    advance(GRACE / 2).await;
    assert!(stream.abandoned().now_or_never().is_none());
    let back = reader(&stream, Some(0));
    advance(GRACE * 3).await;
    assert!(
        stream.abandoned().now_or_never().is_none(),
        "somebody reads"
    );
    drop(back);
    let start = Instant::now();
    stream.abandoned().await;
    assert_eq!(start.elapsed().as_secs(), GRACE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_paused_stream_says_when_to_come_back_and_keeps_what_comes_meanwhile() {
    let bench = Bench::new();
    let stream = bench.stream(true);
    let mut first = reader(&stream, None);
    let (pausing, text) = (
        tokio::spawn({
            let stream = Arc::clone(&stream);
            async move { stream.pause().await }
        }),
        async {
            stream.pause_asked().await;
            let text = now(&mut first).unwrap();
            assert_eq!(now(&mut first).unwrap(), "end");
            text
        },
    );
    let text = text.await;
    pausing.await.unwrap();
    assert!(text.ends_with("data: \n\nretry: 250\n\n"), "{text}");
    bench.say(&stream, 1..=1);
    let mut second = reader(&stream, Some(0));
    assert_eq!(numbers(&now(&mut second).unwrap()), [1]);
    assert_eq!(now(&mut second), None, "the pause is over");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_lives() {
    let bench = Bench::new();
    let mut first = reader(&bench.stream(false), None);
    let start = Instant::now();
    assert_eq!(first.next().await.unwrap(), ":\n\n");
    assert_eq!(first.next().await.unwrap(), ":\n\n");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_its_sessions_alone_and_gone_after_a_while() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    assert!(bench.store.find(&stream.id, "alice").is_some());
    assert!(bench.store.find(&stream.id, "bob").is_none());
    advance(LIMITS.kept * 2).await;
    assert!(
        bench.store.find(&stream.id, "alice").is_some(),
        "it is open"
    );
    bench.say(&stream, 1..=1);
    bench.store.finish(&stream);
    advance(LIMITS.kept - Duration::from_secs(1)).await;
    assert!(bench.store.find(&stream.id, "alice").is_some());
    advance(Duration::from_secs(1)).await;
    assert!(bench.store.find(&stream.id, "alice").is_none());
    assert_eq!(bench.store.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_finished_stream_makes_room_for_a_new_one() {
    let bench = Bench::new();
    let streams: Vec<_> = (0..LIMITS.streams).map(|_| bench.stream(false)).collect();
    assert!(
        !bench.store.keep(
            &bench.store.stream(Name::Changes, &bench.session, false),
            &Caller::Anonymous
        ),
        "all are open"
    );
    bench.store.finish(&streams[1]);
    bench.store.finish(&streams[0]);
    let new = bench.stream(false);
    let there = [&streams[0], &streams[1], &streams[2], &new]
        .map(|it| bench.store.find(&it.id, "alice").is_some());
    assert_eq!(there, [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_and_what_can_only_be_read_again_goes_first() {
    let bench = Bench::new();
    let done = bench.stream(false);
    bench.store.append(&done, &large(3000));
    bench.store.finish(&done);
    let (busy, other) = (bench.stream(false), bench.stream(false));
    bench.store.append(&busy, &large(3900));
    assert!(!bench.store.is_full(&busy));
    bench.store.append(&other, &large(3000));
    assert!(bench.store.find(&done.id, "alice").is_none());
    assert!(!bench.store.is_full(&busy));
    bench.store.append(&other, &large(3000));
    assert!(bench.store.is_full(&busy), "nothing of this was read");
    assert!(
        busy.room(&bench.store).now_or_never().is_none(),
        "so nobody may add to what waits already"
    );
    let mut reader = reader(&other, None);
    assert!(now(&mut reader).is_some());
    bench.store.append(&other, &said(1));
    assert!(!bench.store.is_full(&busy));
    assert_eq!(numbers(&now(&mut reader).unwrap()), [3]);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_any_size_is_delivered() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    bench.store.append(&stream, &large(100_000));
    assert!(stream.room(&bench.store).now_or_never().is_none());
    let mut first = reader(&stream, None);
    assert!(now(&mut first).unwrap().contains(&"x".repeat(100_000)));
    assert!(stream.room(&bench.store).now_or_never().is_some());
    bench.store.append(&stream, &said(2));
    assert_eq!(numbers(&now(&mut first).unwrap()), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_its_share_of_bytes_makes_room_by_its_own_streams() {
    let bench = Bench::with_shares(Amount::new(10, 4096));
    let other = bench.stream_of(1).unwrap();
    bench.store.append(&other, &large(3000));
    bench.store.finish(&other);
    let old = bench.stream_of(2).unwrap();
    bench.store.append(&old, &large(3000));
    bench.store.finish(&old);
    let new = bench.stream_of(2).unwrap();
    bench.store.append(&new, &large(3000));
    assert_eq!(
        [&other, &old, &new].map(|stream| bench.has(stream)),
        [true, false, true]
    );
    let mut unread = reader(&new, None);
    bench.store.append(&new, &large(3000));
    assert!(bench.store.is_full(&new), "both are unread");
    assert!(
        new.room(&bench.store).now_or_never().is_none(),
        "so this caller waits"
    );
    assert!(!bench.store.is_full(&other), "and nobody else");
    assert!(now(&mut unread).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_its_share_of_streams_is_refused_and_others_are_not() {
    let bench = Bench::with_shares(Amount::new(1, 8192));
    let first = bench.stream_of(1).unwrap();
    assert!(bench.stream_of(1).is_none());
    assert!(bench.stream_of(2).is_some());
    bench.store.finish(&first);
    assert!(
        bench.stream_of(1).is_some(),
        "what is only kept to be read again makes room"
    );
    assert!(!bench.has(&first));
}

#[tokio::test(start_paused = true)]
async fn finished_streams_are_dropped_in_time_when_nobody_calls_any_more() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    bench.say(&stream, 1..=2);
    bench.store.finish(&stream);
    drop(stream);
    tokio::time::sleep(LIMITS.kept * 2).await;
    assert_eq!(bench.store.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn any_number_may_be_gone_on_after() {
    let bench = Bench::new();
    let stream = bench.stream(false);
    bench.say(&stream, 1..=2);
    for number in [u64::MAX, u64::MAX - 1, 3] {
        assert_eq!(now(&mut reader(&stream, Some(number))), None, "{number}");
    }
    assert_eq!(
        numbers(&now(&mut reader(&stream, Some(0))).unwrap()),
        [1, 2]
    );
}

#[test]
fn an_event_id_names_stream_number_and_request() {
    for request in [RequestId::Number(7), RequestId::String("a-b/\u{e9}".into())] {
        let stream = Name::Answers(Some(&request)).stream_id();
        let text = format!("{stream}-12");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        let id = event_id(&text).unwrap();
        assert_eq!(
            id,
            EventId {
                stream: &stream,
                number: 12,
                kind: Kind::Answers(Some(request))
            }
        );
    }
    let long = RequestId::String("x".repeat(100).into());
    assert_eq!(
        event_id(&format!("{}-1", Name::Answers(Some(&long)).stream_id()))
            .unwrap()
            .kind,
        Kind::Answers(None)
    );
    assert_eq!(
        event_id(&format!("{}-1", Name::Changes.stream_id()))
            .unwrap()
            .kind,
        Kind::Changes
    );
    for bad in ["", "7", "s-", "x00-1", "r00-x", "-1"] {
        assert_eq!(event_id(bad), None, "{bad}");
    }
    assert_ne!(Name::Changes.stream_id(), Name::Changes.stream_id());
}
