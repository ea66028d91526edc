//! The arguments of `#[tool(..)]`, `#[prompt(..)]`, `#[resource(..)]` and `#[arg(..)]`: `key` or
//! `key = value`, separated by commas.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Result, Token};

/// The arguments of one attribute.
pub(crate) struct AttributeArgs(Vec<AttributeArg>);

/// One argument.
pub(crate) struct AttributeArg {
    pub(crate) key: Ident,
    /// `None` for an argument without `= value`.
    value: Option<Expr>,
}

impl Parse for AttributeArg {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = Ident::parse_any(input)
            .map_err(|error| Error::new(error.span(), "expected `key` or `key = value`"))?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() {
            Some(input.parse()?)
        } else {
            None
        };
        Ok(Self { key, value })
    }
}

impl Parse for AttributeArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self(
            Punctuated::<AttributeArg, Token![,]>::parse_terminated(input)?
                .into_iter()
                .collect(),
        ))
    }
}

impl AttributeArgs {
    /// Checks that all keys are `known`, and that only those in `repeatable` occur more than once.
    /// `attribute` names the attribute in errors.
    pub(crate) fn check(&self, attribute: &str, known: &[&str], repeatable: &[&str]) -> Result<()> {
        for (index, arg) in self.0.iter().enumerate() {
            let key = arg.key.to_string();
            if !known.contains(&&*key) {
                let known = known.join("`, `");
                return Err(Error::new(
                    arg.key.span(),
                    format!("unknown argument `{key}` of {attribute}; expected one of `{known}`"),
                ));
            }
            if !repeatable.contains(&&*key)
                && self.0[..index].iter().any(|earlier| earlier.key == key)
            {
                return Err(Error::new(
                    arg.key.span(),
                    format!("duplicate argument `{key}`"),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&AttributeArg> {
        self.0.iter().find(|arg| arg.key == key)
    }

    /// Returns the method calls of a builder that set these arguments, such as `.title(value)`.
    /// `methods` lists keys, methods and whether the argument takes a value. Other keys are
    /// ignored.
    pub(crate) fn setters(&self, methods: &[(&str, &str, ArgValue)]) -> Result<TokenStream> {
        let mut calls = TokenStream::new();
        for arg in &self.0 {
            let Some((_, method, kind)) = methods.iter().find(|(key, ..)| arg.key == key) else {
                continue;
            };
            let method = Ident::new(method, arg.key.span());
            calls.extend(match kind {
                ArgValue::Flag => {
                    let value = arg.value_or_true();
                    quote!(.#method(#value))
                }
                ArgValue::Required => {
                    let value = arg.required()?;
                    quote!(.#method(#value))
                }
                ArgValue::Forbidden if arg.value.is_none() => quote!(.#method()),
                ArgValue::Forbidden => {
                    return Err(Error::new_spanned(
                        &arg.value,
                        format!("`{}` takes no value", arg.key),
                    ));
                }
            });
        }
        Ok(calls)
    }
}

/// Whether an argument takes a value.
#[derive(Clone, Copy)]
pub(crate) enum ArgValue {
    /// `key`, which means `true`, or `key = bool`.
    Flag,
    /// `key = value`.
    Required,
    /// `key`, without a value.
    Forbidden,
}

impl AttributeArg {
    /// Returns the value.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn required(&self) -> Result<&Expr> {
        let key = &self.key;
        self.value
            .as_ref()
            .ok_or_else(|| Error::new(key.span(), format!("`{key}` needs a value: `{key} = ..`")))
    }

    pub(crate) fn value(&self) -> Option<&Expr> {
        self.value.as_ref()
    }

    /// Returns the value, if it is a string literal.
    pub(crate) fn literal(&self) -> Option<&LitStr> {
        self.value.as_ref().and_then(literal)
    }

    /// Returns the value.
    ///
    /// # Errors
    /// When it is not a string literal.
    pub(crate) fn required_literal(&self) -> Result<&LitStr> {
        let value = self.required()?;
        literal(value).ok_or_else(|| {
            Error::new_spanned(value, format!("`{}` must be a string literal", self.key))
        })
    }

    fn value_or_true(&self) -> TokenStream {
        match &self.value {
            Some(value) => quote!(#value),
            None => quote_spanned!(self.key.span()=> true),
        }
    }
}

/// Returns the name that clients see: the argument `name`, or the name of the function.
pub(crate) fn public_name(args: &AttributeArgs, function: &Ident) -> Result<TokenStream> {
    match args.get("name") {
        Some(arg) => arg.required().map(|name| quote!(#name)),
        None => {
            let name = LitStr::new(&function.unraw().to_string(), function.span());
            Ok(quote!(#name))
        }
    }
}

/// Returns the expression, if it is a string literal.
pub(crate) fn literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal),
        _ => None,
    }
}

/// Creates an error at the attribute as a whole.
pub(crate) fn call_site_error(message: &str) -> Error {
    Error::new(Span::call_site(), message)
}
