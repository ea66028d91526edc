//! JSON on the hot path: one strict scan over incoming text, one fast pass over outgoing text.

mod scan;
mod string;
mod write;

pub use scan::{ArrayItems, MAX_DEPTH, ObjectMembers, Scanner, SyntaxError, ValueKind};
pub(crate) use string::{decode_name, decode_string};
pub use write::{WriteError, to_vec, write_str, write_value};
