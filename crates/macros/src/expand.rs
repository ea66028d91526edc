//! What all expansions have in common.

use crate::function::Function;
use crate::parameter::{Argument, ParameterKind};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, Result};

/// How many extractors a handler may take (`carryall::server::Handler`).
const MAX_EXTRACTORS: usize = 8;

/// Returns the items that replace the function: one that makes the tool, prompt or resource, and
/// the original function as `call` of a type with its name.
///
/// Types and values have namespaces of their own, and the type is not a unit struct: so a variable
/// may have the name of a tool, as in `let add = ..`.
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

/// The closure that a tool, prompt or resource is made of.
pub(crate) struct HandlerClosure<'a> {
    pub(crate) function: &'a Function,
    /// The last parameter, `name: Type`, if the function has arguments.
    pub(crate) input: Option<TokenStream>,
    /// Whether the values of arguments are expressions that may return early with `?`.
    pub(crate) is_fallible: bool,
}

impl HandlerClosure<'_> {
    /// Returns the closure. `argument` makes the value of an argument.
    pub(crate) fn expand(
        &self,
        argument: impl Fn(&Argument) -> TokenStream,
    ) -> Result<TokenStream> {
        let mut parameters = Vec::new();
        let mut checks = TokenStream::new();
        let mut values = Vec::new();
        let mut takes_ctx = false;
        for (index, parameter) in self.function.parameters.iter().enumerate() {
            values.push(match &parameter.kind {
                ParameterKind::Context { by_reference } => {
                    takes_ctx = true;
                    if *by_reference {
                        quote!(&__ctx)
                    } else {
                        quote!(::core::clone::Clone::clone(&__ctx))
                    }
                }
                ParameterKind::Extracted(ty) => {
                    let name = format_ident!("__extracted_{index}");
                    // An error about the bound alone points at the parameter, where one about the
                    // whole closure would point at the attribute.
                    let span = ty.span().resolved_at(Span::call_site());
                    let check =
                        quote_spanned!(span=> <#ty as ::carryall::server::FromCtx>::requires);
                    checks.extend(quote!(let _ = #check;));
                    parameters.push(quote!(#name: #ty));
                    quote!(#name)
                }
                ParameterKind::Argument(it) => argument(it),
            });
        }
        if takes_ctx {
            parameters.insert(0, quote!(__ctx: ::carryall::server::Ctx));
        }
        if parameters.len() > MAX_EXTRACTORS {
            return Err(Error::new(
                self.function.ident.span(),
                format!(
                    "at most {MAX_EXTRACTORS} parameters may be taken from the call; combine some in a type that implements `FromCtx`"
                ),
            ));
        }
        parameters.extend(self.input.clone());
        let ident = &self.function.ident;
        let wait = self.function.is_async.then(|| quote!(.await));
        let mut call = quote!(#ident::call(#(#values),*) #wait);
        if self.is_fallible {
            call = quote!(::core::result::Result::Ok::<_, ::carryall::server::HandlerError>(#call));
        }
        Ok(quote!(|#(#parameters),*| { #checks async move { #call } }))
    }
}
