//! `#[prompt]`.

use crate::attribute_args::{ArgValue, AttributeArgs, public_name};
use crate::attributes::{description, documentation};
use crate::expand::{self, HandlerClosure};
use crate::function::Function;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Result;

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, ArgValue); 5] = [
    ("title", "title", ArgValue::Required),
    ("description", "description", ArgValue::Required),
    ("icon", "icon", ArgValue::Required),
    ("scope", "requires_scope", ArgValue::Required),
    (
        "additional_arguments",
        "additional_arguments",
        ArgValue::Flag,
    ),
];

pub(crate) fn expand(args: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[prompt]", function)?;
    let args: AttributeArgs = syn::parse2(args)?;
    let known: Vec<_> = std::iter::once("name")
        .chain(SETTERS.iter().map(|(key, ..)| *key))
        .collect();
    args.check("#[prompt]", &known, &["icon"])?;

    let mut declared = TokenStream::new();
    for argument in function.arguments() {
        argument.reject_schema_attributes("an argument of a prompt")?;
        let name = argument.public_name();
        let text = documentation(&argument.docs).unwrap_or_default();
        let required = argument.default.is_none() && argument.option_type().is_none();
        declared.extend(quote!(.argument(#name, #text, #required)));
    }
    let name = public_name(&args, &function.ident)?;
    let description = description(&args, &function.attributes.shown);
    let setters = args.setters(&SETTERS)?;
    let has_arguments = function.has_arguments();
    let closure = HandlerClosure {
        function: &function,
        input: has_arguments.then(|| quote!(__arguments: ::carryall::server::PromptArguments)),
        is_fallible: has_arguments,
    };
    let closure = closure.expand(|argument| {
        let (name, ty) = (argument.public_name(), &argument.ty);
        match (&argument.default, argument.option_type()) {
            (Some(default), Some(inner)) => {
                let default = default.expression();
                quote!(match __arguments.optional::<#inner>(#name)? {
                    ::core::option::Option::None => #default,
                    __given => __given,
                })
            }
            (Some(default), None) => {
                let default = default.expression();
                quote!(match __arguments.optional::<#ty>(#name)? {
                    ::core::option::Option::None => #default,
                    ::core::option::Option::Some(__given) => __given,
                })
            }
            (None, Some(inner)) => quote!(__arguments.optional::<#inner>(#name)?),
            (None, None) => quote!(__arguments.get::<#ty>(#name)?),
        }
    })?;
    let new = quote_spanned!(function.output_span()=> ::carryall::server::Prompt::new);
    let body = quote!(#new(#name, #closure) #declared #description #setters);
    Ok(expand::items(&function, "Prompt", &body))
}
