//! State that travels with a call or between calls, and the keys and quotas for it.

pub(crate) mod handles;
pub(crate) mod keys;
pub(crate) mod quota;
pub(crate) mod rounds;
pub(crate) mod sealer;
pub(crate) mod store;
