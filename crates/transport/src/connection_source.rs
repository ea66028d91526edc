//! Numbers connections, so that calls can be told apart by the connection they came on.

use carryall_proto::{CallSource, ClientId};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared by all transports: a number identifies one connection in this process, however it was
/// accepted.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns the source of the calls of a new connection.
pub(crate) fn new_source(address: Option<IpAddr>) -> CallSource {
    let address = address.map(|address| address.to_canonical());
    CallSource::new(
        Some(ClientId::Connection(NEXT.fetch_add(1, Relaxed))),
        address,
    )
}
