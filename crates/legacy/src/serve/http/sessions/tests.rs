use super::super::store::{Name, Store};
use super::super::{endpoint::limits, running};
use super::*;
use crate::serve::Options;
use carryall_proto::{BoxFuture, Call, CallError, Reply, SharedService};
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
    let negotiated = serde_json::from_value(serde_json::json!({
        "v": "2025-11-25",
        "i": {"name": "test", "version": "1"},
        "c": {},
    }));
    let service = SharedService::new_boxed(Nobody);
    let conversation = Conversation::new(service, Arc::new(Options::default()), negotiated.unwrap());
    Session::new(name.into(), ProtocolVersion::V2025_11_25, conversation, 100)
}

const IDLE: Duration = Duration::from_secs(60);

fn sessions(max: usize, of_one: usize) -> Sessions {
    Sessions::new(max, of_one, IDLE)
}

fn put(sessions: &Sessions, name: &str, owner: &[u8]) -> bool {
    sessions.insert(session(name), owner).is_ok()
}

fn there(sessions: &Sessions, names: &[&str]) -> Vec<bool> {
    names.iter().map(|name| sessions.peek(name).is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_session_that_was_used_least_recently_makes_room() {
    let sessions = sessions(2, 10);
    assert!(put(&sessions, "a", b"") && put(&sessions, "b", b""));
    assert!(matches!(sessions.find("a"), Found::Known(_)));
    assert!(put(&sessions, "c", b""));
    assert_eq!(there(&sessions, &["a", "b", "c"]), [true, false, true]);
    assert_eq!(sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_something_in_work_is_not_forgotten() {
    let sessions = sessions(2, 10);
    assert!(put(&sessions, "a", b"") && put(&sessions, "b", b""));
    let Found::Known(a) = sessions.find("a") else { panic!() };
    let Found::Known(b) = sessions.find("b") else { panic!() };
    assert_eq!(sessions.insert(session("c"), b"").err(), Some(TooMany));
    drop(b);
    assert!(put(&sessions, "c", b""));
    assert_eq!(there(&sessions, &["a", "b", "c"]), [true, false, true]);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn one_principal_cannot_push_the_others_out() {
    let sessions = sessions(10, 2);
    assert!(put(&sessions, "anonymous", b"") && put(&sessions, "alice", b"alice"));
    for name in ["b1", "b2", "b3", "b4"] {
        assert!(put(&sessions, name, b"bob"));
    }
    let names = ["anonymous", "alice", "b1", "b2", "b3", "b4"];
    assert_eq!(there(&sessions, &names), [true, true, false, false, true, true]);
    sessions.end(&"b3".into());
    assert!(put(&sessions, "b5", b"bob"));
    assert_eq!(there(&sessions, &["b4", "b5"]), [true, true], "an ended session does not count");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_for_long_is_forgotten() {
    let sessions = sessions(10, 10);
    for name in ["idle", "used", "busy"] {
        assert!(put(&sessions, name, b""));
    }
    let Found::Known(busy) = sessions.find("busy") else { panic!() };
    advance(IDLE / 2).await;
    assert!(matches!(sessions.find("used"), Found::Known(_)));
    advance(IDLE / 2).await;
    assert!(put(&sessions, "new", b""));
    assert_eq!(there(&sessions, &["idle", "used", "busy", "new"]), [false, true, true, true]);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_does_not_come_back_and_its_streams_end() {
    let sessions = sessions(10, 10);
    let options = Options::default();
    let store = Arc::new(Store::new(limits(&options)));
    let session = sessions.insert(session("a"), b"").ok().unwrap();
    let streams: Vec<_> = (0..2).map(|_| store.stream(Name::Changes, &session.name, false)).collect();
    session.add(&streams[0]).unwrap();
    session.listen(Some(Arc::clone(&streams[1])));
    for stream in &streams {
        assert!(store.keep(stream));
        let writer = futures_util::stream::pending();
        running::write(Arc::clone(&store), Arc::clone(&session), Arc::clone(stream), None, writer);
    }
    tokio::task::yield_now().await;
    sessions.end(&session.name);
    assert!(streams.iter().all(|stream| stream.is_complete()));
    assert!(session.is_ended() && session.known().ended);
    assert!(matches!(sessions.find("a"), Found::Ended));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&session), 1, "nobody writes any more");
    sessions.end(&"never here".into());
    assert!(matches!(sessions.find("never here"), Found::Ended));
    assert!(matches!(sessions.find("another"), Found::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_session_has_one_stream_of_changes_and_a_bounded_number_of_others() {
    let store = Store::new(limits(&Options::default()));
    let session = session("a");
    let (old, new) =
        (store.stream(Name::Changes, &session.name, false), store.stream(Name::Changes, &session.name, false));
    session.listen(Some(Arc::clone(&old)));
    session.listen(Some(Arc::clone(&new)));
    assert!(old.is_complete() && !new.is_complete());
    session.listen(None);
    assert!(new.is_complete(), "it is elsewhere now");

    let streams: Vec<_> =
        (0..MAX_STREAMS + 1).map(|_| store.stream(Name::Answers(None), &session.name, false)).collect();
    for stream in &streams[..MAX_STREAMS] {
        assert!(session.add(stream).unwrap().is_empty());
    }
    assert_eq!(session.add(&streams[MAX_STREAMS]).err(), Some(TooMany));
    streams[7].complete();
    let gone = session.add(&streams[MAX_STREAMS]).unwrap();
    assert_eq!(gone.iter().map(|stream| &stream.id).collect::<Vec<_>>(), [&streams[7].id]);
}
