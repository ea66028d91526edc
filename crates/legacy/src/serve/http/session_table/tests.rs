use super::super::session::tests::{session, session_of};
use super::super::stream::{StreamKind, StreamLimits, StreamStore, write};
use super::*;
use crate::serve::LegacyOptions;
use crate::serve::background::BackgroundTasks;
use tokio::time::advance;

const IDLE: Duration = Duration::from_secs(60);

const TTL: Duration = Duration::from_secs(24 * 60 * 60);

fn limits_of(total: usize, of_one: usize) -> SessionLimits {
    SessionLimits {
        total,
        per_principal: of_one,
        per_caller: of_one,
        idle: IDLE,
        ttl: TTL,
        is_shared: false,
    }
}

fn table(total: usize, of_one: usize) -> SessionTable {
    SessionTable::new(limits_of(total, of_one))
}

/// Returns the caller with this number; 0 is anonymous.
fn caller(number: u8) -> Caller {
    if number == 0 {
        Caller::Anonymous
    } else {
        Caller::Address([10, 0, 0, number].into())
    }
}

fn put(table: &SessionTable, name: &str, owner: u8) -> bool {
    table.insert(session_of(name, caller(owner))).is_ok()
}

fn find(table: &SessionTable, name: &str) -> SessionLookup {
    table.find(name, unix_seconds() + TTL.as_secs())
}

fn end(table: &SessionTable, name: &str) {
    table.end(&name.into(), unix_seconds() + TTL.as_secs());
}

fn are_known(table: &SessionTable, names: &[&str]) -> Vec<bool> {
    names
        .iter()
        .map(|name| table.peek(name).is_some())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_session_is_evicted() {
    let table = table(2, 10);
    assert!(put(&table, "a", 0) && put(&table, "b", 0));
    assert!(matches!(find(&table, "a"), SessionLookup::Known(_)));
    assert!(put(&table, "c", 0));
    assert_eq!(are_known(&table, &["a", "b", "c"]), [true, false, true]);
    assert_eq!(table.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_is_not_evicted() {
    let table = table(2, 10);
    assert!(put(&table, "a", 0) && put(&table, "b", 0));
    let SessionLookup::Known(a) = find(&table, "a") else {
        panic!()
    };
    let SessionLookup::Known(b) = find(&table, "b") else {
        panic!()
    };
    assert_eq!(table.insert(session("c")).err(), Some(LimitReached));
    drop(b);
    assert!(put(&table, "c", 0));
    assert_eq!(are_known(&table, &["a", "b", "c"]), [true, false, true]);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn one_caller_cannot_evict_the_sessions_of_others() {
    let table = table(10, 2);
    assert!(put(&table, "anonymous", 0) && put(&table, "alice", 1));
    for name in ["b1", "b2", "b3", "b4"] {
        assert!(put(&table, name, 2));
    }
    let names = ["anonymous", "alice", "b1", "b2", "b3", "b4"];
    assert_eq!(
        are_known(&table, &names),
        [true, true, false, false, true, true]
    );
    end(&table, "b3");
    assert!(put(&table, "b5", 2));
    assert_eq!(
        are_known(&table, &["b4", "b5"]),
        [true, true],
        "an ended session does not count"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_are_evicted() {
    let table = table(10, 10);
    for name in ["idle", "used", "busy"] {
        assert!(put(&table, name, 0));
    }
    let SessionLookup::Known(busy) = find(&table, "busy") else {
        panic!()
    };
    advance(IDLE / 2).await;
    assert!(matches!(find(&table, "used"), SessionLookup::Known(_)));
    advance(IDLE / 2).await;
    assert!(put(&table, "new", 0));
    assert_eq!(
        are_known(&table, &["idle", "used", "busy", "new"]),
        [false, true, true, true]
    );
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_is_not_restored_and_its_streams_end() {
    let table = table(10, 10);
    let background = BackgroundTasks::default();
    let limits = StreamLimits::new(&LegacyOptions::default());
    let store = Arc::new(StreamStore::new(limits, background.spawner()));
    let session = table.insert(session("a")).ok().unwrap();
    let streams: Vec<_> = (0..2)
        .map(|_| store.create(&StreamKind::Changes, &session.name, false))
        .collect();
    session.add_stream(&streams[0]).unwrap();
    session.set_changes_stream(Some(Arc::clone(&streams[1])));
    for stream in &streams {
        assert!(store.keep(stream, &Caller::Anonymous));
        write(
            &background.spawner(),
            &store,
            Arc::clone(&session),
            Arc::clone(stream),
            None,
            futures_util::stream::pending(),
        );
    }
    tokio::task::yield_now().await;
    end(&table, &session.name);
    assert!(streams.iter().all(|stream| stream.is_complete()));
    assert!(session.is_ended() && session.snapshot().ended);
    assert!(matches!(find(&table, "a"), SessionLookup::Ended));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&session), 1, "no writer is left");
    end(&table, "never here");
    assert!(matches!(find(&table, "never here"), SessionLookup::Ended));
    assert!(matches!(find(&table, "another"), SessionLookup::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_stays_ended_however_many_others_end() {
    let table = table(10, 10);
    assert!(put(&table, "victim", 0));
    end(&table, "victim");
    for n in 0..50_000 {
        end(&table, &format!("stranger {n}"));
    }
    assert!(matches!(find(&table, "victim"), SessionLookup::Ended));
    assert!(
        matches!(table.find_named("victim"), SessionLookup::Ended),
        "without the expiry time too"
    );
}

#[tokio::test(start_paused = true)]
async fn subscriptions_of_an_evicted_session_count_while_the_bus_holds_them() {
    let stored = |is_shared| {
        let table = SessionTable::new(SessionLimits {
            is_shared,
            ..limits_of(1, 10)
        });
        let (first, second) = (session("a"), session("b"));
        let quotas = Arc::clone(&first.client.quotas);
        first.client.subscriptions.add("x:".into()).unwrap();
        drop(table.insert(first));
        drop(table.insert(second));
        let held = quotas.subscriptions.used().items;
        end(&table, "a");
        (held, quotas.subscriptions.used().items)
    };
    assert_eq!(stored(true), (1, 0));
    assert_eq!(stored(false), (0, 0));
}
