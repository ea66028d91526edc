//! The worker thread, which owns the connection, runs operations and delivers changes.

use crate::database::Database;
use carryall_store::ChangeListeners;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often the file is polled for changes by other processes while there are listeners.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) enum Job {
    /// Runs an operation, which sends its result itself.
    Run(Box<dyn FnOnce(&mut Database) + Send>),
    /// Starts to deliver changes for a new listener.
    Listen {
        /// The sequence number of the last change before the subscription. `None` if the
        /// subscription starts when the job is handled.
        after: Option<i64>,
    },
}

/// Starts the thread. It closes the connection and ends when all senders are dropped.
pub(crate) fn start(
    database: Database,
    listeners: ChangeListeners,
) -> std::io::Result<Sender<Job>> {
    // Bounded by the permits of the senders, see `MAX_QUEUED`.
    let (jobs, receiver) = channel();
    let worker = Worker {
        database,
        listeners,
        delivered: None,
        polled_at: Instant::now(),
    };
    std::thread::Builder::new()
        .name("carryall-sqlite".to_owned())
        .spawn(move || worker.run(&receiver))?;
    Ok(jobs)
}

struct Worker {
    database: Database,
    listeners: ChangeListeners,
    /// The sequence number of the last change delivered to the listeners. `None` while there are no
    /// listeners.
    delivered: Option<i64>,
    polled_at: Instant,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = if self.delivered.is_some() {
                jobs.recv_timeout(POLL_INTERVAL.saturating_sub(self.polled_at.elapsed()))
            } else {
                jobs.recv().map_err(RecvTimeoutError::from)
            };
            match job {
                Ok(Job::Run(operation)) => operation(&mut self.database),
                Ok(Job::Listen { after }) => self.listen(after),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Own changes are delivered at once, those of other processes at intervals.
            if self.database.wrote() || self.polled_at.elapsed() >= POLL_INTERVAL {
                self.poll();
            }
        }
    }

    fn listen(&mut self, after: Option<i64>) {
        // If the last change cannot be read, all changes are delivered: duplicates do no harm.
        let after = after
            .or_else(|| self.database.last_change().ok())
            .unwrap_or(0);
        // The other listeners may receive some changes again, so that the new one misses none.
        let after = self
            .delivered
            .map_or(after, |delivered| delivered.min(after));
        self.delivered = Some(after);
        self.notify(after);
    }

    /// Delivers new changes, if there are listeners.
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

    /// Delivers the changes after the sequence number `after`. If they cannot be read, the
    /// listeners receive `RowChange::Lagged`, and the next poll retries.
    fn notify(&mut self, after: i64) {
        match self.database.notify(after, &self.listeners) {
            Ok(delivered) => self.delivered = Some(delivered),
            Err(_) => self.listeners.notify_lagged(),
        }
    }
}
