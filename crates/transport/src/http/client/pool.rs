//! Keeps connections open between calls.

use super::connection::{Http1Connection, Http2Connection};
use carryall_proto::sync::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// The kept connections of one client.
pub(super) struct ConnectionPool {
    idle: Mutex<IdleConnections>,
    http2: Mutex<Option<Http2Connection>>,
    max: usize,
    timeout: Duration,
}

#[derive(Default)]
struct IdleConnections {
    /// The one used last is at the end.
    connections: Vec<(Instant, Box<Http1Connection>)>,
    has_sweeper: bool,
}

impl ConnectionPool {
    pub(super) fn new(max: usize, timeout: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            http2: Mutex::default(),
            max,
            timeout,
        }
    }

    /// Returns an idle HTTP/1.1 connection that could take a request when it was put here.
    pub(super) fn take(&self) -> Option<Box<Http1Connection>> {
        loop {
            let (since, connection) = self.idle.lock().connections.pop()?;
            if since.elapsed() < self.timeout && connection.was_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(self: &Arc<Self>, connection: Box<Http1Connection>) {
        let mut idle = self.idle.lock();
        if idle.connections.len() >= self.max {
            return;
        }
        idle.connections.push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.has_sweeper, true) {
            // Nobody polls a client between calls, so only a task can close its connections in
            // time. It ends when no connection is idle.
            tokio::spawn(sweep(Arc::downgrade(self), self.timeout));
        }
    }

    /// Returns the HTTP/2 connection, if it is open.
    pub(super) fn http2(&self) -> Option<Http2Connection> {
        let mut kept = self.http2.lock();
        kept.take_if(|connection| !connection.is_open());
        kept.clone()
    }

    pub(super) fn put_http2(&self, connection: Http2Connection) {
        *self.http2.lock() = Some(connection);
    }
}

/// Closes connections that have been idle for longer than `timeout`.
async fn sweep(pool: Weak<ConnectionPool>, timeout: Duration) {
    loop {
        tokio::time::sleep(timeout).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut idle = pool.idle.lock();
        idle.connections
            .retain(|(since, _)| since.elapsed() < timeout);
        if idle.connections.is_empty() {
            idle.has_sweeper = false;
            return;
        }
    }
}
