//! The HTTP binding for legacy clients: Streamable HTTP with sessions (2025-03-26 to 2025-11-25),
//! and HTTP+SSE (2024-11-05).

mod control;
mod ended;
mod endpoint;
mod events;
mod exchange;
mod heads;
mod meeting;
mod running;
mod sessions;
mod siblings;
mod sse2024;
mod store;
mod stored;
mod token;

pub use control::StreamControl;
pub use endpoint::LegacyEndpoint;
pub use meeting::{EventText, Here, Local, Note, SessionBus, SessionSnapshot, What};
pub use siblings::HttpBus;
pub use stored::StoreBus;
