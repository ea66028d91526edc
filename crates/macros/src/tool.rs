//! `#[tool]`.

use crate::attribute_args::{ArgValue, AttributeArgs, public_name};
use crate::attributes::description;
use crate::expand::{self, HandlerClosure};
use crate::function::Function;
use crate::parameter::{Argument, DefaultValue};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Result};

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, ArgValue); 11] = [
    ("title", "title", ArgValue::Required),
    ("description", "description", ArgValue::Required),
    ("read_only", "read_only", ArgValue::Flag),
    ("destructive", "destructive", ArgValue::Flag),
    ("idempotent", "idempotent", ArgValue::Flag),
    ("open_world", "open_world", ArgValue::Flag),
    ("icon", "icon", ArgValue::Required),
    ("scope", "requires_scope", ArgValue::Required),
    ("timeout", "timeout", ArgValue::Required),
    ("resumable", "resumable", ArgValue::Forbidden),
    (
        "additional_arguments",
        "additional_arguments",
        ArgValue::Flag,
    ),
];

/// The values of `task = ".."`, and the variants of `TaskSupport` that they stand for.
const TASK_SUPPORT: [(&str, &str); 4] = [
    ("forbidden", "Never"),
    ("optional", "WhenPossible"),
    ("required", "Always"),
    ("on_demand", "OnDemand"),
];

pub(crate) fn expand(args: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[tool]", function)?;
    let args: AttributeArgs = syn::parse2(args)?;
    let known: Vec<_> = ["name", "task"]
        .into_iter()
        .chain(SETTERS.iter().map(|(key, ..)| *key))
        .collect();
    args.check("#[tool]", &known, &["icon"])?;
    check_name(&args)?;

    let name = public_name(&args, &function.ident)?;
    let description = description(&args, &function.attributes.shown);
    let setters = args.setters(&SETTERS)?;
    let task = task_support(&args)?;
    // The schema does not have the aliases, and so would refuse them.
    let has_alias = function.arguments().any(Argument::has_alias);
    let open = (has_alias && args.get("additional_arguments").is_none())
        .then(|| quote!(.additional_arguments(true)));
    let has_arguments = function.has_arguments();
    let closure = HandlerClosure {
        function: &function,
        input: has_arguments.then(|| quote!(__arguments: __Arguments)),
        is_fallible: false,
    };
    let closure = closure.expand(|argument| {
        let ident = &argument.ident;
        quote!(__arguments.#ident)
    })?;
    let arguments = has_arguments.then(|| arguments_struct(&function));
    let new = quote_spanned!(function.output_span()=> ::carryall::server::Tool::new);
    let body = quote! {
        #arguments
        #new(#name, #closure) #description #setters #task #open
    };
    Ok(expand::items(&function, "Tool", &body))
}

/// Returns the struct that the arguments are decoded into and their schema is derived from.
fn arguments_struct(function: &Function) -> TokenStream {
    let mut defaults = TokenStream::new();
    let fields = function.arguments().enumerate().map(|(index, argument)| {
        let Argument {
            ident,
            ty,
            docs,
            passed_on,
            ..
        } = argument;
        let default = argument.default.as_ref().map(|default| match default {
            DefaultValue::OfType => quote!(#[serde(default)]),
            DefaultValue::Expression(_) => {
                let make = format_ident!("__default_{index}");
                let path = make.to_string();
                let value = default.expression();
                defaults.extend(quote!(fn #make() -> #ty { #value }));
                quote!(#[serde(default = #path)])
            }
        });
        let rename = argument
            .rename
            .as_ref()
            .map(|name| quote!(#[serde(rename = #name)]));
        let header = argument
            .header
            .as_ref()
            .map(|name| quote!(#[schemars(extend("x-mcp-header" = #name))]));
        quote!(#(#docs)* #default #rename #header #(#passed_on)* #ident: #ty)
    });
    let fields: Vec<_> = fields.collect();
    quote! {
        #[derive(::carryall::__private::serde::Deserialize, ::carryall::__private::schemars::JsonSchema)]
        #[serde(crate = "::carryall::__private::serde")]
        #[schemars(crate = "::carryall::__private::schemars")]
        struct __Arguments { #(#fields),* }
        #defaults
    }
}

/// Returns `.as_task(..)` for the argument `task`: one of the words, or a `TaskSupport`.
fn task_support(args: &AttributeArgs) -> Result<TokenStream> {
    let Some(arg) = args.get("task") else {
        return Ok(TokenStream::new());
    };
    let value = arg.required()?;
    let Some(word) = arg.literal() else {
        return Ok(quote!(.as_task(#value)));
    };
    match TASK_SUPPORT.iter().find(|(name, _)| word.value() == *name) {
        Some((_, variant)) => {
            let variant = format_ident!("{variant}");
            Ok(quote!(.as_task(::carryall::server::TaskSupport::#variant)))
        }
        None => {
            let words: Vec<_> = TASK_SUPPORT.iter().map(|(name, _)| *name).collect();
            let words = words.join("\", \"");
            let message = format!("expected one of \"{words}\", or a `TaskSupport`");
            Err(Error::new_spanned(word, message))
        }
    }
}

/// Refuses names that some clients cannot deal with (`server/tools#tool-names`). A name that is not
/// a literal is checked when the server is built.
fn check_name(args: &AttributeArgs) -> Result<()> {
    let Some(name) = args.get("name").and_then(|arg| arg.literal()) else {
        return Ok(());
    };
    let text = name.value();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=128).contains(&text.len()) && text.bytes().all(is_valid) {
        Ok(())
    } else {
        Err(Error::new_spanned(
            name,
            "the name of a tool has 1 to 128 characters out of A-Z, a-z, 0-9, '_', '-' and '.'",
        ))
    }
}
