//! Runs the contract suite against the SQLite store, and tests it across processes and restarts.

use carryall_store::{Changes, Row, RowChange, Store, contract};
use carryall_store_sqlite::Sqlite;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// The timeout of each wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Passes the file to the process that is killed.
const FILE: &str = "CARRYALL_TEST_SQLITE_FILE";

/// A temporary folder, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("carryall-sqlite-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn row(key: &str) -> Row {
    Row {
        kind: "test",
        key: key.into(),
        version: 1,
        value: "value".into(),
        expires_at: None,
        due_at: None,
    }
}

async fn next_change(changes: &mut Changes) -> RowChange {
    let next = poll_fn(|cx| changes.as_mut().poll_next(cx));
    tokio::time::timeout(TIMEOUT, next)
        .await
        .expect("a change in time")
        .expect("the stream does not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_passes_the_contract_suite() {
    let folder = Folder::new("contract");
    let files = AtomicU32::new(0);
    let next = || folder.file(&files.fetch_add(1, Ordering::Relaxed).to_string());
    contract::check(|| async { Sqlite::open(next()).unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_contract_suite() {
    contract::check(|| async { Sqlite::in_memory().unwrap() }).await;
}

#[tokio::test]
async fn files_are_shared_and_memory_is_not() {
    let folder = Folder::new("shared");
    assert!(Sqlite::open(folder.file("rows")).unwrap().is_shared());
    assert!(!Sqlite::in_memory().unwrap().is_shared());
}

#[tokio::test]
async fn two_stores_on_one_file_share_rows_and_changes() {
    let folder = Folder::new("two");
    let (one, two) = (
        Sqlite::open(folder.file("rows")).unwrap(),
        Sqlite::open(folder.file("rows")).unwrap(),
    );
    one.insert(row("before"), 0).await.unwrap();
    let (mut by_one, mut by_two) = (one.changes("test"), two.changes("test"));
    // Written at once: delivered even if the listener's thread has not handled `Listen` yet.
    assert!(two.insert(row("k"), 0).await.unwrap());
    assert_eq!(next_change(&mut by_one).await, RowChange::Row("k".into()));
    assert_eq!(next_change(&mut by_two).await, RowChange::Row("k".into()));
    assert!(
        !one.insert(row("k"), 0).await.unwrap(),
        "the key exists for both"
    );
    assert!(
        one.replace(Row {
            version: 2,
            ..row("k")
        })
        .await
        .unwrap()
    );
    assert_eq!(next_change(&mut by_two).await, RowChange::Row("k".into()));
    assert!(
        !two.replace(Row {
            version: 2,
            ..row("k")
        })
        .await
        .unwrap(),
        "the version is seen by both"
    );
    assert_eq!(two.get("test", "k", 0).await.unwrap().unwrap().version, 2);
    assert!(two.remove("test", "k", 2).await.unwrap());
    assert_eq!(one.get("test", "k", 0).await.unwrap(), None);
}

#[tokio::test]
async fn exactly_one_of_many_stores_replaces_a_version() {
    let folder = Folder::new("many");
    let stores: Vec<_> = (0..6)
        .map(|_| Sqlite::open(folder.file("rows")).unwrap())
        .collect();
    stores[0].insert(row("k"), 0).await.unwrap();
    for version in 2..40 {
        let mut tasks = tokio::task::JoinSet::new();
        for store in stores.clone() {
            tasks.spawn(async move {
                store
                    .replace(Row {
                        version,
                        ..row("k")
                    })
                    .await
                    .unwrap()
            });
        }
        let won = tasks
            .join_all()
            .await
            .into_iter()
            .filter(|won| *won)
            .count();
        assert_eq!(won, 1, "version {version}");
    }
}

#[tokio::test]
async fn a_listener_behind_the_table_of_changes_receives_lagged() {
    let folder = Folder::new("behind");
    let (one, two) = (
        Sqlite::open(folder.file("rows")).unwrap(),
        Sqlite::open(folder.file("rows")).unwrap(),
    );
    one.insert(
        Row {
            kind: "rare",
            expires_at: Some(1),
            ..row("k")
        },
        0,
    )
    .await
    .unwrap();
    for number in 0..5000 {
        two.insert(
            Row {
                expires_at: Some(2),
                ..row(&number.to_string())
            },
            0,
        )
        .await
        .unwrap();
    }
    let mut changes = one.changes("rare");
    // One transaction with more changes than are kept; the row of kind `rare` comes first.
    assert_eq!(two.expire(2, usize::MAX).await.unwrap(), 5001);
    assert_eq!(next_change(&mut changes).await, RowChange::Lagged);
    assert!(
        two.insert(
            Row {
                kind: "rare",
                ..row("again")
            },
            0
        )
        .await
        .unwrap()
    );
    assert_eq!(
        next_change(&mut changes).await,
        RowChange::Row("again".into()),
        "later changes are delivered"
    );
}

#[tokio::test]
async fn rows_survive_reopening_the_file() {
    let folder = Folder::new("again");
    let special = Row {
        expires_at: Some(u64::MAX),
        due_at: Some(7),
        version: 9,
        ..row("a\0b")
    };
    {
        let store = Sqlite::open(folder.file("rows")).unwrap();
        store.insert(special.clone(), 0).await.unwrap();
        // Dropped before it completes: written completely or not at all.
        let _ = tokio::time::timeout(Duration::ZERO, store.insert(row("late"), 0)).await;
    }
    let store = Sqlite::open(folder.file("rows")).unwrap();
    assert_eq!(store.get("test", "a\0b", 0).await.unwrap(), Some(special));
    let late = store.get("test", "late", 0).await.unwrap();
    assert!(late.is_none_or(|late| late == row("late")));
}

/// A child process, killed on drop.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_killed_process_leaves_complete_rows_and_no_lock() {
    let folder = Folder::new("killed");
    let file = folder.file("rows");
    let store = Sqlite::open(&file).unwrap();
    let mut changes = store.changes("test");
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer
        .args(["--exact", "writer_process"])
        .env(FILE, &file)
        .stdout(Stdio::null());
    let writer = KillOnDrop(writer.spawn().unwrap());
    for _ in 0..50 {
        assert!(
            matches!(
                next_change(&mut changes).await,
                RowChange::Row(_) | RowChange::Lagged
            ),
            "a change by another process"
        );
    }
    drop(writer);
    drop(store);
    let store = Sqlite::open(&file).unwrap();
    let mut number = 0;
    while let Some(found) = store.get("test", &number.to_string(), 0).await.unwrap() {
        assert_eq!(found, row(&number.to_string()));
        number += 1;
    }
    assert!(
        number >= 50,
        "the rows whose changes were received exist: {number}"
    );
    assert!(
        store.insert(row(&number.to_string()), 0).await.unwrap(),
        "the next row can be written"
    );
}

/// Not a test: the process that [`a_killed_process_leaves_complete_rows_and_no_lock`] starts. Does
/// nothing when run by itself.
#[tokio::test]
async fn writer_process() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let store = Sqlite::open(file).unwrap();
    let end = Instant::now() + TIMEOUT;
    for number in 0_u64.. {
        assert!(store.insert(row(&number.to_string()), 0).await.unwrap());
        if Instant::now() > end {
            return;
        }
    }
}

#[test]
fn a_new_file_can_be_opened_concurrently() {
    let folder = Folder::new("opened");
    for round in 0..20 {
        let file = folder.file(&round.to_string());
        let together = Arc::new(Barrier::new(8));
        let open = |_| {
            let (file, together) = (file.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                Sqlite::open(file).map(drop)
            })
        };
        for opener in (0..8).map(open).collect::<Vec<_>>() {
            opener.join().unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn files_that_are_not_stores_are_rejected() {
    let folder = Folder::new("rejected");
    let rejected = |path: &Path| Sqlite::open(path).unwrap_err().to_string();
    std::fs::write(
        folder.file("text"),
        "not a database, but long enough to have a header",
    )
    .unwrap();
    rejected(&folder.file("text"));
    for (name, pragma, why) in [
        ("other", "PRAGMA application_id = 7", "another program"),
        ("later", "PRAGMA user_version = 99", "version 99"),
    ] {
        let file = folder.file(name);
        drop(Sqlite::open(&file).unwrap());
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.busy_timeout(TIMEOUT).unwrap();
        connection.execute_batch(pragma).unwrap();
        let error = rejected(&file);
        assert!(error.contains(why), "{error}");
    }
    rejected(&folder.file("no/such/folder"));
}

#[cfg(unix)]
#[test]
fn a_new_file_is_accessible_to_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("mode");
    let store = Sqlite::open(folder.file("rows")).unwrap();
    for name in ["rows", "rows-wal", "rows-shm"] {
        let mode = std::fs::metadata(folder.file(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    drop(store);
}

/// SQLite writes whole pages, and a row of a megabyte has 256 of them.
#[tokio::test]
async fn reschedule_does_not_rewrite_the_value() {
    let folder = Folder::new("reschedule");
    let file = folder.file("rows");
    let store = Sqlite::open(&file).unwrap();
    let value = vec![b'x'; 1024 * 1024].into();
    let large = Row {
        value,
        due_at: Some(1_700_000_000_000),
        ..row("large")
    };
    store.insert(large.clone(), 0).await.unwrap();
    let log = || std::fs::metadata(folder.file("rows-wal")).map_or(0, |data| data.len());
    let before = log();
    for version in 1..=20 {
        let due_at = Some(1_700_000_000_000 + version * 5_000);
        assert!(
            store
                .reschedule("test", "large", version, due_at)
                .await
                .unwrap()
        );
    }
    // If the log had been reset in between, its size would prove nothing.
    assert!(
        log() >= before,
        "the log still contains the first write: {before}, then {}",
        log()
    );
    let written = log() - before;
    // The first renewal may rewrite the row once: SQLite stores the integers 0 and 1 in zero bytes.
    assert!(
        written < 2 * 1024 * 1024,
        "twenty renewals wrote {written} bytes"
    );
    let found = store.get("test", "large", 0).await.unwrap().unwrap();
    assert_eq!((found.version, found.value), (21, large.value));
}
