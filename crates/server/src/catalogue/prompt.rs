//! Prompts: templates that people choose.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::catalogue::access::Access;
use carryall_proto::{BoxFuture, Principal};
use carryall_types::{
    ContentBlock, GetPromptResult, Icon, Prompt as Definition, PromptArgument, PromptMessage,
    RawJson, Role,
};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

/// A prompt as the server offers it. The macro `#[prompt]` makes one from a function.
#[derive(Clone)]
pub struct Prompt {
    pub(crate) definition: Definition,
    pub(crate) handler: Handler,
    pub(crate) access: Access,
    additional_arguments: bool,
}

pub(crate) type Handler = Arc<
    dyn Fn(Ctx, PromptArguments) -> BoxFuture<Result<GetPromptResult, HandlerError>> + Send + Sync,
>;

/// Anything that [`ServerBuilder::prompt`](crate::ServerBuilder::prompt) takes.
pub trait IntoPrompt {
    /// The prompt.
    fn into_prompt(self) -> Prompt;
}

impl IntoPrompt for Prompt {
    fn into_prompt(self) -> Prompt {
        self
    }
}

/// A function that makes one; `#[prompt]` turns functions into such.
impl<F: FnOnce() -> Prompt> IntoPrompt for F {
    fn into_prompt(self) -> Prompt {
        self()
    }
}

impl Prompt {
    /// A prompt that `handler` fills in. Its arguments are declared with [`Prompt::argument`].
    pub fn new<F, Fut, R>(name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Ctx, PromptArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoPromptResult + 'static,
    {
        let handler: Handler = Arc::new(move |ctx, arguments| {
            let result = handler(ctx, arguments);
            Box::pin(async move { result.await.into_result() })
        });
        Self {
            definition: Definition::new(name),
            handler,
            access: Access::Anyone,
            additional_arguments: false,
        }
    }

    /// The name under which clients get the prompt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What the prompt is for.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.definition.description = Some(description.into());
        self
    }

    /// What people see as its name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.definition.title = Some(title.into());
        self
    }

    /// Adds an icon.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.definition.icons.get_or_insert_default().push(icon);
        self
    }

    /// Declares an argument. A request that leaves out a required one, or brings one that is not
    /// declared, is refused before the handler runs.
    #[must_use]
    pub fn argument(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        required: bool,
    ) -> Self {
        let description = description.into();
        let mut argument = PromptArgument::new(name);
        argument.description = (!description.is_empty()).then_some(description);
        argument.required = Some(required);
        self.definition
            .arguments
            .get_or_insert_default()
            .push(argument);
        self
    }

    /// Says whether arguments that are not declared are let through. They are refused unless this
    /// is set, since a misspelt optional argument would otherwise be left out silently.
    #[must_use]
    pub fn additional_arguments(mut self, allowed: bool) -> Self {
        self.additional_arguments = allowed;
        self
    }

    /// Only callers with this scope see the prompt and may get it.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Only callers for whom `allowed` holds see the prompt and may get it.
    #[must_use]
    pub fn visible_if(
        mut self,
        allowed: impl Fn(Option<&Principal>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access = Access::rule(allowed);
        self
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

/// The arguments of a `prompts/get`: strings by name.
#[derive(Clone, Debug, Default)]
pub struct PromptArguments(HashMap<String, String>);

impl PromptArguments {
    pub(crate) fn parse(raw: Option<RawJson>) -> Result<Self, HandlerError> {
        match raw {
            None => Ok(Self::default()),
            Some(raw) => raw.decode().map(Self).map_err(|_| {
                HandlerError::invalid_params(
                    "Invalid prompt arguments: every value has to be a string",
                )
            }),
        }
    }

    /// One argument as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A required argument as `T`.
    ///
    /// # Errors
    /// `-32602` when it is missing or does not parse.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T, HandlerError>
    where
        T::Err: fmt::Display,
    {
        self.optional(name)?.ok_or_else(|| {
            HandlerError::invalid_params(format!("Missing required argument: {name}"))
        })
    }

    /// An optional argument as `T`.
    ///
    /// # Errors
    /// `-32602` when it does not parse.
    pub fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, HandlerError>
    where
        T::Err: fmt::Display,
    {
        let parse = |text: &str| {
            text.parse().map_err(|error| {
                HandlerError::invalid_params(format!("Invalid argument {name}: {error}"))
            })
        };
        self.text(name).map(parse).transpose()
    }
}

/// What a prompt may return.
pub trait IntoPromptResult {
    /// The messages, or why there are none.
    ///
    /// # Errors
    /// When the prompt cannot be filled in.
    fn into_result(self) -> Result<GetPromptResult, HandlerError>;
}

impl IntoPromptResult for GetPromptResult {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        Ok(self)
    }
}

impl IntoPromptResult for Vec<PromptMessage> {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        Ok(GetPromptResult::new(self))
    }
}

impl IntoPromptResult for PromptMessage {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        vec![self].into_result()
    }
}

impl IntoPromptResult for String {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        PromptMessage::new(Role::User, ContentBlock::text(self)).into_result()
    }
}

impl IntoPromptResult for &'static str {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        self.to_owned().into_result()
    }
}

impl<T: IntoPromptResult, E: Into<HandlerError>> IntoPromptResult for Result<T, E> {
    fn into_result(self) -> Result<GetPromptResult, HandlerError> {
        self.map_err(Into::into)?.into_result()
    }
}

/// The longest name that is repeated in an error, in characters.
const MAX_NAME_SHOWN: usize = 80;
/// So many names are listed in an error at most.
const MAX_LISTED: usize = 20;

fn unknown_argument(name: &str, declared: &[PromptArgument]) -> HandlerError {
    let known = || declared.iter().map(|argument| argument.name.as_str());
    let shown: String = name.chars().take(MAX_NAME_SHOWN).collect();
    let meant = carryall_schema::closest(name, known());
    let meant = meant
        .map(|meant| format!(": did you mean {meant:?}?"))
        .unwrap_or_default();
    let list: Vec<String> = known().map(|name| format!("{name:?}")).collect();
    let list = if list.is_empty() || list.len() > MAX_LISTED {
        String::new()
    } else {
        format!(" (known: {})", list.join(", "))
    };
    HandlerError::invalid_params(format!("Unknown argument {shown:?}{meant}{list}"))
}

/// A prompt in the catalogue.
pub(crate) struct PromptEntry {
    pub(crate) prompt: Prompt,
    pub(crate) json: RawJson,
}

impl PromptEntry {
    pub(crate) fn new(prompt: Prompt) -> Result<Self, String> {
        let name = &prompt.definition.name;
        if name.is_empty() {
            return Err("a prompt needs a name".into());
        }
        let mut arguments: Vec<&str> = prompt
            .definition
            .arguments
            .iter()
            .flatten()
            .map(|a| a.name.as_str())
            .collect();
        arguments.sort_unstable();
        if let Some(twice) = arguments.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!(
                "prompt {name:?}: the argument {:?} is there twice",
                twice[0]
            ));
        }
        let json = RawJson::from_value(&prompt.definition)
            .map_err(|error| format!("prompt {name:?}: {error}"))?;
        Ok(Self { prompt, json })
    }

    /// Whether the prompt declares this argument.
    pub(crate) fn has_argument(&self, name: &str) -> bool {
        self.prompt
            .definition
            .arguments
            .iter()
            .flatten()
            .any(|argument| argument.name == name)
    }

    /// Refuses arguments that lack a required one or hold one that nobody knows
    /// (`server/prompts#implementation-considerations`).
    pub(crate) fn check(&self, arguments: &PromptArguments) -> Result<(), HandlerError> {
        let declared = self
            .prompt
            .definition
            .arguments
            .as_deref()
            .unwrap_or_default();
        let missing = declared
            .iter()
            .find(|a| a.required == Some(true) && arguments.text(&a.name).is_none());
        if let Some(argument) = missing {
            return Err(HandlerError::invalid_params(format!(
                "Missing required argument: {}",
                argument.name
            )));
        }
        // The first by name, so that the same request gets the same answer.
        let unknown = arguments
            .0
            .keys()
            .filter(|name| !self.has_argument(name))
            .min();
        match unknown.filter(|_| !self.prompt.additional_arguments) {
            None => Ok(()),
            Some(name) => Err(unknown_argument(name, declared)),
        }
    }
}
