//! Many requests on one channel, as on stdio (`basic/transports/stdio`): the state of both ends,
//! without the I/O.
//!
//! On HTTP each request has its own response stream, and none of this is needed.

mod abandoned;
mod in_flight;
mod pending;
mod signal;

pub use abandoned::Abandoned;
pub use in_flight::{InFlight, Refused, Ticket, TornDown};
pub use pending::{Delivery, NotStarted, Pending, Start, Token};
pub use signal::Signal;
