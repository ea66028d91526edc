//! What a server offers, as one immutable value.
//!
//! Lists are sorted by name: that order is the same on every replica, and a cursor that says "after
//! this name" survives additions and removals. Entries are kept as the JSON that lists show, and
//! the first page of each list is rendered in advance. A change makes a new catalogue, which
//! replaces the old one.

pub(crate) mod access;
pub(crate) mod completion;
pub(crate) mod content;
pub(crate) mod instances;
pub(crate) mod list;
pub(crate) mod prompt;
pub(crate) mod rate_limit;
pub(crate) mod resource;
pub(crate) mod tool;
pub(crate) mod tool_entry;
pub(crate) mod uri;

use crate::call::requirements::{Requirements, States};
use crate::call::result_writer::ResultWriter;
use crate::tasks::options::TaskSupport;
use carryall_proto::Principal;
use carryall_types::RawJson;
use completion::{CompletionHandler, CompletionKey, CompletionTarget};
use list::{List, ListKind, ListSettings, Listed};
use prompt::{Prompt, PromptEntry};
use resource::{Resource, ResourceEntry, ResourceKind};
use std::collections::HashMap;
use std::sync::Arc;
use tool::Tool;
use tool_entry::ToolEntry;
use uri::UriVariables;

/// The tools, prompts, resources and completions of a server.
#[derive(Clone, Default)]
pub(crate) struct Catalogue {
    pub(crate) tools: List<ToolEntry>,
    pub(crate) prompts: List<PromptEntry>,
    pub(crate) resources: List<ResourceEntry>,
    pub(crate) templates: List<ResourceEntry>,
    pub(crate) completions: HashMap<CompletionKey, CompletionHandler>,
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

    /// Returns what handlers need and a server with these states does not have.
    pub(crate) fn unmet_requirements(&self, states: &States) -> Vec<String> {
        let mut unmet = Vec::new();
        let mut check = |what: &str, name: &str, requirements: &Requirements| {
            let missing = requirements.unmet(states);
            unmet.extend(missing.map(|missing| format!("{what} {name:?}: {missing}")));
        };
        for entry in self.tools.iter() {
            check("tool", entry.key(), &entry.tool.handler.requirements);
        }
        for entry in self.prompts.iter() {
            check("prompt", entry.key(), &entry.prompt.handler.requirements);
        }
        for entry in self.resources.iter().chain(self.templates.iter()) {
            let resource = &entry.resource;
            check("resource", entry.key(), &resource.handler.requirements);
            if let Some(instances) = &resource.instances {
                check("resource", entry.key(), &instances.requirements);
            }
        }
        for (key, handler) in &self.completions {
            check("completion of", &key.argument, &handler.requirements);
        }
        unmet
    }

    /// Returns the completions of what is not in the catalogue.
    pub(crate) fn unknown_completions(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        for key in self.completions.keys() {
            let argument = &key.argument;
            match &key.target {
                CompletionTarget::Prompt(name) => match self.prompts.find(name) {
                    None => unknown.push(format!("completion of prompt {name:?}: no such prompt")),
                    Some(prompt) if !prompt.accepts_argument(argument) => unknown.push(format!(
                        "completion of prompt {name:?}: it has no argument {argument:?}"
                    )),
                    Some(_) => {}
                },
                CompletionTarget::Template(uri) => match self.templates.find(uri) {
                    None => unknown.push(format!(
                        "completion of resource template {uri:?}: no such template"
                    )),
                    Some(template) if !template.has_variable(argument) => unknown.push(format!(
                        "completion of resource template {uri:?}: it has no variable {argument:?}"
                    )),
                    Some(_) => {}
                },
            }
        }
        // In the order of their texts: a map has none.
        unknown.sort_unstable();
        unknown
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

    /// Returns the entry that `uri` stands for, whoever may know of it: the resource itself, else
    /// the first template that matches. It is the same for every caller, so that no template
    /// circumvents the access rule of a resource.
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

    /// Whether the caller may know that the resource at `uri` exists. A resource that the catalogue
    /// does not have has no access rule.
    pub(crate) fn may_know(&self, uri: &str, caller: Option<&Principal>) -> bool {
        self.resource_at(uri)
            .is_none_or(|(entry, _)| entry.allows(caller))
    }

    /// Whether some templates list their instances.
    pub(crate) fn lists_instances(&self) -> bool {
        let mut templates = self.templates.iter();
        templates.any(|entry| entry.resource.instances.is_some())
    }

    /// Whether some callers may not know of some entries.
    pub(crate) fn is_restricted(&self) -> bool {
        self.tools.is_restricted()
            || self.prompts.is_restricted()
            || self.resources.is_restricted()
            || self.templates.is_restricted()
    }

    /// Renders the first pages in advance. Called after the last change.
    pub(crate) fn render_first_pages(&mut self, settings: ListSettings, results: &ResultWriter) {
        self.tools
            .render_first_page(&ListKind::TOOLS, settings, results);
        self.prompts
            .render_first_page(&ListKind::PROMPTS, settings, results);
        self.resources
            .render_first_page(&ListKind::RESOURCES, settings, results);
        self.templates
            .render_first_page(&ListKind::TEMPLATES, settings, results);
    }
}
