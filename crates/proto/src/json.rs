//! JSON on the hot path: a strict scanner and a fast writer.

mod scan;
mod string;
mod write;

pub use scan::{ArrayItems, MAX_DEPTH, ObjectMembers, Scanner, SyntaxError, ValueKind};
pub(crate) use string::{decode_name, decode_string};
pub use write::{WriteError, to_vec, write_str, write_value};
