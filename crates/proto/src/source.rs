//! Where a call came from, as far as its transport can tell.

use std::net::IpAddr;

/// Identifies one client of a transport for as long as its connection or legacy session lasts.
///
/// It says that two calls came from the same client, not who that client is: it is no substitute
/// for a [`Principal`](crate::Principal). An intermediary that pools its connections sends the
/// calls of many users on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientId {
    /// A connection, by a number that is unique in this process.
    Connection(u64),
    /// The session of a legacy client, by a digest of its id, which is the same on all replicas.
    Legacy(u128),
    /// A client on a network of which nothing is known, as behind an HTTP server that does not
    /// tell which connection a request came on. No two such calls are provably of the same client.
    Unknown,
}

/// The origin of a call. Empty for calls made in process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CallSource {
    /// The connection or legacy session of the client.
    pub client: Option<ClientId>,
    /// The network address of the other end of the connection: the client, or the last proxy before
    /// this process.
    pub address: Option<IpAddr>,
}

impl CallSource {
    /// A network, of which nothing else is known.
    pub const UNKNOWN: Self = Self::new(Some(ClientId::Unknown), None);

    /// Creates the source of a client's calls.
    #[must_use]
    pub const fn new(client: Option<ClientId>, address: Option<IpAddr>) -> Self {
        Self { client, address }
    }
}
