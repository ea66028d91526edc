//! Writes `params` member by member.

use super::{ParamMember, Params, is_plain_name};
use crate::json::{self, WriteError};
use carryall_types::RawJson;
use serde::Serialize;

/// Builds [`Params`] in one pass: members are serialised into the text and their positions
/// recorded, so that nothing is scanned again.
#[derive(Clone, Debug)]
pub struct ParamsWriter {
    text: Vec<u8>,
    members: Vec<ParamMember>,
}

impl Default for ParamsWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ParamsWriter {
    /// Creates a writer for an object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(512, 4)
    }

    pub(super) fn with_capacity(bytes: usize, members: usize) -> Self {
        let mut text = Vec::with_capacity(bytes);
        text.push(b'{');
        Self {
            text,
            members: Vec::with_capacity(members),
        }
    }

    /// Adds a member. If the name exists already, the first value stays. After an error the object
    /// is unchanged.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    ///
    /// # Panics
    /// In debug builds, when `name` needs escapes.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WriteError> {
        if self.contains(name) {
            return Ok(());
        }
        self.write(name, |text| json::write_value(text, value))
    }

    /// Adds a member from JSON text.
    ///
    /// # Panics
    /// In debug builds, when `name` needs escapes.
    pub fn put_raw(&mut self, name: &str, value: &RawJson) {
        if !self.contains(name) {
            self.append(name, value.as_bytes());
        }
    }

    /// Appends a member whose name is not there yet.
    pub(super) fn append(&mut self, name: &str, value: &[u8]) {
        let written = self.write(name, |text| {
            text.extend_from_slice(value);
            Ok(())
        });
        debug_assert!(written.is_ok());
    }

    /// Returns the text of the value added last.
    #[must_use]
    pub fn last_value(&self) -> Option<&[u8]> {
        self.members
            .last()
            .map(|member| &self.text[member.value.clone()])
    }

    /// Removes the member added last.
    pub fn remove_last(&mut self) {
        if self.members.pop().is_some() {
            let end = self.members.last().map_or(1, |member| member.value.end);
            self.text.truncate(end);
        }
    }

    /// Returns the members so far, as text without the closing brace. Equal text means equal
    /// parameters.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.text
    }

    /// Returns the finished object.
    #[must_use]
    pub fn finish(mut self) -> Params {
        self.text.push(b'}');
        Params {
            raw: RawJson::from_trusted(self.text.into()),
            members: self.members,
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.members
            .iter()
            .any(|member| self.text[member.name.clone()] == *name.as_bytes())
    }

    fn write(
        &mut self,
        name: &str,
        write_value: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        debug_assert!(is_plain_name(name), "{name:?} needs escapes");
        let before = self.text.len();
        if !self.members.is_empty() {
            self.text.push(b',');
        }
        self.text.push(b'"');
        let name_start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let name = name_start..self.text.len();
        self.text.extend_from_slice(b"\":");
        let value_start = self.text.len();
        if let Err(error) = write_value(&mut self.text) {
            self.text.truncate(before);
            return Err(error);
        }
        self.members
            .push(ParamMember::new(name, value_start..self.text.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn recorded_positions_are_those_of_a_scan() {
        let mut writer = ParamsWriter::new();
        writer.put("name", "a\"b").unwrap();
        writer.put_raw("_meta", &RawJson::EMPTY_OBJECT);
        let params = writer.finish();
        assert_eq!(params.raw().as_str(), r#"{"name":"a\"b","_meta":{}}"#);
        assert_eq!(params.get_str("name"), Some(r#""a\"b""#));
        assert_eq!(params.get_str("_meta"), Some("{}"));
        let scanned = Params::parse(params.raw().clone()).unwrap();
        assert_eq!(scanned.get_str("name"), params.get_str("name"));
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_the_object_unchanged() {
        let mut writer = ParamsWriter::new();
        assert!(writer.put("bad", &BTreeMap::from([(vec![1], 1)])).is_err());
        writer.put("good", &1).unwrap();
        writer.put("good", &2).unwrap();
        assert_eq!(writer.last_value(), Some(b"1".as_slice()));
        writer.put("gone", &[2]).unwrap();
        writer.remove_last();
        writer.put("next", &3).unwrap();
        assert_eq!(writer.finish().raw().as_str(), r#"{"good":1,"next":3}"#);
    }
}
