//! A legacy server as a service on the seam.

use super::listen;
use super::options::Options;
use super::parked::Parked;
use super::running::Running;
use super::session::{Session, Who};
use super::translate;
use super::wire::WireError;
use carryall_proto::{BoxFuture, Call, CallError, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Unused sessions are looked for no more often than this.
const MIN_SWEEP: Duration = Duration::from_millis(20);

/// Opens sessions.
pub(crate) type Open = Arc<dyn Fn(Who, Arc<Parked>) -> BoxFuture<Result<Arc<Session>, WireError>> + Send + Sync>;

/// A legacy server. Each set of capabilities that callers declare has a session of its own, because a session declares its
/// capabilities once and for all.
#[derive(Clone)]
pub(crate) struct Adapter {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    parked: Arc<Parked>,
    open: Open,
    /// The one that was used last is at the end.
    places: Mutex<Vec<Place>>,
    watched: AtomicBool,
}

/// Where the session for one set of capabilities is.
struct Place {
    key: String,
    slot: Arc<Slot>,
    used: Instant,
}

#[derive(Default)]
struct Slot {
    session: Mutex<Option<Arc<Session>>>,
    /// Held while a session is opened, so that only one is.
    opening: tokio::sync::Mutex<()>,
}

impl Adapter {
    pub(crate) fn new(options: Options, open: Open) -> Self {
        let parked = Parked::new(options.max_parked, options.parked_for);
        let watched = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { options, parked, open, places: Mutex::default(), watched }) }
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        if let Some(state) = Parked::state_of(&call) {
            return self.inner.parked.go_on(&state, call).await;
        }
        let session = self.session(&call).await.map_err(WireError::into_call_error)?;
        match on_session(&session, call.clone()).await {
            // The server has done nothing, so that asking it again in a new session does not do it twice.
            Err(WireError::SessionEnded) => {
                tracing::debug!("the server has ended the session; a new one is opened");
                session.lose(CallError::broken("the server has ended the session"));
                let session = self.session(&call).await.map_err(WireError::into_call_error)?;
                on_session(&session, call).await.map_err(WireError::into_call_error)
            }
            answered => answered.map_err(WireError::into_call_error),
        }
    }

    /// Ends all sessions.
    pub(crate) async fn end(&self) {
        let places = std::mem::take(&mut *lock(&self.inner.places));
        for place in places {
            let session = lock(&place.slot.session).take();
            if let Some(session) = session {
                session.end().await;
            }
        }
    }

    /// Opens the session that a call needs, if it is not there.
    pub(crate) async fn session(&self, call: &Call) -> Result<Arc<Session>, WireError> {
        let inner = &self.inner;
        let who = who(&inner.options, call);
        let key = serde_json::to_string(&translate::capabilities(&who.capabilities)).unwrap_or_default();
        let slot = inner.slot(&key)?;
        if let Some(session) = slot.current() {
            return Ok(session);
        }
        let _opening = slot.opening.lock().await;
        if let Some(session) = slot.current() {
            return Ok(session);
        }
        let session = (inner.open)(who, Arc::clone(&inner.parked)).await?;
        *lock(&slot.session) = Some(Arc::clone(&session));
        if !inner.watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(end_unused(Arc::downgrade(inner)));
        }
        Ok(session)
    }
}

impl Inner {
    /// The place for a set of capabilities. If all are taken, one that is not in use makes room.
    fn slot(&self, key: &str) -> Result<Arc<Slot>, WireError> {
        let mut places = lock(&self.places);
        let used = Instant::now();
        let mut place = match places.iter().position(|place| place.key == key) {
            Some(at) => places.remove(at),
            None => {
                if places.len() >= self.options.max_sessions.unwrap_or(32) {
                    let Some(unused) = places.iter().position(Place::is_unused) else {
                        let why =
                            format!("{} sessions with this server are in use, and no more are allowed", places.len());
                        return Err(CallError::Refused(why).into());
                    };
                    places.remove(unused);
                }
                Place { key: key.to_owned(), slot: Arc::default(), used }
            }
        };
        place.used = used;
        let slot = Arc::clone(&place.slot);
        places.push(place);
        Ok(slot)
    }

    /// Ends what has not been used for long, but for what was used last.
    fn sweep(&self) {
        let mut places = lock(&self.places);
        let mut left = places.len();
        places.retain(|place| {
            left -= 1;
            left == 0 || !place.is_unused() || place.used.elapsed() < self.options.idle
        });
    }
}

async fn end_unused(inner: Weak<Inner>) {
    loop {
        let Some(idle) = inner.upgrade().map(|inner| inner.options.idle) else { return };
        sleep(idle / 4 + MIN_SWEEP).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.sweep();
    }
}

impl Place {
    /// Whether nobody opens a session here, or has something in work in it.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.slot) == 1 && self.slot.current().is_none_or(|session| session.is_idle())
    }
}

impl Slot {
    fn current(&self) -> Option<Arc<Session>> {
        let mut session = lock(&self.session);
        session.take_if(|session| session.lost().is_some());
        session.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who a session for `call` is for.
pub(crate) fn who(options: &Options, call: &Call) -> Who {
    let info: Option<Implementation> = call.meta.client_info();
    Who {
        capabilities: call.meta.client_capabilities().clone(),
        info: info.unwrap_or_else(|| options.client_info.clone()),
    }
}

async fn on_session(session: &Arc<Session>, call: Call) -> Result<Reply, WireError> {
    match call.method {
        Method::ServerDiscover => Ok(Reply::Once(Response::result(call.id.clone(), session.discovered()))),
        Method::SubscriptionsListen => Ok(listen::open(session, &call).await?),
        _ if call.method.as_str() == "initialize" => {
            let error = ErrorObject::method_not_found("initialize");
            Ok(Reply::Once(Response::error(call.id.clone(), error)))
        }
        _ => Ok(Running::start(session, call).await?.reply().await?),
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
