//! JSON on the hot path: one strict scan over incoming text, one fast pass over outgoing text.

mod scan;
mod write;

pub use scan::{ArrayItems, MAX_DEPTH, ObjectMembers, Scanner, SyntaxError, ValueKind};
pub use write::{WriteError, to_vec, write_str, write_value};
