//! `#[tool]`.

use crate::attributes::description;
use crate::expand;
use crate::function::Function;
use crate::parameter::{Argument, Default};
use crate::settings::{AttributeArgs, Value, public_name};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Result};

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, Value); 10] = [
    ("title", "title", Value::Needed),
    ("description", "description", Value::Needed),
    ("read_only", "read_only", Value::Flag),
    ("destructive", "destructive", Value::Flag),
    ("idempotent", "idempotent", Value::Flag),
    ("open_world", "open_world", Value::Flag),
    ("icon", "icon", Value::Needed),
    ("scope", "requires_scope", Value::Needed),
    ("timeout", "timeout", Value::Needed),
    ("additional_arguments", "additional_arguments", Value::Flag),
];

pub(crate) fn expand(settings: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[tool]", function)?;
    let settings: AttributeArgs = syn::parse2(settings)?;
    let known: Vec<_> = std::iter::once("name")
        .chain(SETTERS.iter().map(|(key, ..)| *key))
        .collect();
    settings.check("#[tool]", &known, &["icon"])?;
    check_name(&settings)?;

    let name = public_name(&settings, &function.ident)?;
    let texts = description(&settings, &function.attributes.shown);
    let setters = settings.setters(&SETTERS)?;
    // A second name is not in the schema, which would refuse it.
    let has_alias = function.arguments().any(Argument::has_alias);
    let open = (has_alias && settings.get("additional_arguments").is_none())
        .then(|| quote!(.additional_arguments(true)));
    let error = quote!(::carryall::server::HandlerError);
    let call = expand::call(&function, &error, false, |argument| {
        let ident = &argument.ident;
        quote!(__arguments.#ident)
    });
    let at = function.output_span();
    let body = if function.arguments().next().is_none() {
        let new = quote_spanned!(at=> ::carryall::server::Tool::without_arguments);
        quote!(#new(#name, |__ctx: ::carryall::server::Ctx| async move { #call }) #texts #setters)
    } else {
        let arguments = arguments(&function);
        let new = quote_spanned!(at=> ::carryall::server::Tool::new::<__Arguments, _, _, _>);
        quote! {
            #arguments
            #new(#name, |__ctx: ::carryall::server::Ctx, __arguments: __Arguments| async move { #call }) #texts #setters #open
        }
    };
    Ok(expand::items(&function, "Tool", &body))
}

/// The struct that the arguments are decoded into and their schema comes from.
fn arguments(function: &Function) -> TokenStream {
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
            Default::OfType => quote!(#[serde(default)]),
            Default::Value(_) => {
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

/// Names that every client can deal with (`server/tools#tool-names`); one that is not a literal is
/// checked when the server is built.
fn check_name(settings: &AttributeArgs) -> Result<()> {
    let Some(name) = settings.get("name").and_then(|setting| setting.literal()) else {
        return Ok(());
    };
    let text = name.value();
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=128).contains(&text.len()) && text.bytes().all(is_fine) {
        Ok(())
    } else {
        Err(Error::new_spanned(
            name,
            "a tool's name has 1 to 128 characters out of A-Z, a-z, 0-9, '_', '-' and '.'",
        ))
    }
}
