//! State between calls, named by a string that the server mints and the model passes on
//! (`docs/handles.md`).
//!
//! For clients a handle is text in a result and text in an argument. A *stored* handle names a row
//! in the server's store; a *sealed* one contains the state, encrypted. Both are bound to the
//! caller that they were minted for, to a kind of state and to an expiry time, and the error is the
//! same whatever is wrong with one.

pub(crate) mod error;
pub(crate) mod handle;

use crate::call::ctx::Ctx;
use crate::clock::{MAX_SKEW_MS, millis, now};
use crate::random;
use crate::state::sealer::caller_identity;
use bytes::Bytes;
use carryall_proto::{Call, Caller};
use carryall_store::{Row, Store, StoreError};
use carryall_types::RawJson;
use error::HandleError;
use handle::{Handle, HandleState};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// The kinds of rows: the state of stored handles, and the marks of used single-use handles.
const STORED: &str = "handle";
const USED: &str = "used-handle";
const PURPOSE: &str = "handle";
/// What follows the kind in a sealed handle.
const SEALED_PREFIX: &str = "c1.";
/// The most attempts of one change.
const MAX_CONFLICTS: usize = 1_000;

/// The value of a stored handle's row.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    /// The name of the server that minted it.
    server: String,
    /// The identity of the caller that may use it.
    owner: RawJson,
    once: bool,
    lifetime_ms: u64,
    value: RawJson,
}

/// The content of a sealed handle.
#[derive(Serialize, Deserialize)]
struct SealedPayload {
    /// For a single-use handle, its id and its expiry in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once: Option<(String, u64)>,
    value: RawJson,
}

/// A handle being minted; see [`Ctx::handle`].
#[must_use]
pub struct NewHandle<'a, T> {
    ctx: &'a Ctx,
    value: T,
    lifetime: Duration,
    once: bool,
}

impl<T: HandleState> NewHandle<'_, T> {
    /// Sets how long the handle is valid, for a stored one since its last change;
    /// [`HandleState::LIFETIME`] by default.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Makes the handle valid for one use: of several calls that [open](Ctx::open_handle) it at the
    /// same time, on any replicas, one gets the state.
    pub fn single_use(mut self) -> Self {
        self.once = true;
        self
    }

    /// Stores the state in the server's store, and returns its handle.
    ///
    /// # Errors
    /// [`HandleError::Full`] when the caller is at its limit; [`HandleError::Unavailable`] when the
    /// store fails, or the server has replicas that do not share it.
    pub async fn store(self) -> Result<Handle<T>, HandleError> {
        let Self {
            ctx,
            value,
            lifetime,
            once,
        } = self;
        let store = shared_store(ctx)?;
        let text = format!("{}_{}", T::KIND, random::name().map_err(StoreError::new)?);
        let lifetime_ms = millis(lifetime);
        let server = ctx.environment().sealer.server().to_owned();
        let kept = StoredRecord {
            server,
            owner: owner(ctx.call()),
            once,
            lifetime_ms,
            value: json(&value)?,
        };
        let now = now();
        let value = Bytes::from(serde_json::to_vec(&kept).map_err(StoreError::new)?);
        let expires_at = Some(now.saturating_add(lifetime_ms));
        ctx.environment().handle_quota.hold(
            &Caller::accountable(ctx.call()),
            &text,
            value.len(),
            expires_at,
            now,
        )?;
        let row = Row {
            kind: STORED,
            key: text.clone(),
            version: 1,
            value,
            expires_at,
            due_at: None,
        };
        ctx.environment().store.sweep_if_overdue().await;
        let inserted = store.insert(row, now).await;
        if inserted
            .as_ref()
            .map_or_else(StoreError::is_full, |inserted| !inserted)
        {
            ctx.environment().handle_quota.release(&text);
        }
        if inserted? {
            Ok(Handle::named(text))
        } else {
            Err(StoreError::new("duplicate handle").into())
        }
    }

    /// Seals the state into the handle itself, for small state that does not change. The server
    /// stores nothing, except for the use of a single-use handle.
    ///
    /// # Errors
    /// [`HandleError::Unavailable`] when the state is too large for a token.
    pub fn seal(self) -> Result<Handle<T>, HandleError> {
        let Self {
            ctx,
            value,
            lifetime,
            once,
        } = self;
        let until = (now() / 1000).saturating_add(lifetime.as_secs().max(1));
        let once = once
            .then(|| random::name().map(|name| (name, until)))
            .transpose()
            .map_err(StoreError::new)?;
        let carried = serde_json::to_vec(&SealedPayload {
            once,
            value: json(&value)?,
        })
        .map_err(StoreError::new)?;
        let keyring = ctx
            .environment()
            .sealer
            .keys()
            .now()
            .ok_or_else(|| StoreError::new("no random bytes for a key"))?;
        let nonce = random::bytes().map_err(StoreError::new)?;
        let sealed = keyring.seal(PURPOSE, &binding::<T>(ctx), until, nonce, &carried);
        let token =
            sealed.map_err(|_| StoreError::new("the state is too large to be sealed; store it"))?;
        Ok(Handle::named(format!("{}_{token}", T::KIND)))
    }
}

impl<T> fmt::Debug for NewHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHandle")
            .field("lifetime", &self.lifetime)
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

/// Stored state as it was read, to be changed and [saved](Self::save).
///
/// Dereferences to the state.
pub struct LoadedHandle<T> {
    value: T,
    kept: StoredRecord,
    row: Row,
    ctx: Ctx,
}

impl<T: HandleState> LoadedHandle<T> {
    /// Writes the state, and restarts its lifetime.
    ///
    /// # Errors
    /// [`HandleError::Conflict`] when it was changed since it was read, [`HandleError::Full`] when
    /// it has grown beyond the caller's limit; nothing is written then.
    pub async fn save(mut self) -> Result<(), HandleError> {
        self.kept.value = json(&self.value)?;
        let value = Bytes::from(serde_json::to_vec(&self.kept).map_err(StoreError::new)?);
        let now = now();
        let expires_at = Some(now.saturating_add(self.kept.lifetime_ms));
        let (environment, caller) = (self.ctx.environment(), Caller::accountable(self.ctx.call()));
        environment
            .handle_quota
            .hold(&caller, &self.row.key, value.len(), expires_at, now)?;
        let row = Row {
            version: self.row.version + 1,
            value,
            expires_at,
            ..self.row
        };
        if self.ctx.environment().store.get().replace(row).await? {
            Ok(())
        } else {
            Err(HandleError::Conflict { kind: T::KIND })
        }
    }

    /// Removes the state and returns it. The handle is unknown from then on.
    ///
    /// # Errors
    /// [`HandleError::Conflict`] when it was changed since it was read; it stays then.
    pub async fn remove(self) -> Result<T, HandleError> {
        let removed = self
            .ctx
            .environment()
            .store
            .get()
            .remove(STORED, &self.row.key, self.row.version)
            .await?;
        if removed {
            self.ctx.environment().handle_quota.release(&self.row.key);
            Ok(self.value)
        } else {
            Err(HandleError::Conflict { kind: T::KIND })
        }
    }
}

impl<T> Deref for LoadedHandle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for LoadedHandle<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for LoadedHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedHandle")
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl Ctx {
    /// Mints a handle for `value`, for the caller of this call: finish with
    /// [`store`](NewHandle::store) or [`seal`](NewHandle::seal).
    pub fn handle<T: HandleState>(&self, value: T) -> NewHandle<'_, T> {
        NewHandle {
            ctx: self,
            value,
            lifetime: T::LIFETIME,
            once: false,
        }
    }

    /// Returns the state behind a handle, sealed or stored. Uses up a single-use handle.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn open_handle<T: HandleState>(&self, handle: &Handle<T>) -> Result<T, HandleError> {
        let token = handle
            .0
            .strip_prefix(T::KIND)
            .and_then(|rest| rest.strip_prefix('_'));
        if let Some(token) = token.filter(|token| token.starts_with(SEALED_PREFIX)) {
            return self.open_sealed(token).await;
        }
        let stored = self.find(handle).await?;
        if !stored.kept.once {
            return Ok(stored.value);
        }
        match stored.remove().await {
            Err(HandleError::Conflict { .. }) => self.remove_handle(handle).await,
            removed => removed,
        }
    }

    /// Loads the state behind a stored handle, to be changed.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle. The state of a single-use handle
    /// cannot be changed.
    pub async fn load_handle<T: HandleState>(
        &self,
        handle: &Handle<T>,
    ) -> Result<LoadedHandle<T>, HandleError> {
        let stored = self.find(handle).await?;
        if stored.kept.once {
            Err(HandleError::Unknown { kind: T::KIND })
        } else {
            Ok(stored)
        }
    }

    /// Atomically updates stored state, retrying on conflict. `change` may run more than once.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn change_handle<T: HandleState, R>(
        &self,
        handle: &Handle<T>,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R, HandleError> {
        for _ in 0..MAX_CONFLICTS {
            let mut stored = self.load_handle(handle).await?;
            let value = change(&mut stored);
            match stored.save().await {
                Ok(()) => return Ok(value),
                Err(HandleError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(HandleError::Conflict { kind: T::KIND })
    }

    /// Removes the state behind a stored handle and returns it. Of several calls that do so at the
    /// same time, one succeeds.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn remove_handle<T: HandleState>(
        &self,
        handle: &Handle<T>,
    ) -> Result<T, HandleError> {
        for _ in 0..MAX_CONFLICTS {
            match self.find(handle).await?.remove().await {
                Err(HandleError::Conflict { .. }) => {}
                removed => return removed,
            }
        }
        Err(HandleError::Conflict { kind: T::KIND })
    }

    async fn find<T: HandleState>(
        &self,
        handle: &Handle<T>,
    ) -> Result<LoadedHandle<T>, HandleError> {
        let unknown = || HandleError::Unknown { kind: T::KIND };
        let id = handle
            .0
            .strip_prefix(T::KIND)
            .and_then(|rest| rest.strip_prefix('_'))
            .ok_or_else(unknown)?;
        if id.len() != random::NAME_LENGTH {
            return Err(unknown());
        }
        let row = shared_store(self)?
            .get(STORED, &handle.0, now())
            .await?
            .ok_or_else(unknown)?;
        let kept: StoredRecord = serde_json::from_slice(&row.value).map_err(StoreError::new)?;
        if kept.owner != owner(self.call()) || kept.server != self.environment().sealer.server() {
            return Err(unknown());
        }
        // State that does not fit its type any more is as useless as an unknown handle.
        let value = kept.value.decode().map_err(|error| {
            tracing::warn!(%error, kind = T::KIND, "the state behind a handle does not fit its type");
            unknown()
        })?;
        Ok(LoadedHandle {
            value,
            kept,
            row,
            ctx: self.clone(),
        })
    }

    async fn open_sealed<T: HandleState>(&self, token: &str) -> Result<T, HandleError> {
        let unknown = || HandleError::Unknown { kind: T::KIND };
        let keyring = self
            .environment()
            .sealer
            .keys()
            .now()
            .ok_or_else(|| StoreError::new("no random bytes for a key"))?;
        let opened = keyring
            .open(PURPOSE, &binding::<T>(self), now() / 1000, token)
            .map_err(|_| unknown())?;
        let carried: SealedPayload = serde_json::from_slice(&opened).map_err(|_| unknown())?;
        let value = carried.value.decode().map_err(|_| unknown())?;
        if let Some((id, until)) = carried.once {
            // The mark has to outlive the token on every replica: one whose clock is ahead removes
            // expired rows while others, by their clocks, still open the token.
            let expires_at = Some(until.saturating_mul(1000).saturating_add(MAX_SKEW_MS));
            let store = shared_store(self)?;
            self.environment().handle_quota.hold(
                &Caller::accountable(self.call()),
                &id,
                0,
                expires_at,
                now(),
            )?;
            let row = Row {
                kind: USED,
                key: id,
                version: 1,
                value: Bytes::new(),
                expires_at,
                due_at: None,
            };
            self.environment().store.sweep_if_overdue().await;
            if !store.insert(row, now()).await? {
                return Err(unknown());
            }
        }
        Ok(value)
    }
}

/// Returns the server's store, unless it has replicas that do not share it.
fn shared_store(ctx: &Ctx) -> Result<&Arc<dyn Store>, HandleError> {
    let store = &ctx.environment().store;
    if store.lacks_shared_store() {
        return Err(StoreError::new("the server has replicas that do not share its store").into());
    }
    Ok(store.get())
}

/// The identity of the caller that may use a handle.
fn owner(call: &Call) -> RawJson {
    RawJson::from_trusted(caller_identity(call.principal()).into())
}

fn binding<T: HandleState>(ctx: &Ctx) -> Vec<u8> {
    serde_json::to_vec(&(
        ctx.environment().sealer.server(),
        T::KIND,
        owner(ctx.call()),
    ))
    .unwrap_or_default()
}

fn json<T: Serialize>(value: &T) -> Result<RawJson, HandleError> {
    RawJson::from_value(value).map_err(|error| StoreError::new(error).into())
}
