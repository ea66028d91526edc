//! Many requests on one channel, as on stdio (`basic/transports/stdio`): the state of both ends.
//!
//! On HTTP each request has its own response stream, and none of this is needed.

mod abandoned;
mod in_flight;
mod pending;
mod target;

pub use abandoned::Abandoned;
pub use in_flight::{AdmitError, EndedSubscription, InFlightRequests, Ticket};
pub use pending::{Delivery, NewRequest, PendingRequests, StartError, TokenChoice};
pub use target::NotificationTarget;
