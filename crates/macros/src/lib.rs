//! The attribute macros behind carryall's tools, prompts and resources.
//!
//! Each turns a function into one that makes the tool, prompt or resource, under the same name, so
//! that the signature is all there is to write. The function that was written stays callable as
//! `name::call(..)`, for tests.

mod attributes;
mod expand;
mod function;
mod parameter;
mod prompt;
mod resource;
mod settings;
#[cfg(test)]
mod testing;
mod tool;

use proc_macro::TokenStream;

/// Makes a tool from a function.
///
/// The parameters are the tool's arguments; their types, documentation comments and defaults become
/// its schema. The function's own documentation becomes the description.
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
///     ctx: Ctx,
/// ) -> Result<Json<Amount>, HandlerError> { ... }
/// ```
///
/// # On the function
///
/// | setting | meaning |
/// |---|---|
/// | `name = ".."` | the tool's name, if not the function's |
/// | `title = ".."`, `description = ".."` | texts; the description replaces the documentation comment |
/// | `read_only`, `destructive`, `idempotent`, `open_world` | hints, each alone or as `= false` |
/// | `icon = expr` | an `Icon`; may be repeated |
/// | `scope = ".."` | only callers with that scope may use the tool |
/// | `timeout = expr` | a `Duration` for one call |
/// | `additional_arguments` | arguments that are no parameters are ignored instead of refused |
///
/// An argument that no parameter has is refused, with the name of the one that was probably meant:
/// a misspelt optional argument would otherwise keep its default, and nobody would notice. The
/// schema says so (`"additionalProperties": false`), unless a parameter takes in what is left with
/// `#[serde(flatten)]`, or has a second name by `#[serde(alias = "..")]`, which no schema can tell.
/// Structs inside of arguments are as their own attributes say: `#[serde(deny_unknown_fields)]`.
///
/// # On a parameter
///
/// | attribute | meaning |
/// |---|---|
/// | `#[arg(default)]`, `#[arg(default = expr)]` | may be left out |
/// | `#[arg(rename = "..")]` | its name in the schema |
/// | `#[arg(header = "..")]` | mirrored into the header `Mcp-Param-..` |
/// | `#[serde(..)]`, `#[schemars(..)]` | as on the field of a struct |
/// | `#[extract]` | not an argument: taken from the call by `FromCtx` |
///
/// A parameter of type `Ctx`, `&Ctx` or `State<..>` is never an argument.
#[proc_macro_attribute]
pub fn tool(settings: TokenStream, function: TokenStream) -> TokenStream {
    finish(tool::expand(settings.into(), function.into()))
}

/// Makes a prompt from a function.
///
/// Arguments of prompts are text: a parameter is a `String`, or any type that is `FromStr`.
/// `Option<T>` and `#[arg(default)]`, `#[arg(default = expr)]` make it optional,
/// `#[arg(rename = "..")]` names it, its documentation comment describes it. `Ctx`, `&Ctx`,
/// `State<..>` and `#[extract]` are as in [`macro@tool`].
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
/// AttributeArgs: `name`, `title`, `description`, `icon`, `scope`, and `additional_arguments`, with
/// which arguments that are no parameters are ignored instead of refused.
#[proc_macro_attribute]
pub fn prompt(settings: TokenStream, function: TokenStream) -> TokenStream {
    finish(prompt::expand(settings.into(), function.into()))
}

/// Makes a resource from a function, or a resource template if the URI has variables.
///
/// `{name}` stands for one segment of the path and `{+name}` for the rest; each variable goes to
/// the parameter of the same name, whose type is `FromStr`. `Ctx`, `&Ctx`, `State<..>` and
/// `#[extract]` are as in [`macro@tool`].
///
/// ```ignore
/// /// A note
/// #[resource("note://{id}", mime = "text/plain")]
/// async fn note(id: u64, State(notes): State<Notes>) -> Result<String, HandlerError> { ... }
/// ```
///
/// AttributeArgs after the URI: `name`, `title`, `description`, `mime`, `icon`, `scope`, `ttl = expr` (a
/// `Duration`) and `public`.
#[proc_macro_attribute]
pub fn resource(settings: TokenStream, function: TokenStream) -> TokenStream {
    finish(resource::expand(settings.into(), function.into()))
}

fn finish(expansion: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expansion
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
