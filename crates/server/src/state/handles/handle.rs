//! Handles, and the state that they stand for.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// State that a handle can stand for.
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
    /// The kind of state, as one lower-case word. A handle begins with it, and is never accepted as
    /// one of another kind.
    const KIND: &'static str;
    /// How long a handle is valid without being changed; 24 hours by default.
    const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
}

/// A name for state of type `T`: a string in schemas, arguments and results.
///
/// It comes from [`Ctx::handle`](crate::Ctx::handle), or from a client, who may have made it up.
pub struct Handle<T>(pub(super) String, PhantomData<fn() -> T>);

impl<T> Handle<T> {
    pub(super) fn named(text: String) -> Self {
        Self(text, PhantomData)
    }

    /// Returns the text.
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
    /// Shows the kind, and not the secret part.
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
