//! Changing what a running server offers.

use crate::catalogue::Catalogue;
use crate::catalogue::prompt::IntoPrompt;
use crate::catalogue::resource::IntoResource;
use crate::catalogue::tool::IntoTool;
use crate::tasks::options::TaskSupport;
use std::fmt;

/// What can be changed while the server runs; see [`Server::change`](crate::Server::change).
pub struct CatalogueChange<'a> {
    pub(super) catalogue: &'a mut Catalogue,
    pub(super) has_tasks: bool,
    pub(super) problems: Vec<String>,
}

impl CatalogueChange<'_> {
    /// Adds a tool, or replaces the one of its name.
    pub fn tool(&mut self, tool: impl IntoTool) -> &mut Self {
        let tool = tool.into_tool();
        if tool.task != TaskSupport::Never && !self.has_tasks {
            let name = tool.name();
            let why = "it may run as a task, and the server was built without tasks (ServerBuilder::tasks)";
            return self.note(Err(format!("tool {name:?}: {why}")));
        }
        let added = self.catalogue.add_tool(tool);
        self.note(added)
    }

    /// Adds a prompt, or replaces the one of its name.
    pub fn prompt(&mut self, prompt: impl IntoPrompt) -> &mut Self {
        let added = self.catalogue.add_prompt(prompt.into_prompt());
        self.note(added)
    }

    /// Adds a resource or template, or replaces the one of its URI.
    pub fn resource(&mut self, resource: impl IntoResource) -> &mut Self {
        let added = self.catalogue.add_resource(resource.into_resource());
        self.note(added)
    }

    /// Removes a tool. Returns whether there was one.
    pub fn remove_tool(&mut self, name: &str) -> bool {
        self.catalogue.tools.remove(name)
    }

    /// Removes a prompt. Returns whether there was one.
    pub fn remove_prompt(&mut self, name: &str) -> bool {
        self.catalogue.prompts.remove(name)
    }

    /// Removes the resource or template with this URI. Returns whether there was one.
    pub fn remove_resource(&mut self, uri: &str) -> bool {
        self.catalogue.resources.remove(uri) | self.catalogue.templates.remove(uri)
    }

    fn note(&mut self, added: Result<bool, String>) -> &mut Self {
        self.problems.extend(added.err());
        self
    }
}

impl fmt::Debug for CatalogueChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogueChange")
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// Why a server cannot be built or changed: every problem found, each naming the entry it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError(pub(super) String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}
