//! What all expansions have in common.

use crate::function::Function;
use crate::parameter::{Argument, Kind};
use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

/// The unit struct, the function as its `call`, and the trait that makes the server take it.
pub(crate) fn items(function: &Function, into: &Into, body: &TokenStream) -> TokenStream {
    let Function { visibility, ident, .. } = function;
    let conditions = &function.attributes.conditions;
    let shown = &function.attributes.shown;
    let call = function.call_item();
    let (interface, method, target) = (into.ident(into.interface), into.ident(into.method), into.ident(into.target));
    quote! {
        #(#conditions)*
        #(#shown)*
        #[allow(non_camel_case_types)]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #visibility struct #ident;

        #(#conditions)*
        #[allow(deprecated)]
        impl #ident {
            #call
        }

        #(#conditions)*
        #[allow(deprecated)]
        impl ::carryall::server::#interface for #ident {
            fn #method(self) -> ::carryall::server::#target {
                #body
            }
        }
    }
}

/// The trait to implement.
pub(crate) struct Into {
    pub(crate) interface: &'static str,
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
}

impl Into {
    fn ident(&self, name: &str) -> Ident {
        Ident::new(name, proc_macro2::Span::call_site())
    }
}

/// The block that calls the function: `argument` says where an argument's value comes from, in an expression that may
/// end early with `error`.
pub(crate) fn call(
    function: &Function,
    error: &TokenStream,
    fallible: bool,
    argument: impl Fn(&Argument) -> TokenStream,
) -> TokenStream {
    let ident = &function.ident;
    let values = function.parameters.iter().map(|parameter| match &parameter.kind {
        Kind::Context { by_reference: true } => quote!(&__ctx),
        Kind::Context { by_reference: false } => quote!(::core::clone::Clone::clone(&__ctx)),
        Kind::Extracted => quote!(::carryall::server::FromCtx::from_ctx(&__ctx)?),
        Kind::Argument(it) => argument(it),
    });
    let wait = function.is_async.then(|| quote!(.await));
    let call = quote!(#ident::call(#(#values),*) #wait);
    let extracts = function.parameters.iter().any(|parameter| matches!(parameter.kind, Kind::Extracted));
    if fallible || extracts { quote!(::core::result::Result::Ok::<_, #error>(#call)) } else { call }
}
