//! What the server offers, as one immutable value.
//!
//! Lists are sorted by name, so that they look the same on every replica and a cursor ("after this
//! name") survives additions and removals. Each entry is kept as the JSON that lists show; the
//! first page of each list is kept whole. A change makes a new catalogue and puts it in the place
//! of the old one.

pub(crate) mod access;
pub(crate) mod completion;
pub(crate) mod content;
pub(crate) mod prompt;
pub(crate) mod rate_limit;
pub(crate) mod resource;
pub(crate) mod tool;
pub(crate) mod tool_entry;
pub(crate) mod uri;

use crate::call::errors::concise;
use crate::call::result_writer::{Cache, ResultWriter};
use crate::catalogue::completion::{CompletionKey, Handler as CompletionHandler};
use crate::catalogue::prompt::{Prompt, PromptEntry};
use crate::catalogue::resource::{Resource, ResourceEntry, ResourceKind};
use crate::catalogue::tool::Tool;
use crate::catalogue::tool_entry::ToolEntry;
use crate::catalogue::uri::UriVariables;
use crate::state::rounds::Sealer;
use crate::tasks::TaskSupport;
use carryall_proto::Principal;
use carryall_proto::cursor::Cursor;
use carryall_types::{CacheScope, ErrorObject, Method, RawJson};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The longest name or URI of an entry. Each of them has to fit into a cursor, or the pages behind
/// it would be lost.
const MAX_KEY_BYTES: usize = 4096;

/// How lists are cut and how long they may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListSettings {
    pub(crate) page_size: usize,
    pub(crate) cache: Cache,
}

#[derive(Clone, Default)]
pub(crate) struct Catalogue {
    pub(crate) tools: List<ToolEntry>,
    pub(crate) prompts: List<PromptEntry>,
    pub(crate) resources: List<ResourceEntry>,
    pub(crate) templates: List<ResourceEntry>,
    pub(crate) completions: HashMap<CompletionKey, CompletionHandler>,
}

/// An entry of a list.
pub(crate) trait Listed {
    fn key(&self) -> &str;
    fn json(&self) -> &RawJson;
    fn allows(&self, caller: Option<&Principal>) -> bool;
    fn is_restricted(&self) -> bool;
}

macro_rules! listed {
    ($entry:ty, $self:ident, $key:expr, $access:expr) => {
        impl Listed for $entry {
            fn key(&$self) -> &str {
                $key
            }
            fn json(&$self) -> &RawJson {
                &$self.json
            }
            fn allows(&$self, caller: Option<&Principal>) -> bool {
                $access.allows(caller)
            }
            fn is_restricted(&$self) -> bool {
                $access.is_restricted()
            }
        }
    };
}

listed!(ToolEntry, self, self.tool.name(), self.tool.access);
listed!(PromptEntry, self, self.prompt.name(), self.prompt.access);
listed!(ResourceEntry, self, &self.key, self.resource.access);

/// Entries by key, in the order of their keys.
pub(crate) struct List<T> {
    entries: BTreeMap<Box<str>, Arc<T>>,
    index: HashMap<Box<str>, Arc<T>>,
    first_page: Option<RawJson>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            index: HashMap::new(),
            first_page: None,
        }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            index: self.index.clone(),
            first_page: self.first_page.clone(),
        }
    }
}

impl<T: Listed> List<T> {
    /// The entry under `key`, unless the caller may not know of it.
    pub(crate) fn get(&self, key: &str, caller: Option<&Principal>) -> Option<&Arc<T>> {
        self.index.get(key).filter(|entry| entry.allows(caller))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.entries.values()
    }

    /// The entry under `key`, whoever may know of it.
    fn find(&self, key: &str) -> Option<&Arc<T>> {
        self.index.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn is_restricted(&self) -> bool {
        self.entries.values().any(|entry| entry.is_restricted())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry; `false` if the key was taken, and the old entry has been replaced.
    fn insert(&mut self, entry: T) -> Result<bool, String> {
        let key: Box<str> = entry.key().into();
        if key.len() > MAX_KEY_BYTES {
            return Err(format!(
                "{:?} is longer than {MAX_KEY_BYTES} bytes",
                concise(&key)
            ));
        }
        let entry = Arc::new(entry);
        self.index.insert(key.clone(), Arc::clone(&entry));
        Ok(self.entries.insert(key, entry).is_none())
    }

    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.index.remove(key);
        self.entries.remove(key).is_some()
    }

    /// Renders the first page ahead, where it is the same for everybody.
    fn prepare(
        &mut self,
        method: &Method,
        member: &str,
        settings: ListSettings,
        stamp: &ResultWriter,
    ) {
        self.first_page = None;
        if !self.entries.values().any(|entry| entry.is_restricted()) {
            self.first_page = self
                .page(method, member, None, None, settings, (stamp, None))
                .ok();
        }
    }

    /// The page behind `cursor`, as this caller may see it. Where callers see different lists, a
    /// cursor is sealed for its caller, if there are keys that all replicas have: the name in it
    /// may be one that others must not know.
    pub(crate) fn page(
        &self,
        method: &Method,
        member: &str,
        cursor: Option<&str>,
        caller: Option<&Principal>,
        settings: ListSettings,
        (stamp, sealer): (&ResultWriter, Option<&Sealer>),
    ) -> Result<RawJson, ErrorObject> {
        let restricted = self.entries.values().any(|entry| entry.is_restricted());
        let sealer = sealer.filter(|_| restricted);
        let after = match cursor {
            None => match &self.first_page {
                Some(page) => return Ok(page.clone()),
                None => None,
            },
            Some(cursor) => Some(match sealer {
                Some(sealer) => sealer.open_cursor(method.as_str(), caller, cursor)?.after,
                None => Cursor::decode(method.as_str(), cursor)?.after,
            }),
        };
        let mut cache = settings.cache;
        if restricted {
            // The list differs between callers, so nobody may pass it on, and that holds for all of
            // its pages.
            cache.scope = CacheScope::Private;
        }
        let start = match &after {
            None => std::ops::Bound::Unbounded,
            Some(after) => std::ops::Bound::Excluded(after.clone()),
        };
        let mut visible = self
            .entries
            .range((start, std::ops::Bound::Unbounded))
            .filter(|(_, e)| e.allows(caller));
        let page: Vec<&Arc<T>> = visible
            .by_ref()
            .take(settings.page_size)
            .map(|(_, entry)| entry)
            .collect();
        let next = match (visible.next(), page.last()) {
            (Some(_), Some(last)) => {
                let cursor = Cursor::new(method.as_str(), last.key());
                match sealer {
                    Some(sealer) => sealer.seal_cursor(&cursor, caller),
                    None => cursor.encode().ok(),
                }
            }
            _ => None,
        };
        Ok(stamp.page(
            member,
            page.iter().map(|entry| entry.json()),
            next.as_deref(),
            cache,
        ))
    }
}

impl Catalogue {
    pub(crate) fn add_tool(&mut self, tool: Tool) -> Result<bool, String> {
        self.tools.insert(ToolEntry::new(tool)?)
    }

    /// Whether there is a tool that may run as a task.
    pub(crate) fn has_task_tools(&self) -> bool {
        self.tools
            .iter()
            .any(|entry| entry.tool.task != TaskSupport::Never)
    }

    pub(crate) fn add_prompt(&mut self, prompt: Prompt) -> Result<bool, String> {
        self.prompts.insert(PromptEntry::new(prompt)?)
    }

    pub(crate) fn add_resource(&mut self, resource: Resource) -> Result<bool, String> {
        let is_template = matches!(resource.kind, ResourceKind::Template(_));
        let entry = ResourceEntry::new(resource)?;
        if is_template {
            self.templates.insert(entry)
        } else {
            self.resources.insert(entry)
        }
    }

    /// What stands for `uri`, whoever may know of it: the resource itself, else the first template
    /// that matches. It is the same one for every caller, so that no template leads around the rule
    /// of a resource.
    pub(crate) fn resource_at(&self, uri: &str) -> Option<(Arc<ResourceEntry>, UriVariables)> {
        let exact = self
            .resources
            .find(uri)
            .map(|entry| (Arc::clone(entry), UriVariables::default()));
        exact.or_else(|| {
            self.templates.iter().find_map(|entry| {
                let variables = entry.template.as_ref()?.matches(uri)?;
                Some((Arc::clone(entry), variables))
            })
        })
    }

    /// Whether the caller may know that the resource at `uri` exists. What the catalogue does not
    /// have has no rule.
    pub(crate) fn may_know(&self, uri: &str, caller: Option<&Principal>) -> bool {
        self.resource_at(uri)
            .is_none_or(|(entry, _)| entry.allows(caller))
    }

    /// Whether some entries are not for everybody.
    pub(crate) fn is_restricted(&self) -> bool {
        self.tools.is_restricted()
            || self.prompts.is_restricted()
            || self.resources.is_restricted()
            || self.templates.is_restricted()
    }

    /// Renders what can be rendered ahead. To be called after the last change.
    pub(crate) fn prepare(&mut self, settings: ListSettings, stamp: &ResultWriter) {
        self.tools
            .prepare(&Method::ToolsList, "tools", settings, stamp);
        self.prompts
            .prepare(&Method::PromptsList, "prompts", settings, stamp);
        self.resources
            .prepare(&Method::ResourcesList, "resources", settings, stamp);
        self.templates.prepare(
            &Method::ResourcesTemplatesList,
            "resourceTemplates",
            settings,
            stamp,
        );
    }
}
