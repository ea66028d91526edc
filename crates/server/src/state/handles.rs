//! State between calls, named by a string that the server mints and the model carries
//! (`docs/handles.md`).
//!
//! To clients a handle is text in a result and text in an argument. A *stored* one names a row in
//! the server's store; a *sealed* one is its own row, encrypted. Either is bound to whoever it was
//! minted for, to the kind of state that it stands for, and to an end, and all that is wrong with
//! one is the same error.

use crate::call::ctx::Ctx;
use crate::clock::{MAX_SKEW_MS, millis, now};
use crate::random;
use crate::state::rounds::whose;
use bytes::Bytes;
use carryall_proto::budget::BudgetExceeded;
use carryall_proto::{Call, Caller};
use carryall_store::{Row, Store, StoreError};
use carryall_types::RawJson;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// The kinds of rows: what stored handles name, and which sealed ones have been used.
const STORED: &str = "handle";
const USED: &str = "used-handle";
const PURPOSE: &str = "handle";
/// What a sealed handle has behind the name of its kind.
const SEALED: &str = "c1.";
/// How many others may get ahead of one change.
const CONFLICTS: usize = 1_000;

/// State that handles may stand for.
///
/// ```
/// use carryall_server::{Ctx, Handle, HandleState, HandlerError};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Basket {
///     items: Vec<String>,
/// }
///
/// impl HandleState for Basket {
///     const KIND: &'static str = "basket";
/// }
///
/// async fn create_basket(ctx: Ctx) -> Result<String, HandlerError> {
///     let basket = ctx.handle(Basket::default()).store().await?;
///     Ok(format!("Created {basket}. It lasts for a day without use."))
/// }
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Addition {
///     /// The basket, from `create_basket`
///     basket: Handle<Basket>,
///     item: String,
/// }
///
/// async fn add_item(ctx: Ctx, args: Addition) -> Result<String, HandlerError> {
///     let count = ctx
///         .change_handle(&args.basket, |basket| {
///             basket.items.push(args.item.clone());
///             basket.items.len()
///         })
///         .await?;
///     Ok(format!("{count} items"))
/// }
/// ```
pub trait HandleState: Serialize + DeserializeOwned + Send + Sync {
    /// What the state is, in one lower-case word. Handles begin with it, and none is taken for one
    /// of another kind.
    const KIND: &'static str;
    /// How long a handle is good for without being changed.
    const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
}

/// A name for state of type `T`: a string in schemas, arguments and results. It comes from
/// [`Ctx::handle`], or from a client that may have made it up.
pub struct Handle<T>(String, PhantomData<fn() -> T>);

impl<T> Handle<T> {
    fn named(text: String) -> Self {
        Self(text, PhantomData)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self::named(self.0.clone())
    }
}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Handle<T> {}

impl<T> fmt::Display for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T> fmt::Debug for Handle<T> {
    /// Without the secret part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.split_once('_').map_or("", |(kind, _)| kind);
        write!(f, "Handle({kind:?})")
    }
}

impl<T> Serialize for Handle<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, T> Deserialize<'de> for Handle<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::named)
    }
}

impl<T> JsonSchema for Handle<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Handle".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string"})
    }
}

/// Why a handle is not good for what it was to be used for. In a tool it becomes the tool's own
/// failure, which the model reads.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandleError {
    /// It is none of this server, of another kind, somebody else's, used up, or has ended. Which of
    /// these is not told.
    Unknown {
        /// The kind that was expected.
        kind: &'static str,
    },
    /// Somebody else has changed the state since it was read.
    Conflict {
        /// The kind of the state.
        kind: &'static str,
    },
    /// The caller, or all callers together, keep as much as they may
    /// ([`ServerBuilder::handle_limits`](crate::ServerBuilder::handle_limits)).
    Full,
    /// The state cannot be kept or read.
    Unavailable(StoreError),
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind } => write!(f, "This {kind} is not known, or has expired: create a new one"),
            Self::Conflict { kind } => write!(f, "This {kind} was changed by somebody else meanwhile: try again"),
            Self::Full => f.write_str(
                "No more state can be kept between calls for now: end what is not needed any more, or try again later",
            ),
            Self::Unavailable(_) => f.write_str("State between calls is not available at the moment: try again"),
        }
    }
}

impl std::error::Error for HandleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            Self::Unknown { .. } | Self::Conflict { .. } | Self::Full => None,
        }
    }
}

impl From<StoreError> for HandleError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            tracing::warn!(%error, "state of a handle refused");
            return Self::Full;
        }
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "handle store unavailable"
        );
        Self::Unavailable(error)
    }
}

impl From<BudgetExceeded> for HandleError {
    fn from(exceeded: BudgetExceeded) -> Self {
        tracing::warn!(%exceeded, "state of a handle refused");
        Self::Full
    }
}

/// What a row says.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    /// The name of the server that it was minted by.
    server: String,
    /// Whose it is.
    owner: RawJson,
    once: bool,
    lifetime_ms: u64,
    value: RawJson,
}

/// What a sealed handle says.
#[derive(Serialize, Deserialize)]
struct SealedPayload {
    /// Which one it is and when it ends, if it may be used only once.
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
    /// Until when it is good: a sealed handle from now, a stored one from its last change;
    /// [`HandleState::LIFETIME`] unless set.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Good for one use: of many who [open](Ctx::open_handle) it at the same time, on whichever
    /// replicas, one gets the state.
    pub fn single_use(mut self) -> Self {
        self.once = true;
        self
    }

    /// Keeps the state in the server's store, and names it.
    ///
    /// # Errors
    /// [`HandleError::Full`] when the caller keeps as much as it may; when the store fails, or
    /// other replicas do not share it.
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
        let server = ctx.core().sealer.server().to_owned();
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
        ctx.core().kept.hold(
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
        let inserted = store.insert(row, now).await;
        if inserted
            .as_ref()
            .map_or_else(StoreError::is_full, |inserted| !inserted)
        {
            ctx.core().kept.release(&text);
        }
        if inserted? {
            Ok(Handle::named(text))
        } else {
            Err(StoreError::new("the handle is there already").into())
        }
    }

    /// Seals the state into the handle itself: for little state that does not change. Nothing is
    /// kept, unless it is used only once: then its use is.
    ///
    /// # Errors
    /// When the state is too large for a token.
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
            .core()
            .sealer
            .keys()
            .now()
            .ok_or_else(|| StoreError::new("no random bytes for a key"))?;
        let nonce = random::bytes().map_err(StoreError::new)?;
        let sealed = keyring.seal(PURPOSE, &binding::<T>(ctx), until, nonce, &carried);
        let token =
            sealed.map_err(|_| StoreError::new("the state is too large to be sealed: store it"))?;
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
pub struct Stored<T> {
    value: T,
    kept: StoredRecord,
    row: Row,
    ctx: Ctx,
}

impl<T: HandleState> Stored<T> {
    /// Writes the state, and begins its lifetime anew.
    ///
    /// # Errors
    /// [`HandleError::Conflict`] when somebody has changed it since it was read,
    /// [`HandleError::Full`] when it has grown beyond what the caller may keep: then nothing has
    /// happened.
    pub async fn save(mut self) -> Result<(), HandleError> {
        self.kept.value = json(&self.value)?;
        let value = Bytes::from(serde_json::to_vec(&self.kept).map_err(StoreError::new)?);
        let now = now();
        let expires_at = Some(now.saturating_add(self.kept.lifetime_ms));
        let (core, caller) = (self.ctx.core(), Caller::accountable(self.ctx.call()));
        core.kept
            .hold(&caller, &self.row.key, value.len(), expires_at, now)?;
        let row = Row {
            version: self.row.version + 1,
            value,
            expires_at,
            ..self.row
        };
        if self.ctx.core().shared.store().replace(row).await? {
            Ok(())
        } else {
            Err(HandleError::Conflict { kind: T::KIND })
        }
    }

    /// Removes the state: the handle is not known any more.
    ///
    /// # Errors
    /// [`HandleError::Conflict`] when somebody has changed it since it was read: then nothing has
    /// happened.
    pub async fn remove(self) -> Result<T, HandleError> {
        let removed = self
            .ctx
            .core()
            .shared
            .store()
            .remove(STORED, &self.row.key, self.row.version)
            .await?;
        if removed {
            self.ctx.core().kept.release(&self.row.key);
        }
        if removed {
            Ok(self.value)
        } else {
            Err(HandleError::Conflict { kind: T::KIND })
        }
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Stored<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
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

    /// The state behind a handle, sealed or stored. A handle for a single use is used up by this.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn open_handle<T: HandleState>(&self, handle: &Handle<T>) -> Result<T, HandleError> {
        let token = handle
            .0
            .strip_prefix(T::KIND)
            .and_then(|rest| rest.strip_prefix('_'));
        if let Some(token) = token.filter(|token| token.starts_with(SEALED)) {
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

    /// The state behind a stored handle, to be changed.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle. One for a single use cannot be
    /// changed.
    pub async fn load_handle<T: HandleState>(
        &self,
        handle: &Handle<T>,
    ) -> Result<Stored<T>, HandleError> {
        let stored = self.find(handle).await?;
        if stored.kept.once {
            Err(HandleError::Unknown { kind: T::KIND })
        } else {
            Ok(stored)
        }
    }

    /// Changes stored state in one step that nobody comes between. `change` runs again if somebody
    /// did.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn change_handle<T: HandleState, R>(
        &self,
        handle: &Handle<T>,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R, HandleError> {
        for _ in 0..CONFLICTS {
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

    /// Removes the state behind a stored handle. CompletionTarget many who do so one is told that it was there.
    ///
    /// # Errors
    /// [`HandleError::Unknown`], whatever is wrong with the handle.
    pub async fn remove_handle<T: HandleState>(
        &self,
        handle: &Handle<T>,
    ) -> Result<T, HandleError> {
        for _ in 0..CONFLICTS {
            match self.find(handle).await?.remove().await {
                Err(HandleError::Conflict { .. }) => {}
                removed => return removed,
            }
        }
        Err(HandleError::Conflict { kind: T::KIND })
    }

    async fn find<T: HandleState>(&self, handle: &Handle<T>) -> Result<Stored<T>, HandleError> {
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
        if kept.owner != owner(self.call()) || kept.server != self.core().sealer.server() {
            return Err(unknown());
        }
        // State that the type has outgrown is of no more use than an unknown handle.
        let value = kept.value.decode().map_err(|error| {
            tracing::warn!(%error, kind = T::KIND, "the state behind a handle is not what its type says");
            unknown()
        })?;
        Ok(Stored {
            value,
            kept,
            row,
            ctx: self.clone(),
        })
    }

    async fn open_sealed<T: HandleState>(&self, token: &str) -> Result<T, HandleError> {
        let unknown = || HandleError::Unknown { kind: T::KIND };
        let keyring = self
            .core()
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
            // The mark has to be there as long as any replica opens the token. One whose clock is
            // ahead removes expired rows while others, by their clocks, still open it.
            let expires_at = Some(until.saturating_mul(1000).saturating_add(MAX_SKEW_MS));
            let store = shared_store(self)?;
            self.core()
                .kept
                .hold(&Caller::accountable(self.call()), &id, 0, expires_at, now())?;
            let row = Row {
                kind: USED,
                key: id,
                version: 1,
                value: Bytes::new(),
                expires_at,
                due_at: None,
            };
            if !store.insert(row, now()).await? {
                return Err(unknown());
            }
        }
        Ok(value)
    }
}

/// The server's store, if all replicas see what is in it.
fn shared_store(ctx: &Ctx) -> Result<&Arc<dyn Store>, HandleError> {
    let core = ctx.core();
    if core.shared.lacks_shared_store() {
        return Err(
            StoreError::new("the server has replicas and a store that they do not share").into(),
        );
    }
    core.shared.start(core);
    Ok(core.shared.store())
}

/// Who may use a handle.
fn owner(call: &Call) -> RawJson {
    RawJson::from_trusted(whose(call.principal.as_deref()).into())
}

fn binding<T: HandleState>(ctx: &Ctx) -> Vec<u8> {
    serde_json::to_vec(&(ctx.core().sealer.server(), T::KIND, owner(ctx.call())))
        .unwrap_or_default()
}

fn json<T: Serialize>(value: &T) -> Result<RawJson, HandleError> {
    RawJson::from_value(value).map_err(|error| StoreError::new(error).into())
}
