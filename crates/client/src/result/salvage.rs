//! Decodes results that are malformed in part: the malformed part is left out, the rest is used.
//!
//! A result is first decoded as a whole, which is all that happens to a well-formed one. If that
//! fails, each entry that does not decode is tried without its optional members, and left out if
//! that fails too. Objects with duplicate members are never salvaged: two readers could understand
//! them differently.

use crate::ClientError;
use crate::warnings::{Warnings, printable};
use carryall_types::{
    CallToolResult, CompleteResult, ContentBlock, DiscoverResult, GetPromptResult, JsonObject,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method,
    Prompt, PromptMessage, RawJson, ReadResourceResult, Resource, ResourceContents,
    ResourceTemplate, ServerCapabilities, Tool,
};
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The characters shown of an entry's name.
const MAX_NAME: usize = 80;

/// A result that is usable without some of its parts.
pub(crate) trait Salvage: DeserializeOwned {
    /// The list whose entries may be left out.
    const ENTRIES: Option<EntryList> = None;
    /// The members that may be left out.
    const OPTIONAL: &'static [&'static str] = &["_meta"];

    /// Repairs what is specific to this result.
    fn repair(_: &Method, _: &mut RawMembers, _: &mut Warnings) {}
}

/// A list of independent entries.
pub(crate) struct EntryList {
    /// The member of the result that holds the list.
    member: &'static str,
    /// The list may be missing if the result has one of these members.
    instead: &'static [&'static str],
    /// The member that names an entry.
    name: &'static str,
    /// The members of an entry that may be left out.
    optional: &'static [&'static str],
    /// Decodes an entry.
    try_decode: fn(&RawJson) -> Result<(), serde_json::Error>,
}

fn try_decode<T: DeserializeOwned>(text: &RawJson) -> Result<(), serde_json::Error> {
    text.decode::<T>().map(drop)
}

macro_rules! lists {
    ($($result:ty: $member:literal of $entry:ty, named $name:literal, with $optional:expr;)*) => {$(
        impl Salvage for $result {
            const ENTRIES: Option<EntryList> = Some(EntryList {
                member: $member, instead: &[], name: $name, optional: &$optional, try_decode: try_decode::<$entry>,
            });
            const OPTIONAL: &'static [&'static str] = &["nextCursor", "description", "_meta"];
        }
    )*};
}

lists! {
    ListToolsResult: "tools" of Tool, named "name",
        with ["title", "description", "icons", "outputSchema", "annotations", "_meta"];
    ListPromptsResult: "prompts" of Prompt, named "name", with ["title", "description", "icons", "arguments", "_meta"];
    ListResourcesResult: "resources" of Resource, named "uri",
        with ["title", "description", "icons", "mimeType", "annotations", "size", "_meta"];
    ListResourceTemplatesResult: "resourceTemplates" of ResourceTemplate, named "uriTemplate",
        with ["title", "description", "icons", "mimeType", "annotations", "_meta"];
    GetPromptResult: "messages" of PromptMessage, named "role", with [];
    ReadResourceResult: "contents" of ResourceContents, named "uri", with ["mimeType", "_meta"];
}

impl Salvage for CallToolResult {
    const ENTRIES: Option<EntryList> = Some(EntryList {
        member: "content",
        instead: &["structuredContent", "isError"],
        name: "type",
        optional: &[
            "title",
            "description",
            "icons",
            "mimeType",
            "annotations",
            "size",
            "_meta",
        ],
        try_decode: try_decode::<ContentBlock>,
    });

    /// Treats an unreadable `isError` as true, so that a failure is never taken for success.
    fn repair(method: &Method, members: &mut RawMembers, warnings: &mut Warnings) {
        let invalid = members
            .get("isError")
            .filter(|flag| !matches!(flag.as_str(), "true" | "false" | "null"));
        if invalid.is_some() {
            warnings.left_out(method, "isError".into(), "not a boolean; treated as true");
            members.set("isError", RawJson::from_trusted("true".into()));
        }
    }
}

impl Salvage for CompleteResult {}

impl Salvage for DiscoverResult {
    const OPTIONAL: &'static [&'static str] = &["instructions", "_meta"];

    /// Removes capabilities that cannot be decoded.
    fn repair(method: &Method, members: &mut RawMembers, warnings: &mut Warnings) {
        let Some(declared) = members.get("capabilities") else {
            return;
        };
        let mut declared: JsonObject = declared.decode().unwrap_or_else(|error| {
            warnings.left_out(method, "capabilities".into(), error);
            JsonObject::new()
        });
        for name in ServerCapabilities::retain_readable(&mut declared) {
            warnings.left_out(
                method,
                format!("capabilities.{}", shown(&name)),
                "not a valid value of this capability",
            );
        }
        members.set("capabilities", RawJson::from(&declared.into()));
    }
}

/// Decodes a result, leaving out what is malformed in it.
pub(crate) fn decode<T: Salvage>(
    method: &Method,
    result: &RawJson,
    warnings: &mut Warnings,
) -> Result<T, ClientError> {
    match result.decode() {
        Ok(result) => Ok(result),
        Err(error) => salvage(method, result, error, warnings),
    }
}

#[cold]
fn salvage<T: Salvage>(
    method: &Method,
    result: &RawJson,
    error: serde_json::Error,
    warnings: &mut Warnings,
) -> Result<T, ClientError> {
    let fail = |error: serde_json::Error| ClientError::decode(method, error);
    let Ok(mut members) = result.decode::<RawMembers>() else {
        return Err(fail(error));
    };
    T::repair(method, &mut members, warnings);
    let mut list = None;
    if let Some(entries) = T::ENTRIES {
        list = Some((
            entries.member,
            entries
                .well_formed(method, &members, warnings)
                .ok_or_else(|| fail(error))?,
        ));
        // Spares decoding the list again for each optional member.
        members.set(entries.member, RawJson::from_trusted("[]".into()));
    }
    let mut members = members.without_malformed(T::OPTIONAL, try_decode::<T>, |name, reason| {
        warnings.left_out(method, name.to_owned(), reason);
    });
    if let Some((member, entries)) = list {
        members.set(member, entries);
    }
    members.decode().map_err(fail)
}

impl EntryList {
    /// Returns the list without its malformed entries; `None` if there is no list.
    fn well_formed(
        &self,
        method: &Method,
        result: &RawMembers,
        warnings: &mut Warnings,
    ) -> Option<RawJson> {
        let items: Vec<RawJson> = match result.get(self.member) {
            None if !self.instead.iter().any(|name| result.get(name).is_some()) => return None,
            Some(list) if list.as_str() != "null" => list.decode().ok()?,
            absent => {
                let reason = if absent.is_some() {
                    "null instead of a list"
                } else {
                    "missing"
                };
                warnings.left_out(method, self.member.to_owned(), reason);
                Vec::new()
            }
        };
        let mut kept: Vec<RawJson> = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let Err(reason) = (self.try_decode)(&item) else {
                kept.push(item);
                continue;
            };
            let members = item
                .decode::<RawMembers>()
                .unwrap_or_else(|_| RawMembers(Vec::new()));
            let part = self.label(index, &members);
            let mut left_out = Vec::new();
            let rest = members.without_malformed(self.optional, self.try_decode, |name, reason| {
                left_out.push((format!("{part}.{name}"), reason.to_string()));
            });
            let rest = rest.text();
            if (self.try_decode)(&rest).is_ok() {
                left_out
                    .into_iter()
                    .for_each(|(part, reason)| warnings.left_out(method, part, reason));
                kept.push(rest);
            } else {
                warnings.left_out(method, part, reason);
            }
        }
        RawJson::from_value(&kept).ok()
    }

    /// Returns the description of an entry, such as `tools[3] "sum"`.
    fn label(&self, index: usize, entry: &RawMembers) -> String {
        let name = entry
            .get(self.name)
            .and_then(|name| name.decode::<String>().ok());
        let name = name
            .map(|name| format!(" \"{}\"", shown(&name)))
            .unwrap_or_default();
        format!("{}[{index}]{name}", self.member)
    }
}

fn shown(name: &str) -> String {
    carryall_proto::Printable(&printable(name))
        .clipped(MAX_NAME)
        .to_string()
}

/// The members of an object as text, in order. Decoding fails on duplicate members.
#[derive(Clone, Debug)]
pub(crate) struct RawMembers(Vec<(String, RawJson)>);

impl RawMembers {
    fn get(&self, name: &str) -> Option<&RawJson> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: RawJson) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes the `optional` members that keep the object from decoding. Each is tried alone,
    /// together with the required members.
    fn without_malformed(
        self,
        optional: &[&str],
        try_decode: fn(&RawJson) -> Result<(), serde_json::Error>,
        mut left_out: impl FnMut(&str, serde_json::Error),
    ) -> Self {
        let (candidates, mut kept): (Vec<_>, Vec<_>) = self
            .0
            .into_iter()
            .partition(|(name, _)| optional.contains(&name.as_str()));
        let required = kept.len();
        for (name, value) in candidates {
            let mut trial = kept[..required].to_vec();
            trial.push((name, value));
            let decoded = try_decode(&Self(trial.clone()).text());
            if let Some((name, value)) = trial.pop() {
                match decoded {
                    Ok(()) => kept.push((name, value)),
                    Err(reason) => left_out(&name, reason),
                }
            }
        }
        Self(kept)
    }

    fn text(&self) -> RawJson {
        let mut text = vec![b'{'];
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push(b',');
            }
            carryall_proto::json::write_str(&mut text, name);
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
        text.push(b'}');
        RawJson::from_trusted(text.into())
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.text().decode()
    }
}

impl<'de> Deserialize<'de> for RawMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = RawMembers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawMembers, A::Error> {
                let mut members: Vec<(String, RawJson)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, RawJson>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
                    }
                    members.push((name, value));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
