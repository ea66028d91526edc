//! `requestState`: the journal of a call, sealed so that only the same request of the same caller
//! brings it back, and only for a while (`basic/patterns/mrtr#server-requirements-basic-workflow`).

use super::journal::Record;
use crate::call::handler_error::HandlerError;
use crate::clock;
use crate::random;
use crate::state::keys::Keys;
use carryall_proto::cursor::{Cursor, InvalidCursor};
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, Principal};
use carryall_types::{ErrorObject, JsonObject, JsonValue};
use std::sync::Arc;
use std::time::Duration;

const PURPOSE: &str = "request-state";

/// Members of `params` that differ between the rounds of one request.
pub(crate) const ROUND_FIELDS: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// The keys of the server, and how long what they seal is good for.
///
/// The name of the server is authenticated with everything that is sealed, so that of two servers
/// with the same keyring neither accepts what the other has sealed. Replicas of one server have one
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

    /// Whose something is, and of which server, as bytes to bind it to.
    fn binding_to(&self, caller: Option<&Principal>) -> Vec<u8> {
        serde_json::to_vec(&(&self.server, caller.map(identity))).unwrap_or_default()
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

    /// A cursor that is of use to this caller alone. `None` when it cannot be made.
    pub(crate) fn seal_cursor(
        &self,
        cursor: &Cursor,
        caller: Option<&Principal>,
    ) -> Option<String> {
        cursor
            .seal(
                &*self.keys.now()?,
                &self.binding_to(caller),
                self.until(),
                random::bytes().ok()?,
            )
            .ok()
    }

    /// Opens what [`seal_cursor`](Self::seal_cursor) has made for this caller.
    pub(crate) fn open_cursor(
        &self,
        list: &str,
        caller: Option<&Principal>,
        text: &str,
    ) -> Result<Cursor, InvalidCursor> {
        Cursor::open(
            list,
            &*self.keys.now().ok_or(InvalidCursor)?,
            &self.binding_to(caller),
            seconds(),
            text,
        )
    }

    /// The record as the client may see it.
    ///
    /// # Errors
    /// When it has become too large for a token.
    pub(crate) fn seal(&self, call: &Call, record: &Record) -> Result<String, HandlerError> {
        let record = serde_json::to_vec(record).map_err(HandlerError::internal)?;
        let nonce = random::bytes().map_err(HandlerError::internal)?;
        let binding = self.binding(call)?;
        let sealed = self
            .keyring()?
            .seal(PURPOSE, &binding, self.until(), nonce, &record);
        sealed.map_err(HandlerError::internal)
    }

    /// When what is sealed now ends, in seconds since the epoch.
    fn until(&self) -> u64 {
        seconds().saturating_add(self.lifetime.as_secs().max(1))
    }

    /// The record that a round brings back.
    ///
    /// # Errors
    /// `-32602`, the same for whatever is wrong with it.
    pub(crate) fn open(&self, call: &Call, token: &str) -> Result<Record, HandlerError> {
        let opened = self
            .keyring()?
            .open(PURPOSE, &self.binding(call)?, seconds(), token);
        let record = opened
            .ok()
            .and_then(|record| serde_json::from_slice(&record).ok());
        record.ok_or_else(|| {
            HandlerError::invalid_params("Invalid requestState: ask again without it")
        })
    }

    /// Which server this is, whose request and what it asks for, such that no two different ones
    /// look the same. It is authenticated with the token, which does not carry it.
    fn binding(&self, call: &Call) -> Result<Vec<u8>, HandlerError> {
        let caller = call.principal.as_deref().map(identity);
        let mut params: JsonObject = call.params.raw().decode().map_err(HandlerError::internal)?;
        params.retain(|name, _| !ROUND_FIELDS.contains(&name.as_str()));
        let mut params = JsonValue::Object(params);
        // Whoever passes a request on may write its members in another order.
        params.sort_all_objects();
        let bound = (&self.server, caller, call.method.as_str(), params);
        serde_json::to_vec(&bound).map_err(HandlerError::internal)
    }
}

/// Who somebody is: not what they may do.
fn identity(caller: &Principal) -> (&str, &str, Option<&str>) {
    (&caller.issuer, &caller.subject, caller.client.as_deref())
}

/// Whose something is, as bytes to bind it to.
pub(crate) fn whose(caller: Option<&Principal>) -> Vec<u8> {
    serde_json::to_vec(&caller.map(identity)).unwrap_or_default()
}

/// Seconds since the epoch.
fn seconds() -> u64 {
    clock::now() / 1000
}
