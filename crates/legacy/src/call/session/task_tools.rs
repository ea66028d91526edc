//! Which tools of a 2025-11-25 server must run as tasks (2025-11-25 `basic/utilities/tasks`).

use super::requests::{self, SessionRequests};
use crate::call::single_flight::SingleFlight;
use crate::call::transport::SessionError;
use carryall_proto::sync::Mutex;
use carryall_proto::{CallError, Outcome};
use carryall_types::JsonValue;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long fetching the whole list of tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of pages that are fetched.
const MAX_PAGES: usize = 64;
/// Maximum number of names that are kept.
const MAX_NAMES: usize = 4096;

/// The tools of a session that refuse a plain call and must run as tasks.
///
/// They are found in the list of tools, which is fetched once in a session, and again when the
/// server says that it has changed.
#[derive(Default)]
pub(crate) struct TaskOnlyTools {
    known: Mutex<Option<KnownTools>>,
    listing: SingleFlight<Arc<HashSet<String>>, SessionError>,
}

struct KnownTools {
    /// How often the list had changed when it was fetched.
    changes: u64,
    names: Arc<HashSet<String>>,
}

impl TaskOnlyTools {
    /// The names of these tools. `changes` is how often the list of tools has changed so far.
    ///
    /// # Errors
    /// When the list cannot be fetched.
    pub(crate) async fn names(
        &self,
        changes: u64,
        requests: &SessionRequests,
    ) -> Result<Arc<HashSet<String>>, SessionError> {
        if let Some(known) = self
            .known
            .lock()
            .as_ref()
            .filter(|known| known.changes == changes)
        {
            return Ok(Arc::clone(&known.names));
        }
        let requests = requests.clone();
        let listing = self.listing.run(async move {
            let listed = timeout(LIST_TIMEOUT, list(&requests)).await;
            listed
                .unwrap_or_else(|_| Err(CallError::Timeout(LIST_TIMEOUT).into()))
                .map(Arc::new)
        });
        let names = listing.await?;
        *self.known.lock() = Some(KnownTools {
            changes,
            names: Arc::clone(&names),
        });
        Ok(names)
    }
}

#[derive(Deserialize)]
struct TaskToolPage {
    tools: Vec<JsonValue>,
    #[serde(default, rename = "nextCursor")]
    next_cursor: Option<String>,
}

/// Fetches the list of tools and picks those that must run as tasks.
async fn list(requests: &SessionRequests) -> Result<HashSet<String>, SessionError> {
    let mut names = HashSet::new();
    let mut params = json!({});
    for _ in 0..MAX_PAGES {
        let request = requests.request("tools/list", &params);
        let page: TaskToolPage = match requests::outcome(&**requests.transport(), request).await? {
            Outcome::Result(page) => page.decode().map_err(|error| {
                CallError::Malformed(format!("the answer to tools/list: {error}"))
            })?,
            Outcome::Error(error) => {
                let why = format!("tools/list: {} (code {})", error.message, error.code);
                return Err(CallError::Refused(why).into());
            }
        };
        for tool in &page.tools {
            let is_task_only = tool
                .pointer("/execution/taskSupport")
                .is_some_and(|support| support == "required");
            if let Some(name) = tool
                .get("name")
                .and_then(JsonValue::as_str)
                .filter(|_| is_task_only)
                && names.len() < MAX_NAMES
            {
                names.insert(name.to_owned());
            }
        }
        match page.next_cursor {
            // A server that repeats its cursor would be asked for ever.
            Some(next)
                if !next.is_empty()
                    && params.get("cursor").is_none_or(|cursor| *cursor != *next) =>
            {
                params = json!({"cursor": next});
            }
            _ => break,
        }
    }
    Ok(names)
}
