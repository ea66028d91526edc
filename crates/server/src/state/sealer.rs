//! Seals what travels through clients: `requestState` and cursors
//! (`basic/patterns/mrtr#server-requirements-basic-workflow`).

use super::keys::Keys;
use super::rounds::record::RoundRecord;
use crate::call::handler_error::HandlerError;
use crate::clock;
use crate::random;
use carryall_proto::cursor::{Cursor, InvalidCursor};
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, Principal};
use carryall_types::{ErrorObject, JsonObject, JsonValue};
use std::sync::Arc;
use std::time::Duration;

const PURPOSE: &str = "request-state";

/// Members of `params` that differ between the rounds of one request.
pub(crate) const ROUND_FIELDS: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// The keys of a server, and the lifetime of what they seal.
///
/// The name of the server is authenticated with everything that is sealed, so that of two servers
/// with one keyring neither accepts what the other has sealed. Replicas of one server have one
/// name.
#[derive(Debug)]
pub(crate) struct Sealer {
    keys: Keys,
    server: String,
    lifetime: Duration,
}

impl Sealer {
    pub(crate) fn new(keys: Keys, server: String, lifetime: Duration) -> Self {
        Self {
            keys,
            server,
            lifetime,
        }
    }

    /// The name of the server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    fn keyring(&self) -> Result<Arc<Keyring>, HandlerError> {
        self.keys.now().ok_or_else(|| {
            tracing::error!("the system gives no random bytes");
            HandlerError::protocol(ErrorObject::internal())
        })
    }

    /// Seals a cursor for this caller alone; `None` without random bytes.
    pub(crate) fn seal_cursor(
        &self,
        cursor: &Cursor,
        caller: Option<&Principal>,
    ) -> Option<String> {
        cursor
            .seal(
                &*self.keys.now()?,
                &self.cursor_binding(caller),
                self.expiry(),
                random::bytes().ok()?,
            )
            .ok()
    }

    /// Opens a cursor that [`seal_cursor`](Self::seal_cursor) has made for this caller.
    pub(crate) fn open_cursor(
        &self,
        list: &str,
        caller: Option<&Principal>,
        text: &str,
    ) -> Result<Cursor, InvalidCursor> {
        Cursor::open(
            list,
            &*self.keys.now().ok_or(InvalidCursor)?,
            &self.cursor_binding(caller),
            seconds(),
            text,
        )
    }

    /// Seals the record of a call, so that only the same request of the same caller brings it back.
    ///
    /// # Errors
    /// When it is too large for a token.
    pub(crate) fn seal(&self, call: &Call, record: &RoundRecord) -> Result<String, HandlerError> {
        let record = serde_json::to_vec(record).map_err(HandlerError::internal)?;
        let nonce = random::bytes().map_err(HandlerError::internal)?;
        let binding = self.request_binding(call)?;
        let sealed = self
            .keyring()?
            .seal(PURPOSE, &binding, self.expiry(), nonce, &record);
        sealed.map_err(HandlerError::internal)
    }

    /// Opens the record that a round brings back.
    ///
    /// # Errors
    /// `-32602`, the same one whatever is wrong with the token.
    pub(crate) fn open(&self, call: &Call, token: &str) -> Result<RoundRecord, HandlerError> {
        let binding = self.request_binding(call)?;
        let opened = self.keyring()?.open(PURPOSE, &binding, seconds(), token);
        let record = opened
            .ok()
            .and_then(|record| serde_json::from_slice(&record).ok());
        record.ok_or_else(|| {
            HandlerError::invalid_params("Invalid requestState: ask again without it")
        })
    }

    /// Expiry of what is sealed now, in seconds since the epoch.
    fn expiry(&self) -> u64 {
        seconds().saturating_add(self.lifetime.as_secs().max(1))
    }

    /// The server and the caller, as bytes that are authenticated with a cursor.
    fn cursor_binding(&self, caller: Option<&Principal>) -> Vec<u8> {
        serde_json::to_vec(&(&self.server, caller.map(identity))).unwrap_or_default()
    }

    /// The server, the caller and the request, as bytes that are authenticated with a token and not
    /// contained in it. Different requests have different bytes.
    fn request_binding(&self, call: &Call) -> Result<Vec<u8>, HandlerError> {
        let caller = call.principal().map(identity);
        let mut params: JsonObject = call
            .params()
            .raw()
            .decode()
            .map_err(HandlerError::internal)?;
        params.retain(|name, _| !ROUND_FIELDS.contains(&name.as_str()));
        let mut params = JsonValue::Object(params);
        // An intermediary may write the members in another order.
        params.sort_all_objects();
        let bound = (&self.server, caller, call.method().as_str(), params);
        serde_json::to_vec(&bound).map_err(HandlerError::internal)
    }
}

/// The parts of a principal that identify the caller, without what the caller may do.
fn identity(caller: &Principal) -> (&str, &str, Option<&str>) {
    (&caller.issuer, &caller.subject, caller.client.as_deref())
}

/// The identity of a caller, as bytes to bind state to.
pub(crate) fn caller_identity(caller: Option<&Principal>) -> Vec<u8> {
    serde_json::to_vec(&caller.map(identity)).unwrap_or_default()
}

/// Seconds since the epoch.
fn seconds() -> u64 {
    clock::now() / 1000
}
