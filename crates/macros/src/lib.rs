//! The attribute macros of carryall: tools, prompts and resources from functions.
//!
//! Each macro replaces a function by one of the same name that makes the tool, prompt or resource.
//! The original function stays callable as `name::call(..)`, in tests for example.

mod attribute_args;
mod attributes;
mod expand;
mod function;
mod parameter;
mod prompt;
mod resource;

#[cfg(test)]
mod testing;
mod tool;

use proc_macro::TokenStream;

/// Makes a tool from a function.
///
/// The parameters are the arguments of the tool; its schema is derived from their types,
/// documentation comments and defaults. The documentation of the function is the description.
///
/// ```ignore
/// /// Converts an amount.
/// #[tool(title = "Convert", read_only, open_world = false)]
/// async fn convert(
///     /// How much
///     amount: f64,
///     /// ISO code of the target currency
///     #[arg(default = "EUR", header = "Currency")]
///     to: String,
///     /// Day of the rate; today if left out
///     on: Option<String>,
///     State(rates): State<Rates>,
///     caller: Option<Principal>,
/// ) -> Result<Json<Amount>, HandlerError> { ... }
/// ```
///
/// # Arguments of the attribute
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `name = ".."` | the name of the tool | the function's name |
/// | `title = ".."` | the name that people see | none |
/// | `description = ".."` | what the tool does | the documentation of the function |
/// | `read_only`, `destructive`, `idempotent`, `open_world` | hints, each alone or as `= false` | unset |
/// | `icon = expr` | an `Icon`; may be repeated | none |
/// | `scope = ".."` | only callers with that scope may use the tool | all callers |
/// | `timeout = expr` | how long one call may take, a `Duration` | the server's |
/// | `task = ".."` | whether calls run as tasks: `"forbidden"`, `"optional"`, `"required"`, `"on_demand"`, or an expression of type `TaskSupport` | `"forbidden"` |
/// | `resumable` | another process may restart a task of this tool | no |
/// | `additional_arguments` | unknown arguments are ignored instead of refused | refused |
///
/// Unknown arguments are refused, with a suggestion: otherwise a misspelt optional argument would
/// silently have its default. The schema has `"additionalProperties": false` for that, except if a
/// parameter collects further members with `#[serde(flatten)]`, or has an alias
/// (`#[serde(alias = "..")]`), which a schema cannot express. Structs inside of arguments have
/// attributes of their own: `#[serde(deny_unknown_fields)]`.
///
/// # Attributes of a parameter
///
/// | attribute | meaning |
/// |---|---|
/// | `#[arg(default)]`, `#[arg(default = expr)]` | optional, with this default |
/// | `#[arg(rename = "..")]` | its name in the schema |
/// | `#[arg(header = "..")]` | mirrored in the header `Mcp-Param-..` |
/// | `#[serde(..)]`, `#[schemars(..)]` | as on the field of a struct |
/// | `#[extract]` | not an argument: taken from the call by `FromCtx` |
///
/// Parameters of these types are never arguments and need no `#[extract]`: `Ctx`, `&Ctx`,
/// `State<T>`, `Extension<T>`, `Ask<T>`, `Principal`, `Option<Principal>`, `Arc<Principal>`,
/// `Option<Arc<Principal>>`, `HeaderMap`, `ClientInfo` and `ServerHandle`. They are recognised by
/// name.
#[proc_macro_attribute]
pub fn tool(args: TokenStream, function: TokenStream) -> TokenStream {
    finish(tool::expand(args.into(), function.into()))
}

/// Makes a prompt from a function.
///
/// The arguments of prompts are strings: a parameter is a `String`, or any type that implements
/// `FromStr`. `Option<T>`, `#[arg(default)]` and `#[arg(default = expr)]` make it optional,
/// `#[arg(rename = "..")]` renames it, its documentation comment describes it. Parameters that are
/// not arguments are those of [`macro@tool`].
///
/// ```ignore
/// /// Reviews code
/// #[prompt(title = "Code review")]
/// fn review(
///     /// The code
///     code: String,
///     /// How strict, 1 to 5
///     strictness: Option<u8>,
/// ) -> String { ... }
/// ```
///
/// Arguments of the attribute: `name`, `title`, `description`, `icon`, `scope` and
/// `additional_arguments`, as in [`macro@tool`].
#[proc_macro_attribute]
pub fn prompt(args: TokenStream, function: TokenStream) -> TokenStream {
    finish(prompt::expand(args.into(), function.into()))
}

/// Makes a resource from a function, or a resource template if the URI has variables.
///
/// `{name}` stands for one segment of the path, `{+name}` for any number of them. Each variable goes
/// to the parameter of the same name, whose type implements `FromStr`. Parameters that are not
/// variables are those of [`macro@tool`].
///
/// ```ignore
/// /// A note
/// #[resource("note://{id}", mime = "text/plain")]
/// async fn note(id: u64, State(notes): State<Notes>) -> Result<String, HandlerError> { ... }
/// ```
///
/// Arguments of the attribute after the URI: `name`, `title`, `description`, `mime`, `icon`,
/// `scope`, `ttl = expr` (a `Duration`) and `public`.
#[proc_macro_attribute]
pub fn resource(args: TokenStream, function: TokenStream) -> TokenStream {
    finish(resource::expand(args.into(), function.into()))
}

fn finish(expansion: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expansion
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
