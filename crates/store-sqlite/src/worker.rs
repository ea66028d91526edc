//! The thread that owns the connection.

use crate::database::Database;
use carryall_store::ChangeListeners;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often the file is polled for changes by other processes while there are listeners.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) enum Job {
    /// Runs an operation, which sends its result itself.
    Run(Box<dyn FnOnce(&mut Database) + Send>),
    /// Delivers the changes after this one; `None` for those from now on.
    Listen(Option<i64>),
}

/// Starts the thread. It closes the connection and ends when all senders are dropped.
pub(crate) fn start(
    database: Database,
    listeners: ChangeListeners,
) -> std::io::Result<Sender<Job>> {
    // The senders bound it: see `QUEUE`.
    let (jobs, received) = channel();
    let worker = Worker {
        database,
        listeners,
        delivered: None,
        polled_at: Instant::now(),
    };
    std::thread::Builder::new()
        .name("carryall-sqlite".to_owned())
        .spawn(move || worker.work(&received))?;
    Ok(jobs)
}

struct Worker {
    database: Database,
    listeners: ChangeListeners,
    /// The number of the last change delivered to the listeners; `None` while there are none.
    delivered: Option<i64>,
    polled_at: Instant,
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = if self.delivered.is_some() {
                jobs.recv_timeout(POLL_INTERVAL.saturating_sub(self.polled_at.elapsed()))
            } else {
                jobs.recv().map_err(RecvTimeoutError::from)
            };
            match job {
                Ok(Job::Run(work)) => work(&mut self.database),
                Ok(Job::Listen(from)) => self.listen(from),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.database.wrote() || self.polled_at.elapsed() >= POLL_INTERVAL {
                self.poll();
            }
        }
    }

    fn listen(&mut self, from: Option<i64>) {
        // If the last change cannot be read, deliver all of them: duplicates do no harm.
        let from = from
            .or_else(|| self.database.last_change().ok())
            .unwrap_or(0);
        // Other listeners may receive some changes twice, so that the new one misses none.
        let from = self.delivered.map_or(from, |delivered| delivered.min(from));
        self.delivered = Some(from);
        self.notify(from);
    }

    fn poll(&mut self) {
        self.polled_at = Instant::now();
        let Some(delivered) = self.delivered else {
            return;
        };
        if self.listeners.is_empty() {
            self.delivered = None;
        } else if self.database.has_changed().unwrap_or(true) {
            self.notify(delivered);
        }
    }

    /// Delivers the changes after `from`. If they cannot be read, the listeners receive
    /// `RowChange::Lagged`, and the next poll starts from the same change.
    fn notify(&mut self, from: i64) {
        match self.database.notify(from, &self.listeners) {
            Ok(delivered) => self.delivered = Some(delivered),
            Err(_) => self.listeners.notify_lagged(),
        }
    }
}
