//! Numbers connections, so that a call can say which one it came from.

use carryall_proto::{CallSource, ClientId};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared by all bindings: a number stands for one connection in this process, whatever it was
/// accepted by.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The source of all calls of a connection that has just been opened.
pub(crate) fn new_source(address: Option<IpAddr>) -> CallSource {
    let address = address.map(|address| address.to_canonical());
    CallSource::new(
        Some(ClientId::Connection(NEXT.fetch_add(1, Relaxed))),
        address,
    )
}
