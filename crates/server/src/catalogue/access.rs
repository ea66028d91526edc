//! Which callers may see and use an entry of the catalogue.

use carryall_proto::Principal;
use std::sync::Arc;

/// The access rule of an entry. For a caller that may not use it, the entry does not exist: neither
/// in lists nor by name.
#[derive(Clone, Default)]
pub(crate) enum Access {
    #[default]
    Anyone,
    Rule(AccessRule),
}

type AccessRule = Arc<dyn Fn(Option<&Principal>) -> bool + Send + Sync>;

impl Access {
    pub(crate) fn scope(scope: impl Into<String>) -> Self {
        let scope = scope.into();
        Self::rule(move |caller| caller.is_some_and(|caller| caller.scopes.contains(&scope)))
    }

    pub(crate) fn rule(rule: impl Fn(Option<&Principal>) -> bool + Send + Sync + 'static) -> Self {
        Self::Rule(Arc::new(rule))
    }

    pub(crate) fn allows(&self, caller: Option<&Principal>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Rule(rule) => rule(caller),
        }
    }

    pub(crate) fn is_restricted(&self) -> bool {
        matches!(self, Self::Rule(_))
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_restricted() {
            "Rule"
        } else {
            "Anyone"
        })
    }
}
