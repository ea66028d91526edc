//! Writing `params` member by member.

use crate::Params;
use crate::call::ParamMember;
use crate::json::{self, WriteError};
use carryall_types::RawJson;
use serde::Serialize;

/// Builds [`Params`] in one pass: each member is serialised straight into the text, and its place
/// noted, so that nothing has to be scanned again.
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
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        let mut text = Vec::with_capacity(512);
        text.push(b'{');
        Self {
            text,
            members: Vec::with_capacity(4),
        }
    }

    /// Adds a member. A name that is already there is left as it is: the first one stands. After an
    /// error the object is as before.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    ///
    /// # Panics
    /// In debug builds, when `name` would need escapes.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WriteError> {
        self.member(name, |text| json::write_value(text, value))
    }

    /// Adds a member whose text is there already.
    ///
    /// # Panics
    /// In debug builds, when `name` would need escapes.
    pub fn put_raw(&mut self, name: &str, value: &RawJson) {
        let copied = self.member(name, |text| {
            text.extend_from_slice(value.as_bytes());
            Ok(())
        });
        debug_assert!(copied.is_ok());
    }

    /// The text of the member added last.
    #[must_use]
    pub fn last_value(&self) -> Option<&[u8]> {
        self.members
            .last()
            .map(|member| member.value_in(&self.text))
    }

    /// Takes back the member added last.
    pub fn remove_last(&mut self) {
        if self.members.pop().is_some() {
            let end = self.members.last().map_or(1, ParamMember::end);
            self.text.truncate(end);
        }
    }

    /// The members so far, as text without the closing brace: equal text, equal parameters.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.text
    }

    /// The finished object.
    #[must_use]
    pub fn finish(mut self) -> Params {
        self.text.push(b'}');
        Params::from_written(RawJson::from_trusted(self.text.into()), self.members)
    }

    fn member(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        debug_assert!(
            !name.contains(|c: char| c < ' ' || c == '"' || c == '\\'),
            "{name:?} needs escapes"
        );
        if self
            .members
            .iter()
            .any(|member| member.is_named(&self.text, name))
        {
            return Ok(());
        }
        let before = self.text.len();
        if !self.members.is_empty() {
            self.text.push(b',');
        }
        self.text.push(b'"');
        let key = self.text.len()..self.text.len() + name.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        let start = self.text.len();
        if let Err(error) = write(&mut self.text) {
            self.text.truncate(before);
            return Err(error);
        }
        self.members
            .push(ParamMember::at(key, start..self.text.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn members_stand_where_they_were_written() {
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
    fn a_value_that_cannot_be_written_leaves_no_trace() {
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
