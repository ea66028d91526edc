//! What stands in the parentheses of `#[tool(..)]` and the others: `key`, `key = value`, separated
//! by commas.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Result, Token};

/// All settings of one attribute.
pub(crate) struct AttributeArgs(Vec<AttributeArg>);

/// One setting; without a value it is a flag that is set.
pub(crate) struct AttributeArg {
    pub(crate) key: Ident,
    value: Option<Expr>,
}

impl Parse for AttributeArg {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = Ident::parse_any(input).map_err(|error| {
            Error::new(error.span(), "expected a setting: `key` or `key = value`")
        })?;
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
    /// Checks that only `known` keys occur, each once unless it is in `repeatable`.
    pub(crate) fn check(&self, attribute: &str, known: &[&str], repeatable: &[&str]) -> Result<()> {
        for (index, setting) in self.0.iter().enumerate() {
            let key = setting.key.to_string();
            if !known.contains(&&*key) {
                let known = known.join("`, `");
                return Err(Error::new(
                    setting.key.span(),
                    format!("{attribute} has no setting `{key}`; it knows `{known}`"),
                ));
            }
            if !repeatable.contains(&&*key)
                && self.0[..index].iter().any(|earlier| earlier.key == key)
            {
                return Err(Error::new(
                    setting.key.span(),
                    format!("`{key}` is set twice"),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&AttributeArg> {
        self.0.iter().find(|setting| setting.key == key)
    }

    /// `.key(value)` for each of `methods`, whose keys are the names of methods. Flags become
    /// `true`.
    pub(crate) fn setters(&self, methods: &[(&str, &str, Value)]) -> Result<TokenStream> {
        let mut calls = TokenStream::new();
        for setting in &self.0 {
            let Some((_, method, kind)) = methods.iter().find(|(key, ..)| setting.key == key)
            else {
                continue;
            };
            let method = Ident::new(method, setting.key.span());
            calls.extend(match kind {
                Value::Flag => {
                    let value = setting.flag();
                    quote!(.#method(#value))
                }
                Value::Needed => {
                    let value = setting.needed()?;
                    quote!(.#method(#value))
                }
                Value::None if setting.value.is_none() => quote!(.#method()),
                Value::None => {
                    return Err(Error::new_spanned(
                        &setting.value,
                        format!("`{}` takes no value", setting.key),
                    ));
                }
            });
        }
        Ok(calls)
    }
}

/// What a setter takes.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    /// `key` or `key = bool`.
    Flag,
    /// `key = value`.
    Needed,
    /// `key`.
    None,
}

impl AttributeArg {
    /// The value of a setting that makes no sense without one.
    pub(crate) fn needed(&self) -> Result<&Expr> {
        let key = &self.key;
        self.value
            .as_ref()
            .ok_or_else(|| Error::new(key.span(), format!("`{key}` needs a value: `{key} = ..`")))
    }

    pub(crate) fn value(&self) -> Option<&Expr> {
        self.value.as_ref()
    }

    /// The value, if it is a string literal.
    pub(crate) fn literal(&self) -> Option<&LitStr> {
        self.value.as_ref().and_then(literal)
    }

    /// The value of a setting that has to be a string literal.
    pub(crate) fn needed_literal(&self) -> Result<&LitStr> {
        let value = self.needed()?;
        literal(value).ok_or_else(|| {
            Error::new_spanned(value, format!("`{}` has to be a string literal", self.key))
        })
    }

    fn flag(&self) -> TokenStream {
        match &self.value {
            Some(value) => quote!(#value),
            None => quote_spanned!(self.key.span()=> true),
        }
    }
}

/// The name that clients see: the one that is set, or the function's.
pub(crate) fn public_name(settings: &AttributeArgs, function: &Ident) -> Result<TokenStream> {
    match settings.get("name") {
        Some(setting) => setting.needed().map(|name| quote!(#name)),
        None => {
            let name = LitStr::new(&function.unraw().to_string(), function.span());
            Ok(quote!(#name))
        }
    }
}

pub(crate) fn literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal),
        _ => None,
    }
}

/// The error of every kind that has no better place.
pub(crate) fn call_site(message: &str) -> Error {
    Error::new(Span::call_site(), message)
}
