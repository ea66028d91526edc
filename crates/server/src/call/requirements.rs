//! The state of a server, and what its handlers need of it.

use crate::state::rounds::form::form_of;
use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;

/// The values that a server was given for its handlers, by type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(state));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// What handlers need of their server; see [`FromCtx::requires`](crate::FromCtx::requires).
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    states: Vec<(TypeId, &'static str)>,
    problems: Vec<String>,
}

impl Requirements {
    /// Requires a state of type `T`.
    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// Requires that a form can ask for a `T`.
    pub fn form<T: schemars::JsonSchema>(&mut self) {
        self.problems
            .extend(form_of::<T>().err().map(|error| error.to_string()));
    }

    /// Reports something that can never work.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The requirements that a server with these states does not meet.
    pub(crate) fn unmet(&self, states: &States) -> impl Iterator<Item = String> {
        let missing = self
            .states
            .iter()
            .filter(|(id, _)| !states.0.contains_key(id))
            .map(|(_, name)| {
                format!("its handler takes State<{name}>, and the server has none (ServerBuilder::state)")
            });
        missing.chain(self.problems.iter().cloned())
    }
}
