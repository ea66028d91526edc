//! Results with something malformed in them: the part is left out, the rest is used.
//!
//! A result is decoded as a whole first, and that is all that happens to a well-formed one. Only
//! then it is taken apart: an entry that does not decode is tried without its optional members, and
//! left out if that does not help either. Members that occur twice are never chosen between: two
//! readers of one message must not read it differently.

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

/// How many characters of an entry's own name are shown.
const MAX_NAME: usize = 80;

/// A result of which parts can be left out.
pub(crate) trait Salvage: DeserializeOwned {
    /// The list of which single entries can be left out.
    const ENTRIES: Option<Entries> = None;
    /// The members without which it is still a result.
    const OPTIONAL: &'static [&'static str] = &["_meta"];

    /// Repairs what is peculiar to this result.
    fn prepare(_: &Method, _: &mut Members, _: &mut Warnings) {}
}

/// A list of entries that stand by themselves.
pub(crate) struct Entries {
    /// The member that holds the list.
    member: &'static str,
    /// A result that has one of these members is one even without the list.
    instead: &'static [&'static str],
    /// The member that names an entry.
    name: &'static str,
    /// The members without which it is still an entry.
    optional: &'static [&'static str],
    decodes: fn(&RawJson) -> Result<(), serde_json::Error>,
}

fn decodes<T: DeserializeOwned>(text: &RawJson) -> Result<(), serde_json::Error> {
    text.decode::<T>().map(drop)
}

macro_rules! lists {
    ($($result:ty: $member:literal of $entry:ty, named $name:literal, with $optional:expr;)*) => {$(
        impl Salvage for $result {
            const ENTRIES: Option<Entries> = Some(Entries {
                member: $member, instead: &[], name: $name, optional: &$optional, decodes: decodes::<$entry>,
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
    const ENTRIES: Option<Entries> = Some(Entries {
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
        decodes: decodes::<ContentBlock>,
    });

    /// Of a tool that may have failed it must not be said that it succeeded.
    fn prepare(method: &Method, members: &mut Members, warnings: &mut Warnings) {
        let odd = members
            .get("isError")
            .filter(|flag| !matches!(flag.as_str(), "true" | "false" | "null"));
        if odd.is_some() {
            warnings.left_out(method, "isError".into(), "not a boolean; taken for true");
            members.set("isError", RawJson::from_trusted("true".into()));
        }
    }
}

impl Salvage for CompleteResult {}

impl Salvage for DiscoverResult {
    const OPTIONAL: &'static [&'static str] = &["instructions", "_meta"];

    /// A capability that cannot be read is one that is not used.
    fn prepare(method: &Method, members: &mut Members, warnings: &mut Warnings) {
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
                "not what this capability looks like",
            );
        }
        members.set("capabilities", RawJson::from(&declared.into()));
    }
}

/// Decodes a result, without what is malformed in it if something is.
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
    let Ok(mut members) = result.decode::<Members>() else {
        return Err(fail(error));
    };
    T::prepare(method, &mut members, warnings);
    let mut list = None;
    if let Some(entries) = T::ENTRIES {
        list = Some((
            entries.member,
            entries
                .well_formed(method, &members, warnings)
                .ok_or_else(|| fail(error))?,
        ));
        // So that the list is not decoded again for each optional member.
        members.set(entries.member, RawJson::from_trusted("[]".into()));
    }
    let mut members = members.without_malformed(T::OPTIONAL, decodes::<T>, |name, why| {
        warnings.left_out(method, name.to_owned(), why);
    });
    if let Some((member, entries)) = list {
        members.set(member, entries);
    }
    members.decode().map_err(fail)
}

impl Entries {
    /// The list without its malformed entries; `None` if there is no list.
    fn well_formed(
        &self,
        method: &Method,
        result: &Members,
        warnings: &mut Warnings,
    ) -> Option<RawJson> {
        let items: Vec<RawJson> = match result.get(self.member) {
            None if !self.instead.iter().any(|name| result.get(name).is_some()) => return None,
            Some(list) if list.as_str() != "null" => list.decode().ok()?,
            absent => {
                let why = if absent.is_some() {
                    "null instead of a list"
                } else {
                    "missing"
                };
                warnings.left_out(method, self.member.to_owned(), why);
                Vec::new()
            }
        };
        let mut kept: Vec<RawJson> = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let Err(why) = (self.decodes)(&item) else {
                kept.push(item);
                continue;
            };
            let members = item
                .decode::<Members>()
                .unwrap_or_else(|_| Members(Vec::new()));
            let part = self.label(index, &members);
            let mut left_out = Vec::new();
            let rest = members.without_malformed(self.optional, self.decodes, |name, why| {
                left_out.push((format!("{part}.{name}"), why.to_string()));
            });
            let rest = rest.text();
            if (self.decodes)(&rest).is_ok() {
                left_out
                    .into_iter()
                    .for_each(|(part, why)| warnings.left_out(method, part, why));
                kept.push(rest);
            } else {
                warnings.left_out(method, part, why);
            }
        }
        RawJson::from_value(&kept).ok()
    }

    /// `tools[3] "sum"`.
    fn label(&self, index: usize, entry: &Members) -> String {
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

/// The members of an object as text, in their order. One that occurs twice does not decode.
#[derive(Clone, Debug)]
pub(crate) struct Members(Vec<(String, RawJson)>);

impl Members {
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

    /// The same without those of the `optional` members with which it does not decode. Each is
    /// tried by itself, beside the members that are not optional.
    fn without_malformed(
        self,
        optional: &[&str],
        decodes: fn(&RawJson) -> Result<(), serde_json::Error>,
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
            let verdict = decodes(&Self(trial.clone()).text());
            if let Some((name, value)) = trial.pop() {
                match verdict {
                    Ok(()) => kept.push((name, value)),
                    Err(why) => left_out(&name, why),
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

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, RawJson)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, RawJson>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(V)
    }
}
