//! Shared code of the examples: several replicas of a server behind a balancer.

use carryall::proto::SharedService;
use carryall::{Keyring, Result, Server};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns a service that sends each request to the next replica, like a balancer without affinity.
///
/// Spawns tasks for the background work of the replicas, which run until the program ends.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn round_robin(replicas: Vec<Server>) -> SharedService {
    for replica in &replicas {
        tokio::spawn(replica.maintain());
    }
    let replicas: Arc<[SharedService]> = replicas.into_iter().map(Server::into_shared).collect();
    let next = Arc::new(AtomicUsize::new(0));
    SharedService::from_fn(move |call| {
        let at = next.fetch_add(1, Ordering::Relaxed) % replicas.len();
        Box::pin(replicas[at].answer(call))
    })
}

/// Returns the keyring that all replicas share. A real server reads it from a file or its environment, see
/// [`keyring_from_file`](carryall::server::keyring_from_file).
///
/// # Errors
/// Never: the text is a valid keyring.
pub fn keyring() -> Result<Keyring> {
    Ok(format!("1 {}", "5a".repeat(32)).parse()?)
}
