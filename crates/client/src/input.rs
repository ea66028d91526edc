//! Input that servers ask for: forms, samples and roots (`basic/patterns/mrtr`).

pub(crate) mod handlers;
pub(crate) mod provide;
pub(crate) mod responder;
