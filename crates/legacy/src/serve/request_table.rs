//! The requests of one client that are in flight.

use carryall_proto::sync::Mutex;
use carryall_types::{ErrorObject, RequestId, code};
use futures_util::future::AbortHandle;
use std::collections::HashMap;
use std::sync::Arc;

/// The requests in flight, by id. Cheap to clone; clones are one table.
#[derive(Clone, Default)]
pub(crate) struct RequestTable(Arc<Mutex<InFlightTable>>);

#[derive(Default)]
struct InFlightTable {
    requests: HashMap<RequestId, InFlightEntry>,
    /// The serial number of the last request. A client may reuse an id as soon as its request is
    /// answered or cancelled, so the id alone does not name an entry.
    last_serial: u64,
}

struct InFlightEntry {
    serial: u64,
    abort: AbortHandle,
}

impl RequestTable {
    /// Adds a request that `abort` cancels. At most `limit` are in flight at a time, each with its
    /// own id.
    pub(crate) fn insert(
        &self,
        id: &RequestId,
        abort: AbortHandle,
        limit: usize,
    ) -> Result<InFlightGuard, ErrorObject> {
        let refuse = |why: String| {
            Err(ErrorObject::new(
                code::INVALID_REQUEST,
                format!("Invalid request: {why}"),
            ))
        };
        let mut table = self.0.lock();
        if table.requests.contains_key(id) {
            return refuse(format!("a request with the id {id} is already in flight"));
        }
        if table.requests.len() >= limit {
            return refuse(format!(
                "{} requests are already in flight",
                table.requests.len()
            ));
        }
        table.last_serial += 1;
        let serial = table.last_serial;
        table
            .requests
            .insert(id.clone(), InFlightEntry { serial, abort });
        Ok(InFlightGuard {
            table: self.clone(),
            id: id.clone(),
            serial,
        })
    }

    /// Cancels a request. Returns `false` if none with this id is in flight.
    pub(crate) fn cancel(&self, id: &RequestId) -> bool {
        match self.0.lock().requests.remove(id) {
            Some(InFlightEntry { abort, .. }) => {
                abort.abort();
                true
            }
            None => false,
        }
    }
}

/// One request in flight. Dropping it frees the id.
pub(crate) struct InFlightGuard {
    table: RequestTable,
    id: RequestId,
    serial: u64,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut table = self.table.0.lock();
        // A cancelled exchange may be dropped after its id has been reused.
        if table
            .requests
            .get(&self.id)
            .is_some_and(|entry| entry.serial == self.serial)
        {
            table.requests.remove(&self.id);
        }
    }
}
