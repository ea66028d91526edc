use super::super::store::{Name, Store};
use super::super::{endpoint::limits, running};
use super::*;
use crate::serve::Options;
use crate::serve::conversation::ServerContext;
use carryall_proto::{BoxFuture, Call, CallError, Caller, Reply, SharedService};
use std::task::{Context, Poll};
use tokio::time::advance;

#[derive(Clone)]
struct Nobody;

impl tower_service::Service<Call> for Nobody {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        Box::pin(std::future::ready(Err(CallError::Refused("nobody".into()))))
    }
}

/// A session that nothing can be asked in.
pub(in super::super) fn session(name: &str) -> Arc<Session> {
    session_of(name, Caller::Anonymous)
}

fn session_of(name: &str, caller: Caller) -> Arc<Session> {
    let negotiated = serde_json::from_value(serde_json::json!({
        "v": "2025-11-25",
        "i": {"name": "test", "version": "1"},
        "c": {},
    }));
    let server = ServerContext::new(SharedService::new_boxed(Nobody), Options::default());
    let conversation = ClientSession::new(&server, negotiated.unwrap(), caller);
    Session::new(name.into(), ProtocolVersion::V2025_11_25, conversation, 100)
}

const IDLE: Duration = Duration::from_secs(60);

const TTL: Duration = Duration::from_secs(24 * 60 * 60);

fn limits_of(all: usize, of_one: usize) -> SessionLimits {
    SessionLimits {
        all,
        of_principal: of_one,
        of_caller: of_one,
        idle: IDLE,
        ttl: TTL,
        is_stored: false,
    }
}

fn sessions(all: usize, of_one: usize) -> Sessions {
    Sessions::new(limits_of(all, of_one))
}

/// The caller of the number, 0 being nobody in particular.
fn caller(number: u8) -> Caller {
    if number == 0 {
        Caller::Anonymous
    } else {
        Caller::Address([10, 0, 0, number].into())
    }
}

fn put(sessions: &Sessions, name: &str, owner: u8) -> bool {
    sessions.insert(session_of(name, caller(owner))).is_ok()
}

fn find(sessions: &Sessions, name: &str) -> Found {
    sessions.find(name, now() + TTL.as_secs())
}

fn end(sessions: &Sessions, name: &str) {
    sessions.end(&name.into(), now() + TTL.as_secs());
}

fn there(sessions: &Sessions, names: &[&str]) -> Vec<bool> {
    names
        .iter()
        .map(|name| sessions.peek(name).is_some())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_session_that_was_used_least_recently_makes_room() {
    let sessions = sessions(2, 10);
    assert!(put(&sessions, "a", 0) && put(&sessions, "b", 0));
    assert!(matches!(find(&sessions, "a"), Found::Known(_)));
    assert!(put(&sessions, "c", 0));
    assert_eq!(there(&sessions, &["a", "b", "c"]), [true, false, true]);
    assert_eq!(sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_something_in_work_is_not_forgotten() {
    let sessions = sessions(2, 10);
    assert!(put(&sessions, "a", 0) && put(&sessions, "b", 0));
    let Found::Known(a) = find(&sessions, "a") else {
        panic!()
    };
    let Found::Known(b) = find(&sessions, "b") else {
        panic!()
    };
    assert_eq!(sessions.insert(session("c")).err(), Some(TooMany));
    drop(b);
    assert!(put(&sessions, "c", 0));
    assert_eq!(there(&sessions, &["a", "b", "c"]), [true, false, true]);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn one_caller_cannot_push_the_others_out() {
    let sessions = sessions(10, 2);
    assert!(put(&sessions, "anonymous", 0) && put(&sessions, "alice", 1));
    for name in ["b1", "b2", "b3", "b4"] {
        assert!(put(&sessions, name, 2));
    }
    let names = ["anonymous", "alice", "b1", "b2", "b3", "b4"];
    assert_eq!(
        there(&sessions, &names),
        [true, true, false, false, true, true]
    );
    end(&sessions, "b3");
    assert!(put(&sessions, "b5", 2));
    assert_eq!(
        there(&sessions, &["b4", "b5"]),
        [true, true],
        "an ended session does not count"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_for_long_is_forgotten() {
    let sessions = sessions(10, 10);
    for name in ["idle", "used", "busy"] {
        assert!(put(&sessions, name, 0));
    }
    let Found::Known(busy) = find(&sessions, "busy") else {
        panic!()
    };
    advance(IDLE / 2).await;
    assert!(matches!(find(&sessions, "used"), Found::Known(_)));
    advance(IDLE / 2).await;
    assert!(put(&sessions, "new", 0));
    assert_eq!(
        there(&sessions, &["idle", "used", "busy", "new"]),
        [false, true, true, true]
    );
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_does_not_come_back_and_its_streams_end() {
    let sessions = sessions(10, 10);
    let options = Options::default();
    let store = Arc::new(Store::new(limits(&options)));
    let session = sessions.insert(session("a")).ok().unwrap();
    let streams: Vec<_> = (0..2)
        .map(|_| store.stream(Name::Changes, &session.name, false))
        .collect();
    session.add(&streams[0]).unwrap();
    session.listen(Some(Arc::clone(&streams[1])));
    for stream in &streams {
        assert!(store.keep(stream, &Caller::Anonymous));
        let writer = futures_util::stream::pending();
        running::write(
            Arc::clone(&store),
            Arc::clone(&session),
            Arc::clone(stream),
            None,
            writer,
        );
    }
    tokio::task::yield_now().await;
    end(&sessions, &session.name);
    assert!(streams.iter().all(|stream| stream.is_complete()));
    assert!(session.is_ended() && session.known().ended);
    assert!(matches!(find(&sessions, "a"), Found::Ended));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&session), 1, "nobody writes any more");
    end(&sessions, "never here");
    assert!(matches!(find(&sessions, "never here"), Found::Ended));
    assert!(matches!(find(&sessions, "another"), Found::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_session_has_one_stream_of_changes_and_a_bounded_number_of_others() {
    let store = Store::new(limits(&Options::default()));
    let session = session("a");
    let (old, new) = (
        store.stream(Name::Changes, &session.name, false),
        store.stream(Name::Changes, &session.name, false),
    );
    session.listen(Some(Arc::clone(&old)));
    session.listen(Some(Arc::clone(&new)));
    assert!(old.is_complete() && !new.is_complete());
    session.listen(None);
    assert!(new.is_complete(), "it is elsewhere now");

    let streams: Vec<_> = (0..MAX_STREAMS + 1)
        .map(|_| store.stream(Name::Answers(None), &session.name, false))
        .collect();
    for stream in &streams[..MAX_STREAMS] {
        assert!(session.add(stream).unwrap().is_empty());
    }
    assert_eq!(session.add(&streams[MAX_STREAMS]).err(), Some(TooMany));
    streams[7].complete();
    let gone = session.add(&streams[MAX_STREAMS]).unwrap();
    assert_eq!(
        gone.iter().map(|stream| &stream.id).collect::<Vec<_>>(),
        [&streams[7].id]
    );
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_stays_ended_whatever_strangers_end() {
    let sessions = sessions(10, 10);
    assert!(put(&sessions, "victim", 0));
    end(&sessions, "victim");
    for n in 0..50_000 {
        end(&sessions, &format!("stranger {n}"));
    }
    assert!(matches!(find(&sessions, "victim"), Found::Ended));
    assert!(
        matches!(sessions.find_named("victim"), Found::Ended),
        "other replicas are told so too"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_forgotten_session_has_stored_elsewhere_still_counts() {
    let stored = |is_stored| {
        let sessions = Sessions::new(SessionLimits {
            is_stored,
            ..limits_of(1, 10)
        });
        let (first, second) = (session("a"), session("b"));
        let quotas = Arc::clone(&first.conversation.quotas);
        first.conversation.subscriptions.add("x:".into()).unwrap();
        drop(sessions.insert(first));
        drop(sessions.insert(second));
        let held = quotas.subscriptions.used().items;
        end(&sessions, "a");
        (held, quotas.subscriptions.used().items)
    };
    assert_eq!(stored(true), (1, 0));
    assert_eq!(stored(false), (0, 0));
}
