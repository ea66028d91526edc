//! What all expansions have in common.

use crate::function::Function;
use crate::parameter::{Argument, ParameterKind};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Ident;

/// The function that the server takes, and the one that was written, as `call` of a type with its
/// name.
///
/// Functions and types have names of two kinds, and a variable may have the name of a function:
/// whoever writes `let add = ..` beside the tool `add` is not surprised, as with a unit struct.
pub(crate) fn items(function: &Function, target: &str, body: &TokenStream) -> TokenStream {
    let Function {
        visibility, ident, ..
    } = function;
    let conditions = &function.attributes.conditions;
    let shown = &function.attributes.shown;
    let call = function.call_item();
    let target = Ident::new(target, Span::call_site());
    quote! {
        #(#conditions)*
        #(#shown)*
        #visibility fn #ident() -> ::carryall::server::#target {
            #body
        }

        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        #visibility struct #ident {}

        #(#conditions)*
        impl #ident {
            #call
        }
    }
}

/// The block that calls the function: `argument` says where an argument's value comes from, in an
/// expression that may end early with `error`.
pub(crate) fn call(
    function: &Function,
    error: &TokenStream,
    fallible: bool,
    argument: impl Fn(&Argument) -> TokenStream,
) -> TokenStream {
    let ident = &function.ident;
    let values = function
        .parameters
        .iter()
        .map(|parameter| match &parameter.kind {
            ParameterKind::Context { by_reference: true } => quote!(&__ctx),
            ParameterKind::Context {
                by_reference: false,
            } => quote!(::core::clone::Clone::clone(&__ctx)),
            ParameterKind::Extracted => quote!(::carryall::server::FromCtx::from_ctx(&__ctx)?),
            ParameterKind::Argument(it) => argument(it),
        });
    let wait = function.is_async.then(|| quote!(.await));
    let call = quote!(#ident::call(#(#values),*) #wait);
    let extracts = function
        .parameters
        .iter()
        .any(|parameter| matches!(parameter.kind, ParameterKind::Extracted));
    if fallible || extracts {
        quote!(::core::result::Result::Ok::<_, #error>(#call))
    } else {
        call
    }
}
