//! The parts of the expansion that tools, prompts and resources share.

use crate::function::Function;
use crate::parameter::{Argument, ParameterKind};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, Result};

/// The maximum number of extractors of a handler: `carryall::server::Handler` is implemented up to
/// this number.
const MAX_EXTRACTORS: usize = 8;

/// Returns the items that replace the function `name`: a function `name()` that returns the tool,
/// prompt or resource, and a type `name` with the original function as `name::call`. `target` is
/// the return type in `carryall::server`, and `body` the body.
///
/// The type is `struct name {}` and not `struct name;`, since a unit struct is also a value: it
/// would conflict with the function, and `let name = ..` would be a pattern.
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

/// The closure that implements a tool, prompt or resource: it extracts values from the call and
/// calls the original function.
pub(crate) struct HandlerClosure<'a> {
    pub(crate) function: &'a Function,
    /// The last parameter, `name: Type`, if the function has arguments.
    pub(crate) input: Option<TokenStream>,
    /// Whether the expressions for arguments may contain `?`. The closure then returns a `Result`.
    pub(crate) is_fallible: bool,
}

impl HandlerClosure<'_> {
    /// Returns the closure. `argument` returns the expression for an argument.
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
                    // If the type does not implement `FromCtx`, the error for this expression
                    // points at the parameter. The error for the closure points at the attribute.
                    let span = ty.span().resolved_at(Span::call_site());
                    let check =
                        quote_spanned!(span=> <#ty as ::carryall::server::FromCtx>::requires);
                    checks.extend(quote!(let _ = #check;));
                    parameters.push(quote!(#name: #ty));
                    quote!(#name)
                }
                ParameterKind::Argument(declared) => argument(declared),
            });
        }
        if takes_ctx {
            parameters.insert(0, quote!(__ctx: ::carryall::server::Ctx));
        }
        if parameters.len() > MAX_EXTRACTORS {
            return Err(Error::new(
                self.function.ident.span(),
                format!(
                    "at most {MAX_EXTRACTORS} parameters can be extracted from the call; combine some in a type that implements `FromCtx`"
                ),
            ));
        }
        parameters.extend(self.input.clone());
        let ident = &self.function.ident;
        let dot_await = self.function.is_async.then(|| quote!(.await));
        let mut call = quote!(#ident::call(#(#values),*) #dot_await);
        if self.is_fallible {
            call = quote!(::core::result::Result::Ok::<_, ::carryall::server::HandlerError>(#call));
        }
        Ok(quote!(|#(#parameters),*| { #checks async move { #call } }))
    }
}
