use super::super::body::EventBody;
use super::super::event_id::EventId;
use super::*;
use crate::serve::background::BackgroundTasks;
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
    retention: Duration::from_secs(300),
    grace: GRACE,
    retry: Duration::from_millis(250),
    share: Amount::new(3, 8192),
};

fn message(n: usize) -> Outgoing {
    Outgoing::Notification(Notification::new(
        "n",
        RawJson::from(&serde_json::json!({ "n": n })),
    ))
}

fn large_message(bytes: usize) -> Outgoing {
    Outgoing::Notification(Notification::new(
        "n",
        RawJson::from(&serde_json::json!({ "x": "x".repeat(bytes) })),
    ))
}

struct Fixture {
    store: Arc<StreamStore>,
    session: Arc<str>,
    _background: BackgroundTasks,
}

impl Fixture {
    fn new() -> Self {
        Self::with_share(LIMITS.share)
    }

    fn with_share(share: Amount) -> Self {
        let background = BackgroundTasks::default();
        let limits = StreamLimits { share, ..LIMITS };
        Self {
            store: Arc::new(StreamStore::new(limits, background.spawner())),
            session: "alice".into(),
            _background: background,
        }
    }

    fn stream(&self, polls: bool) -> Arc<ResumableStream> {
        let stream = self
            .store
            .create(&StreamKind::Changes, &self.session, polls);
        assert!(self.store.keep(&stream, &Caller::Anonymous));
        stream
    }

    fn stream_of(&self, caller: u8) -> Option<Arc<ResumableStream>> {
        let stream = self
            .store
            .create(&StreamKind::Changes, &self.session, false);
        self.store
            .keep(&stream, &Caller::Address([10, 0, 0, caller].into()))
            .then_some(stream)
    }

    fn is_kept(&self, stream: &ResumableStream) -> bool {
        self.store.find(&stream.id, "alice").is_some()
    }

    fn append(&self, stream: &ResumableStream, numbers: std::ops::RangeInclusive<usize>) {
        numbers.for_each(|n| self.store.append(stream, &message(n)));
    }
}

fn reader(stream: &Arc<ResumableStream>, after: Option<u64>) -> EventBody {
    EventBody::new(stream.read(after), Duration::from_secs(15))
}

/// Returns what a reader can read without waiting.
fn read_now(reader: &mut EventBody) -> Option<String> {
    let text = reader.next().now_or_never()?;
    Some(text.map_or_else(
        || "end".into(),
        |text| String::from_utf8(text.to_vec()).unwrap(),
    ))
}

/// Returns the numbers of the events in a text.
fn event_numbers(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| EventId::parse(id).unwrap().number)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_an_id_and_can_be_resumed_after_any_event() {
    let fixture = Fixture::new();
    let stream = fixture.stream(true);
    let mut first = reader(&stream, None);
    assert_eq!(
        read_now(&mut first).unwrap(),
        format!("id: {}-0\ndata: \n\n", stream.id)
    );
    fixture.append(&stream, 1..=2);
    let text = read_now(&mut first).unwrap();
    assert_eq!(
        text.lines().nth(1),
        Some(r#"data: {"jsonrpc":"2.0","method":"n","params":{"n":1}}"#)
    );
    assert_eq!(event_numbers(&text), [1, 2]);
    assert_eq!(read_now(&mut first), None);
    drop(first);
    fixture.append(&stream, 3..=3);
    let mut second = reader(&stream, Some(1));
    assert_eq!(event_numbers(&read_now(&mut second).unwrap()), [2, 3]);
    fixture.store.finish(&stream);
    assert_eq!(read_now(&mut second).unwrap(), "end");
}

#[tokio::test(start_paused = true)]
async fn without_polling_there_is_no_event_without_data_and_no_pause() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    let mut first = reader(&stream, None);
    assert_eq!(read_now(&mut first), None);
    fixture.append(&stream, 1..=1);
    assert_eq!(event_numbers(&read_now(&mut first).unwrap()), [1]);
    stream.pause().await;
    assert_eq!(read_now(&mut first), None, "it is not paused");
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_reader_is_served() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    let (mut old, mut new) = (reader(&stream, None), reader(&stream, Some(0)));
    fixture.append(&stream, 1..=1);
    assert_eq!(read_now(&mut old).unwrap(), "end");
    drop(old);
    assert_eq!(event_numbers(&read_now(&mut new).unwrap()), [1]);
    advance(GRACE * 2).await;
    assert!(
        stream.abandoned().now_or_never().is_none(),
        "dropping the old reader does not detach the new one"
    );
}

#[tokio::test(start_paused = true)]
async fn the_writer_waits_for_a_slow_reader_and_unread_events_are_kept() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    let mut first = reader(&stream, None);
    fixture.append(&stream, 1..=4);
    assert!(
        fixture
            .store
            .wait_for_room(&stream)
            .now_or_never()
            .is_none()
    );
    assert_eq!(event_numbers(&read_now(&mut first).unwrap()), [1, 2, 3, 4]);
    assert!(
        fixture
            .store
            .wait_for_room(&stream)
            .now_or_never()
            .is_some()
    );
    fixture.append(&stream, 5..=6);
    assert_eq!(
        event_numbers(&read_now(&mut reader(&stream, Some(0))).unwrap()),
        [3, 4, 5, 6],
        "events that were read are evicted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_writer_is_woken_by_a_read() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    let mut first = reader(&stream, None);
    fixture.append(&stream, 1..=4);
    let room = tokio::time::timeout(Duration::from_secs(1), fixture.store.wait_for_room(&stream));
    let read = async {
        tokio::task::yield_now().await;
        read_now(&mut first)
    };
    let (room, _) = tokio::join!(room, read);
    room.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_abandoned_when_nobody_reads_it_for_the_grace_period() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    drop(reader(&stream, None));
    advance(GRACE / 2).await;
    assert!(stream.abandoned().now_or_never().is_none());
    let back = reader(&stream, Some(0));
    advance(GRACE * 3).await;
    assert!(
        stream.abandoned().now_or_never().is_none(),
        "a reader is attached"
    );
    drop(back);
    let start = Instant::now();
    stream.abandoned().await;
    assert_eq!(start.elapsed().as_secs(), GRACE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_paused_stream_hints_when_to_resume_and_keeps_later_events() {
    let fixture = Fixture::new();
    let stream = fixture.stream(true);
    let mut first = reader(&stream, None);
    let (pausing, text) = (
        tokio::spawn({
            let stream = Arc::clone(&stream);
            async move { stream.pause().await }
        }),
        async {
            tokio::task::yield_now().await;
            let text = read_now(&mut first).unwrap();
            assert_eq!(read_now(&mut first).unwrap(), "end");
            text
        },
    );
    let text = text.await;
    pausing.await.unwrap();
    assert!(text.ends_with("data: \n\nretry: 250\n\n"), "{text}");
    fixture.append(&stream, 1..=1);
    let mut second = reader(&stream, Some(0));
    assert_eq!(event_numbers(&read_now(&mut second).unwrap()), [1]);
    assert_eq!(read_now(&mut second), None, "the pause is over");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive() {
    let fixture = Fixture::new();
    let mut first = reader(&fixture.stream(false), None);
    let start = Instant::now();
    assert_eq!(first.next().await.unwrap(), ":\n\n");
    assert_eq!(first.next().await.unwrap(), ":\n\n");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_stream_belongs_to_its_session_and_is_removed_after_the_retention_time() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    assert!(fixture.store.find(&stream.id, "alice").is_some());
    assert!(fixture.store.find(&stream.id, "bob").is_none());
    advance(LIMITS.retention * 2).await;
    assert!(
        fixture.store.find(&stream.id, "alice").is_some(),
        "it has not finished"
    );
    fixture.append(&stream, 1..=1);
    fixture.store.finish(&stream);
    advance(LIMITS.retention - Duration::from_secs(1)).await;
    assert!(fixture.store.find(&stream.id, "alice").is_some());
    advance(Duration::from_secs(1)).await;
    assert!(fixture.store.find(&stream.id, "alice").is_none());
    assert_eq!(fixture.store.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_finished_stream_is_evicted_for_a_new_one() {
    let fixture = Fixture::new();
    let streams: Vec<_> = (0..LIMITS.streams).map(|_| fixture.stream(false)).collect();
    assert!(
        !fixture.store.keep(
            &fixture
                .store
                .create(&StreamKind::Changes, &fixture.session, false),
            &Caller::Anonymous
        ),
        "none has finished"
    );
    fixture.store.finish(&streams[1]);
    fixture.store.finish(&streams[0]);
    let new = fixture.stream(false);
    let there = [&streams[0], &streams[1], &streams[2], &new]
        .map(|it| fixture.store.find(&it.id, "alice").is_some());
    assert_eq!(there, [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_and_finished_streams_are_evicted_first() {
    let fixture = Fixture::new();
    let done = fixture.stream(false);
    fixture.store.append(&done, &large_message(3000));
    fixture.store.finish(&done);
    let (busy, other) = (fixture.stream(false), fixture.stream(false));
    fixture.store.append(&busy, &large_message(3900));
    assert!(!fixture.store.is_full(&busy));
    fixture.store.append(&other, &large_message(3000));
    assert!(fixture.store.find(&done.id, "alice").is_none());
    assert!(!fixture.store.is_full(&busy));
    fixture.store.append(&other, &large_message(3000));
    assert!(fixture.store.is_full(&busy), "none of this was read");
    assert!(
        fixture.store.wait_for_room(&busy).now_or_never().is_none(),
        "so no writer may add to unread events"
    );
    let mut reader = reader(&other, None);
    assert!(read_now(&mut reader).is_some());
    fixture.store.append(&other, &message(1));
    assert!(!fixture.store.is_full(&busy));
    assert_eq!(event_numbers(&read_now(&mut reader).unwrap()), [3]);
}

#[tokio::test(start_paused = true)]
async fn events_of_any_size_are_delivered() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    fixture.store.append(&stream, &large_message(100_000));
    assert!(
        fixture
            .store
            .wait_for_room(&stream)
            .now_or_never()
            .is_none()
    );
    let mut first = reader(&stream, None);
    assert!(read_now(&mut first).unwrap().contains(&"x".repeat(100_000)));
    assert!(
        fixture
            .store
            .wait_for_room(&stream)
            .now_or_never()
            .is_some()
    );
    fixture.store.append(&stream, &message(2));
    assert_eq!(event_numbers(&read_now(&mut first).unwrap()), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_at_its_share_of_bytes_evicts_its_own_streams() {
    let fixture = Fixture::with_share(Amount::new(10, 4096));
    let other = fixture.stream_of(1).unwrap();
    fixture.store.append(&other, &large_message(3000));
    fixture.store.finish(&other);
    let old = fixture.stream_of(2).unwrap();
    fixture.store.append(&old, &large_message(3000));
    fixture.store.finish(&old);
    let new = fixture.stream_of(2).unwrap();
    fixture.store.append(&new, &large_message(3000));
    assert_eq!(
        [&other, &old, &new].map(|stream| fixture.is_kept(stream)),
        [true, false, true]
    );
    let mut unread = reader(&new, None);
    fixture.store.append(&new, &large_message(3000));
    assert!(fixture.store.is_full(&new), "both events are unread");
    assert!(
        fixture.store.wait_for_room(&new).now_or_never().is_none(),
        "so this caller has to wait"
    );
    assert!(!fixture.store.is_full(&other), "other callers do not");
    assert!(read_now(&mut unread).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_caller_at_its_share_of_streams_is_refused_and_others_are_not() {
    let fixture = Fixture::with_share(Amount::new(1, 8192));
    let first = fixture.stream_of(1).unwrap();
    assert!(fixture.stream_of(1).is_none());
    assert!(fixture.stream_of(2).is_some());
    fixture.store.finish(&first);
    assert!(
        fixture.stream_of(1).is_some(),
        "a finished stream is evicted"
    );
    assert!(!fixture.is_kept(&first));
}

#[tokio::test(start_paused = true)]
async fn finished_streams_are_removed_without_further_requests() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    fixture.append(&stream, 1..=2);
    fixture.store.finish(&stream);
    drop(stream);
    tokio::time::sleep(LIMITS.retention * 2).await;
    assert_eq!(fixture.store.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_resumed_after_any_number() {
    let fixture = Fixture::new();
    let stream = fixture.stream(false);
    fixture.append(&stream, 1..=2);
    for number in [u64::MAX, u64::MAX - 1, 3] {
        assert_eq!(
            read_now(&mut reader(&stream, Some(number))),
            None,
            "{number}"
        );
    }
    assert_eq!(
        event_numbers(&read_now(&mut reader(&stream, Some(0))).unwrap()),
        [1, 2]
    );
}
