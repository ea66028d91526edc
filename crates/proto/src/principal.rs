//! The authenticated caller.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Who issued the caller's credentials, for example the `iss` of an access token.
    pub issuer: String,
    /// The caller, unique within the issuer.
    pub subject: String,
    /// The OAuth client that acts for the caller.
    pub client: Option<String>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
}

impl Principal {
    /// Returns the principal that an authorization layer inserted into the extensions of an HTTP
    /// request, as `Principal` or as `Arc<Principal>`. If both are present, the `Arc` wins.
    #[must_use]
    pub fn from_extensions(extensions: &http::Extensions) -> Option<Arc<Self>> {
        let shared = extensions.get::<Arc<Self>>().cloned();
        shared.or_else(|| extensions.get::<Self>().cloned().map(Arc::new))
    }

    /// Whether both are the same caller. Scopes are what a caller may do, not who it is.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.subject == other.subject
                && self.issuer == other.issuer
                && self.client == other.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_hold_a_principal_owned_or_shared() {
        let principal = |subject: &str| Principal {
            issuer: "i".into(),
            subject: subject.into(),
            client: None,
            scopes: Vec::new(),
        };
        let mut extensions = http::Extensions::new();
        assert_eq!(Principal::from_extensions(&extensions), None);
        extensions.insert(principal("owned"));
        assert_eq!(
            Principal::from_extensions(&extensions).unwrap().subject,
            "owned"
        );
        extensions.insert(Arc::new(principal("shared")));
        assert_eq!(
            Principal::from_extensions(&extensions).unwrap().subject,
            "shared"
        );
    }
}
