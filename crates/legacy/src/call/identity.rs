//! What a handshake declares about the client.

use carryall_types::{ClientCapabilities, Implementation};

/// The client of a session.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) info: Implementation,
}
