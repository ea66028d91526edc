//! Connections kept between calls.

use super::Shared;
use super::link::{Http1, Http2};
use carryall_proto::sync::Mutex;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// The kept connections of one client.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    http2: Mutex<Option<Http2>>,
    max: usize,
    timeout: Duration,
}

#[derive(Default)]
struct Idle {
    /// The one that was used last is at the end.
    connections: Vec<(Instant, Box<Http1>)>,
    swept: bool,
}

impl Pool {
    pub(super) fn new(max: usize, timeout: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            http2: Mutex::default(),
            max,
            timeout,
        }
    }

    /// A kept connection that could take a request when it was put here.
    pub(super) fn take(&self) -> Option<Box<Http1>> {
        loop {
            let (since, connection) = self.lock().connections.pop()?;
            if since.elapsed() < self.timeout && connection.was_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(shared: &Arc<Shared>, connection: Box<Http1>) {
        let pool = &shared.pool;
        let mut idle = pool.lock();
        if idle.connections.len() >= pool.max {
            return;
        }
        idle.connections.push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(shared), pool.timeout));
        }
    }

    pub(super) fn http2(&self) -> Option<Http2> {
        let mut kept = self.http2.lock();
        kept.take_if(|connection| !connection.is_open());
        kept.clone()
    }

    pub(super) fn put_http2(&self, connection: Http2) {
        *self.http2.lock() = Some(connection);
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock()
    }
}

/// Closes connections that nobody takes up again. Ends when there are none, or no client.
async fn sweep(shared: std::sync::Weak<Shared>, timeout: Duration) {
    loop {
        tokio::time::sleep(timeout).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut idle = shared.pool.lock();
        idle.connections
            .retain(|(since, _)| since.elapsed() < timeout);
        if idle.connections.is_empty() {
            idle.swept = false;
            return;
        }
    }
}
