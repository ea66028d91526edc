//! Merged lists. Each page holds a page of every upstream that has one left; the cursor says where
//! each goes on.

use super::Federation;
use super::fan_out::{Part, first_error, merged_hint};
use super::faults::MalformedParts;
use super::resource_index::Kind;
use crate::cursor::MergedCursor;
use crate::upstream::{Upstream, prefixed};
use carryall_proto::{Call, Params};
use carryall_types::{ErrorObject, JsonValue, Method, RawJson, code};
use std::collections::{BTreeMap, HashSet};

/// Whom to ask for which page.
type Pages<'a> = Vec<(&'a Upstream, Call)>;

/// What one upstream adds to a page.
struct Addition {
    items: Vec<RawJson>,
    next: Option<String>,
}

impl Federation {
    pub(super) async fn list(&self, call: &Call) -> Result<RawJson, ErrorObject> {
        let (asked, private) = self.pages(call)?;
        let (upstreams, cursors): (Vec<_>, Vec<_>) = asked
            .iter()
            .map(|(upstream, call)| {
                (
                    *upstream,
                    call.params().get_str("cursor").map(str::to_owned),
                )
            })
            .unzip();
        let mut parts = self.ask(asked).await;
        if let Some(refused) = cursor_refused(&parts, &cursors) {
            return Err(refused);
        }
        let mut items = Vec::new();
        let mut next = Vec::new();
        let mut uris = HashSet::new();
        for ((part, upstream), cursor) in parts.iter_mut().zip(&upstreams).zip(&cursors) {
            let Part::Result(result) = part else { continue };
            match self.addition(call.method(), upstream, result, &mut uris) {
                Ok(addition) => {
                    items.extend(addition.items);
                    // A cursor that leads to itself would lead the client in a circle.
                    let onward = addition.next.filter(|next| {
                        cursor.as_deref() != Some(&*JsonValue::from(&**next).to_string())
                    });
                    next.extend(onward.map(|cursor| (upstream.name().to_owned(), cursor)));
                }
                Err(why) => {
                    tracing::warn!(upstream = upstream.name(), method = %call.method(), why = %carryall_proto::PrintableFmt(&why), "upstream left out of the list");
                    *part = Part::LeftOut(ErrorObject::internal());
                }
            }
        }
        if !parts.iter().any(|part| matches!(part, Part::Result(_))) {
            return Err(first_error(parts, call.method()));
        }
        let mut hint = merged_hint(call.method(), &parts);
        hint.public &= !private;
        let mut result = self.signed(hint);
        let next = MergedCursor {
            private: !hint.public,
            parts: next,
        };
        if let Some(cursor) = next.encode(call.method()) {
            result.insert("nextCursor".into(), cursor.into());
        }
        Ok(with_items(
            &RawJson::from(&JsonValue::Object(result)),
            member(call.method()),
            &items,
        ))
    }

    /// Whom to ask for which page, and whether an earlier page was private.
    fn pages(&self, call: &Call) -> Result<(Pages<'_>, bool), ErrorObject> {
        let Some(cursor) = call.params().get("cursor") else {
            return Ok((
                self.upstreams
                    .iter()
                    .map(|upstream| (upstream, call.clone()))
                    .collect(),
                false,
            ));
        };
        let text: String = cursor
            .decode()
            .map_err(|_| ErrorObject::invalid_params("\"cursor\" must be a string"))?;
        let cursor =
            MergedCursor::decode(call.method(), &text, |name| self.upstream(name).is_some())?;
        let pages = cursor.parts.iter().filter_map(|(name, cursor)| {
            let mut page = call.clone();
            page.set_param("cursor", &RawJson::from(&JsonValue::from(&**cursor)));
            Some((self.upstream(name)?, page))
        });
        Ok((pages.collect(), cursor.private))
    }

    /// Reads a page, puts names into the federation's form and notes whose the resources are. What
    /// is malformed is left out: an entry that cannot be addressed, and what follows a cursor that
    /// is none. The rest of an entry is not looked at, since some clients can use what others
    /// cannot.
    fn addition(
        &self,
        method: &Method,
        upstream: &Upstream,
        result: &RawJson,
        uris: &mut HashSet<String>,
    ) -> Result<Addition, &'static str> {
        let members: BTreeMap<String, RawJson> =
            result.decode().map_err(|_| "the result is not an object")?;
        let items = members
            .get(member(method))
            .ok_or("the list is missing from the result")?;
        let items: Option<Vec<RawJson>> = items.decode().map_err(|_| "the list is not an array")?;
        let mut faults = MalformedParts::default();
        let items = items.unwrap_or_else(|| {
            faults.add(member(method), "null instead of a list");
            Vec::new()
        });
        let next = members
            .get("nextCursor")
            .map(|next| next.decode::<Option<String>>())
            .transpose();
        let next = next.map(Option::flatten).unwrap_or_else(|_| {
            faults.add("nextCursor", "not a string, taken for the end of the list");
            None
        });
        let items = match method {
            Method::ToolsList | Method::PromptsList => renamed(upstream, items, &mut faults),
            Method::ResourcesList => {
                self.noted((Kind::Resource, "uri"), upstream, items, uris, &mut faults)
            }
            _ => self.noted(
                (Kind::Template, "uriTemplate"),
                upstream,
                items,
                uris,
                &mut faults,
            ),
        };
        faults.report(upstream.name(), method);
        Ok(Addition { items, next })
    }

    /// Whoever lists a URI first has it; the same one from another upstream could not be read and
    /// is left out.
    fn noted(
        &self,
        (kind, member): (Kind, &str),
        upstream: &Upstream,
        items: Vec<RawJson>,
        uris: &mut HashSet<String>,
        faults: &mut MalformedParts,
    ) -> Vec<RawJson> {
        let position = self.position(upstream);
        let mut index = 0..;
        let keep = |item: &RawJson| {
            let at = index.next().unwrap_or_default();
            match text_member(item.clone(), member) {
                Ok((_, uri)) => {
                    self.resources.add(position, kind, &uri);
                    uris.insert(uri)
                }
                Err(why) => {
                    faults.add(format_args!("entry {at}"), why);
                    false
                }
            }
        };
        let mut items = items;
        items.retain(keep);
        items
    }
}

/// The tools or prompts under their names in the federation. Everything else about them stays as it
/// stands.
fn renamed(upstream: &Upstream, items: Vec<RawJson>, faults: &mut MalformedParts) -> Vec<RawJson> {
    let rename = |(at, item)| match text_member(item, "name") {
        Ok((item, name)) => {
            let name = prefixed(upstream.name(), &name);
            Some(
                item.with("name", &RawJson::from(&JsonValue::from(name)))
                    .raw()
                    .clone(),
            )
        }
        Err(why) => {
            faults.add(format_args!("entry {at}"), why);
            None
        }
    };
    items.into_iter().enumerate().filter_map(rename).collect()
}

/// An entry of a list, and what it is addressed by.
fn text_member(item: RawJson, member: &str) -> Result<(Params, String), String> {
    let item = Params::parse(item).map_err(|error| error.to_string())?;
    let text = item.get(member).and_then(|text| text.decode().ok());
    let text = text.ok_or_else(|| format!("{member:?} is not a string"))?;
    Ok((item, text))
}

/// An upstream that does not know its own cursor any more: the client has to begin anew.
fn cursor_refused(parts: &[Part], cursors: &[Option<String>]) -> Option<ErrorObject> {
    parts
        .iter()
        .zip(cursors)
        .find_map(|(part, cursor)| match part {
            Part::LeftOut(error) if cursor.is_some() && error.code == code::INVALID_PARAMS => {
                Some(error.clone())
            }
            _ => None,
        })
}

fn member(list: &Method) -> &'static str {
    match list {
        Method::ToolsList => "tools",
        Method::PromptsList => "prompts",
        Method::ResourcesList => "resources",
        _ => "resourceTemplates",
    }
}

/// Puts an array of untouched items into an object that has other members.
fn with_items(object: &RawJson, member: &str, items: &[RawJson]) -> RawJson {
    let length = items
        .iter()
        .map(|item| item.as_bytes().len() + 1)
        .sum::<usize>();
    let mut list = Vec::with_capacity(length + 2);
    list.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
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
