//! Merges lists. Each page holds one page of every upstream that has any left; the cursor holds
//! where each upstream continues.

use super::Federation;
use super::fan_out::{PartialAnswer, first_error, merged_hint};
use super::malformed::MalformedParts;
use super::resource_index::EntryKind;
use crate::cursor::MergedCursor;
use crate::upstream::{Upstream, prefixed};
use carryall_proto::{Call, Params};
use carryall_types::{ErrorObject, JsonValue, Method, RawJson, code};
use std::collections::{BTreeMap, HashSet};

/// The upstreams of one page, with the call for each.
type PageCalls<'a> = Vec<(&'a Upstream, Call)>;

/// What one upstream contributes to a page.
struct PagePart {
    items: Vec<RawJson>,
    next_cursor: Option<String>,
}

impl Federation {
    pub(super) async fn list(&self, call: &Call) -> Result<RawJson, ErrorObject> {
        let (calls, was_private) = self.page_calls(call)?;
        let (upstreams, cursors): (Vec<_>, Vec<_>) = calls
            .iter()
            .map(|(upstream, call)| {
                let cursor = call.params().get_str("cursor");
                (*upstream, cursor.map(str::to_owned))
            })
            .unzip();
        let mut parts = self.fan_out(calls).await;
        if let Some(error) = cursor_refusal(&parts, &cursors) {
            return Err(error);
        }
        let mut items = Vec::new();
        let mut next_cursors = Vec::new();
        let mut uris = HashSet::new();
        for ((part, upstream), cursor) in parts.iter_mut().zip(&upstreams).zip(&cursors) {
            let PartialAnswer::Result(result) = part else {
                continue;
            };
            match self.page_part(call.method(), upstream, result, &mut uris) {
                Ok(page) => {
                    items.extend(page.items);
                    // A cursor that returns itself would send the client into a loop.
                    let next = page.next_cursor.filter(|next| {
                        cursor.as_deref() != Some(&*JsonValue::from(&**next).to_string())
                    });
                    next_cursors.extend(next.map(|next| (upstream.name().to_owned(), next)));
                }
                Err(reason) => {
                    tracing::warn!(upstream = upstream.name(), method = %call.method(), reason = %carryall_proto::PrintableFmt(&reason), "upstream left out of the list");
                    *part = PartialAnswer::Failed(ErrorObject::internal());
                }
            }
        }
        if !parts
            .iter()
            .any(|part| matches!(part, PartialAnswer::Result(_)))
        {
            return Err(first_error(parts, call.method()));
        }
        let mut hint = merged_hint(call.method(), &parts);
        hint.public &= !was_private;
        let mut result = self.result_members(hint);
        let next = MergedCursor {
            private: !hint.public,
            parts: next_cursors,
        };
        if let Some(cursor) = next.encode(call.method()) {
            result.insert("nextCursor".into(), cursor.into());
        }
        Ok(with_items(
            &RawJson::from(&JsonValue::Object(result)),
            list_member(call.method()),
            &items,
        ))
    }

    /// Returns the calls for one page, and whether an earlier page was private.
    fn page_calls(&self, call: &Call) -> Result<(PageCalls<'_>, bool), ErrorObject> {
        let Some(cursor) = call.params().get("cursor") else {
            let calls = self.upstreams.iter();
            let calls = calls.map(|upstream| (upstream, call.clone()));
            return Ok((calls.collect(), false));
        };
        let text: String = cursor
            .decode()
            .map_err(|_| ErrorObject::invalid_params("\"cursor\" must be a string"))?;
        let cursor =
            MergedCursor::decode(call.method(), &text, |name| self.upstream(name).is_some())?;
        let calls = cursor.parts.iter().filter_map(|(name, cursor)| {
            let mut page = call.clone();
            page.set_param("cursor", &RawJson::from(&JsonValue::from(&**cursor)));
            Some((self.upstream(name)?, page))
        });
        Ok((calls.collect(), cursor.private))
    }

    /// Reads the page of one upstream, prefixes names and indexes resources. Entries that cannot be
    /// addressed and malformed cursors are left out; other members are not checked, because some
    /// clients can use what others cannot.
    fn page_part(
        &self,
        method: &Method,
        upstream: &Upstream,
        result: &RawJson,
        uris: &mut HashSet<String>,
    ) -> Result<PagePart, &'static str> {
        let members: BTreeMap<String, RawJson> =
            result.decode().map_err(|_| "the result is not an object")?;
        let items = members
            .get(list_member(method))
            .ok_or("the list is missing from the result")?;
        let items: Option<Vec<RawJson>> = items.decode().map_err(|_| "the list is not an array")?;
        let mut malformed = MalformedParts::default();
        let items = items.unwrap_or_else(|| {
            malformed.add(list_member(method), "null instead of a list");
            Vec::new()
        });
        let next_cursor = members
            .get("nextCursor")
            .map(|cursor| cursor.decode::<Option<String>>())
            .transpose();
        let next_cursor = next_cursor.map(Option::flatten).unwrap_or_else(|_| {
            malformed.add("nextCursor", "not a string, treated as the end of the list");
            None
        });
        let items = match method {
            Method::ToolsList | Method::PromptsList => {
                with_prefixed_names(upstream, items, &mut malformed)
            }
            Method::ResourcesList => {
                self.indexed(EntryKind::Resource, upstream, items, uris, &mut malformed)
            }
            _ => self.indexed(EntryKind::Template, upstream, items, uris, &mut malformed),
        };
        malformed.report(upstream.name(), method);
        Ok(PagePart { items, next_cursor })
    }

    /// Indexes the resources or templates of an upstream. A URI that an earlier upstream lists on
    /// this page is left out, since the later one's could not be read.
    fn indexed(
        &self,
        kind: EntryKind,
        upstream: &Upstream,
        items: Vec<RawJson>,
        uris: &mut HashSet<String>,
        malformed: &mut MalformedParts,
    ) -> Vec<RawJson> {
        let position = self.position(upstream);
        let member = match kind {
            EntryKind::Resource => "uri",
            EntryKind::Template => "uriTemplate",
        };
        let mut kept = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match string_member(item.clone(), member) {
                Ok((_, uri)) => {
                    self.resources.add(position, kind, &uri);
                    if uris.insert(uri) {
                        kept.push(item);
                    }
                }
                Err(reason) => malformed.add(format_args!("entry {index}"), reason),
            }
        }
        kept
    }
}

/// Prefixes the names of tools or prompts. Their other members stay unchanged.
fn with_prefixed_names(
    upstream: &Upstream,
    items: Vec<RawJson>,
    malformed: &mut MalformedParts,
) -> Vec<RawJson> {
    let rename = |(index, item)| match string_member(item, "name") {
        Ok((item, name)) => {
            let name = prefixed(upstream.name(), &name);
            let item = item.with("name", &RawJson::from(&JsonValue::from(name)));
            Some(item.raw().clone())
        }
        Err(reason) => {
            malformed.add(format_args!("entry {index}"), reason);
            None
        }
    };
    items.into_iter().enumerate().filter_map(rename).collect()
}

/// Parses an entry of a list, and the member that identifies it.
fn string_member(item: RawJson, member: &str) -> Result<(Params, String), String> {
    let item = Params::parse(item).map_err(|error| error.to_string())?;
    let value = item.get(member).and_then(|value| value.decode().ok());
    let value = value.ok_or_else(|| format!("{member:?} is not a string"))?;
    Ok((item, value))
}

/// Returns the error of an upstream that refused its own cursor: the client has to start again.
fn cursor_refusal(parts: &[PartialAnswer], cursors: &[Option<String>]) -> Option<ErrorObject> {
    parts
        .iter()
        .zip(cursors)
        .find_map(|(part, cursor)| match part {
            PartialAnswer::Failed(error)
                if cursor.is_some() && error.code == code::INVALID_PARAMS =>
            {
                Some(error.clone())
            }
            _ => None,
        })
}

/// Returns the member of the result that holds the list.
fn list_member(list: &Method) -> &'static str {
    match list {
        Method::ToolsList => "tools",
        Method::PromptsList => "prompts",
        Method::ResourcesList => "resources",
        _ => "resourceTemplates",
    }
}

/// Adds a list of unchanged items to an object.
fn with_items(object: &RawJson, member: &str, items: &[RawJson]) -> RawJson {
    let length = items
        .iter()
        .map(|item| item.as_bytes().len() + 1)
        .sum::<usize>();
    let mut list = Vec::with_capacity(length + 2);
    list.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(item.as_bytes());
    }
    list.push(b']');
    let list = RawJson::from_trusted(list.into());
    Params::parse(object.clone()).map_or_else(
        |_| object.clone(),
        |object| object.with(member, &list).raw().clone(),
    )
}
