//! `#[prompt]`.

use crate::attributes::{description, documentation};
use crate::expand;
use crate::function::Function;
use crate::settings::{AttributeArgs, Value, public_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Result;

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, Value); 5] = [
    ("title", "title", Value::Needed),
    ("description", "description", Value::Needed),
    ("icon", "icon", Value::Needed),
    ("scope", "requires_scope", Value::Needed),
    ("additional_arguments", "additional_arguments", Value::Flag),
];

pub(crate) fn expand(settings: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[prompt]", function)?;
    let settings: AttributeArgs = syn::parse2(settings)?;
    settings.check(
        "#[prompt]",
        &[
            "name",
            "title",
            "description",
            "icon",
            "scope",
            "additional_arguments",
        ],
        &["icon"],
    )?;

    let mut declared = TokenStream::new();
    for argument in function.arguments() {
        argument.refuse_schema_attributes("an argument of a prompt")?;
        let name = argument.public_name();
        let text = documentation(&argument.docs).unwrap_or_default();
        let required = argument.default.is_none() && argument.optional().is_none();
        declared.extend(quote!(.argument(#name, #text, #required)));
    }
    let name = public_name(&settings, &function.ident)?;
    let texts = description(&settings, &function.attributes.shown);
    let setters = settings.setters(&SETTERS)?;
    let error = quote!(::carryall::server::HandlerError);
    let takes_arguments = function.arguments().next().is_some();
    let call = expand::call(&function, &error, takes_arguments, |argument| {
        let (name, ty) = (argument.public_name(), &argument.ty);
        match (&argument.default, argument.optional()) {
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
    });
    let new = quote_spanned!(function.output_span()=> ::carryall::server::Prompt::new);
    let body = quote! {
        #new(#name, |__ctx: ::carryall::server::Ctx, __arguments: ::carryall::server::PromptArguments| async move { #call })
            #declared #texts #setters
    };
    Ok(expand::items(&function, "Prompt", &body))
}
