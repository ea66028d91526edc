//! The thread that owns the connection.

use crate::database::Database;
use carryall_store::ChangeListeners;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often it looks for what other processes have changed, while somebody listens.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) enum Job {
    /// An operation. It answers by itself.
    Do(Box<dyn FnOnce(&mut Database) + Send>),
    /// Somebody listens from this change on; `None` for the one that is the last when the thread
    /// reads this.
    Listen(Option<i64>),
}

/// Starts the thread. It ends when all senders are gone, and with it the connection is closed.
pub(crate) fn start(
    database: Database,
    listeners: ChangeListeners,
) -> std::io::Result<Sender<Job>> {
    // Bounded by whoever sends: see `QUEUE`.
    let (jobs, received) = channel();
    let worker = Worker {
        database,
        listeners,
        told: None,
        looked: Instant::now(),
    };
    std::thread::Builder::new()
        .name("carryall-sqlite".to_owned())
        .spawn(move || worker.work(&received))?;
    Ok(jobs)
}

struct Worker {
    database: Database,
    listeners: ChangeListeners,
    /// Up to which change the listeners were told. `None` while nobody listens.
    told: Option<i64>,
    looked: Instant,
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = if self.told.is_some() {
                jobs.recv_timeout(LOOK.saturating_sub(self.looked.elapsed()))
            } else {
                jobs.recv().map_err(RecvTimeoutError::from)
            };
            match job {
                Ok(Job::Do(work)) => work(&mut self.database),
                Ok(Job::Listen(from)) => self.listen(from),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.database.wrote() || self.looked.elapsed() >= LOOK {
                self.look();
            }
        }
    }

    fn listen(&mut self, from: Option<i64>) {
        // From the first on, if it cannot be found out: too much is better than too little.
        let from = from
            .or_else(|| self.database.last_change().ok())
            .unwrap_or(0);
        // What lies between may be told twice to the others. That is better than not at all to the
        // new one.
        let from = self.told.map_or(from, |told| told.min(from));
        self.told = Some(from);
        self.notify(from);
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        let Some(told) = self.told else { return };
        if self.listeners.is_empty() {
            self.told = None;
        } else if self.database.has_changed().unwrap_or(true) {
            self.notify(told);
        }
    }

    /// When reading fails, the listeners hear that something may have been lost, and the next look
    /// begins where this did.
    fn notify(&mut self, from: i64) {
        match self.database.notify(from, &self.listeners) {
            Ok(told) => self.told = Some(told),
            Err(_) => self.listeners.notify_lagged(),
        }
    }
}
