//! The same in the words of another revision: capabilities, results, errors, questions.

pub(crate) mod capabilities;
pub(crate) mod errors;
pub(crate) mod questions;
pub(crate) mod results;
