//! The function that an attribute is applied to.

use crate::attribute_args::call_site_error;
use crate::attributes::Attributes;
use crate::parameter::{Argument, Parameter, ParameterKind};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Block, Error, Ident, ItemFn, Result, ReturnType, Visibility};

/// A function that can become a tool, prompt or resource.
pub(crate) struct Function {
    pub(crate) attributes: Attributes,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    pub(crate) is_async: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: ReturnType,
    body: Box<Block>,
}

impl Function {
    /// Parses the function. `attribute` is the name of the macro in error messages.
    pub(crate) fn parse(attribute: &str, tokens: TokenStream) -> Result<Self> {
        let item: ItemFn = syn::parse2(tokens).map_err(|error| {
            combine(
                call_site_error(&format!("{attribute} applies to functions with a body")),
                error,
            )
        })?;
        let signature = item.sig;
        if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
            let message = format!(
                "{attribute} does not support generics: write a function for each type, or build it without the macro"
            );
            return Err(Error::new_spanned(&signature.generics, message));
        }
        let unsupported: [Option<&dyn quote::ToTokens>; 4] = [
            signature.constness.as_ref().map(|token| token as _),
            signature.unsafety.as_ref().map(|token| token as _),
            signature.abi.as_ref().map(|token| token as _),
            signature.variadic.as_ref().map(|token| token as _),
        ];
        if let Some(token) = unsupported.into_iter().flatten().next() {
            return Err(Error::new_spanned(
                token,
                format!("{attribute} applies to plain `fn` and `async fn`"),
            ));
        }
        // Reports the errors of all parameters at once.
        let mut errors: Option<Error> = None;
        let mut parameters = Vec::new();
        for parameter in signature.inputs {
            match Parameter::parse(parameter) {
                Ok(parameter) => parameters.push(parameter),
                Err(error) => {
                    errors = Some(errors.map_or(error.clone(), |earlier| combine(earlier, error)))
                }
            }
        }
        match errors {
            Some(errors) => Err(errors),
            None => Ok(Self {
                attributes: Attributes::sort(item.attrs),
                visibility: item.vis,
                ident: signature.ident,
                is_async: signature.asyncness.is_some(),
                parameters,
                output: signature.output,
                body: item.block,
            }),
        }
    }

    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters
            .iter()
            .filter_map(|parameter| match &parameter.kind {
                ParameterKind::Argument(argument) => Some(&**argument),
                _ => None,
            })
    }

    pub(crate) fn has_arguments(&self) -> bool {
        self.arguments().next().is_some()
    }

    /// Returns the place for errors about the return type.
    pub(crate) fn output_span(&self) -> Span {
        let span = match &self.output {
            ReturnType::Default => self.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        };
        span.resolved_at(Span::call_site())
    }

    /// Returns the original function, under the name `call`.
    pub(crate) fn call_item(&self) -> TokenStream {
        let Self {
            visibility,
            output,
            body,
            ..
        } = self;
        let attributes = &self.attributes.inner;
        let keyword = self.is_async.then(|| quote!(async));
        let parameters = self
            .parameters
            .iter()
            .map(|parameter| &parameter.declaration);
        quote! {
            /// Calls the function itself.
            #(#attributes)*
            #visibility #keyword fn call(#(#parameters),*) #output #body
        }
    }
}

fn combine(mut first: Error, second: Error) -> Error {
    first.combine(second);
    first
}
