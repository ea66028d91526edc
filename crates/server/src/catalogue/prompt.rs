//! Prompts: message templates that users choose.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromInput, ViaInput};
use crate::call::handler::{ErasedHandler, Handler};
use crate::call::handler_error::HandlerError;
use crate::catalogue::access::Access;
use carryall_proto::Principal;
use carryall_types::{
    ContentBlock, GetPromptResult, Icon, Prompt as PromptDefinition, PromptArgument, PromptMessage,
    RawJson, Role,
};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// A prompt: what clients see of it, and the handler that fills it in.
///
/// The macro `#[prompt]` makes one from a function. Without it:
///
/// ```
/// # use carryall_server::{HandlerError, Prompt, PromptArguments};
/// let review = Prompt::new("review", async |args: PromptArguments| {
///     let code: String = args.get("code")?;
///     Ok::<_, HandlerError>(format!("Review this code:\n{code}"))
/// })
/// .argument("code", "The code", true);
/// ```
#[derive(Clone)]
pub struct Prompt {
    pub(crate) definition: PromptDefinition,
    pub(crate) handler: ErasedHandler<PromptArguments, GetPromptResult>,
    pub(crate) access: Access,
    additional_arguments: bool,
}

/// A value that [`ServerBuilder::prompt`](crate::ServerBuilder::prompt) takes: a [`Prompt`], or a
/// function that makes one, as `#[prompt]` makes of a function.
pub trait IntoPrompt {
    /// Returns the prompt.
    fn into_prompt(self) -> Prompt;
}

impl IntoPrompt for Prompt {
    fn into_prompt(self) -> Prompt {
        self
    }
}

impl<F: FnOnce() -> Prompt> IntoPrompt for F {
    fn into_prompt(self) -> Prompt {
        self()
    }
}

impl Prompt {
    /// Makes a prompt from an async function: see [`Handler`] for what it may take, and
    /// [`IntoPromptResult`] for what it may return. Its last parameter may be the
    /// [`PromptArguments`]; they are declared with [`argument`](Self::argument).
    pub fn new<H, M>(name: impl Into<String>, handler: H) -> Self
    where
        H: Handler<PromptArguments, M>,
        H::Output: IntoPromptResult,
    {
        Self {
            definition: PromptDefinition::new(name),
            handler: ErasedHandler::new(handler, IntoPromptResult::into_result),
            access: Access::Anyone,
            additional_arguments: false,
        }
    }

    /// Returns the name under which clients get the prompt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Describes what the prompt is for. None by default.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.definition.description = Some(description.into());
        self
    }

    /// Sets the name that people see. None by default: clients show the prompt's name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.definition.title = Some(title.into());
        self
    }

    /// Adds an icon. None by default.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.definition.icons.get_or_insert_default().push(icon);
        self
    }

    /// Declares an argument. A request that lacks a required argument, or has one that is not
    /// declared, is refused before the handler runs. None by default.
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

    /// Sets whether arguments that are not declared are accepted; `false` by default, since a
    /// misspelt optional argument would otherwise be ignored.
    #[must_use]
    pub fn additional_arguments(mut self, allowed: bool) -> Self {
        self.additional_arguments = allowed;
        self
    }

    /// Restricts the prompt to callers with this scope. For others it does not exist.
    #[must_use]
    pub fn requires_scope(mut self, scope: impl Into<String>) -> Self {
        self.access = Access::scope(scope);
        self
    }

    /// Restricts the prompt to callers for whom `allowed` returns `true`. For others it does not
    /// exist.
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

/// The arguments of a prompt: strings by name. The last parameter of its handler.
#[derive(Clone, Debug, Default)]
pub struct PromptArguments(HashMap<String, String>);

impl FromInput<PromptArguments, ViaInput> for PromptArguments {
    async fn from_input(_: &Ctx, arguments: Self) -> Result<Self, HandlerError> {
        Ok(arguments)
    }
}

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

    /// Returns an argument, as it came.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Parses a required argument.
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

    /// Parses an optional argument.
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

/// What the handler of a prompt may return: messages, or a text that becomes one message of the
/// user.
#[diagnostic::on_unimplemented(
    message = "the handler of a prompt cannot return `{Self}`",
    note = "it returns `String`, `PromptMessage`, `Vec<PromptMessage>`, `GetPromptResult`, or a `Result` of one of them"
)]
pub trait IntoPromptResult {
    /// Converts it to a result.
    ///
    /// # Errors
    /// When the handler failed.
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

/// How much of a name is repeated in an error, in characters.
const MAX_NAME_SHOWN: usize = 80;
/// How many known names are listed in an error.
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
                "prompt {name:?}: duplicate argument {:?}",
                twice[0]
            ));
        }
        let json = RawJson::from_value(&prompt.definition)
            .map_err(|error| format!("prompt {name:?}: {error}"))?;
        Ok(Self { prompt, json })
    }

    /// Whether the prompt declares an argument of this name.
    pub(crate) fn has_argument(&self, name: &str) -> bool {
        self.prompt
            .definition
            .arguments
            .iter()
            .flatten()
            .any(|argument| argument.name == name)
    }

    /// Whether a request may have an argument of this name.
    pub(crate) fn accepts_argument(&self, name: &str) -> bool {
        self.prompt.additional_arguments || self.has_argument(name)
    }

    /// Refuses arguments that lack a required one or have one that is not declared
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
        // The first by name, so that equal requests get equal answers.
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
