//! The parameters of a function: which are arguments, and what is said about them.

use crate::settings::{AttributeArgs, literal};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Ident, LitStr, Meta, Pat, PatIdent,
    PathArguments, Result, Type,
};

/// A parameter.
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    /// As it stands in the function that is left, without the attributes meant for the macro.
    pub(crate) declaration: TokenStream,
}

/// Where a parameter's value comes from.
pub(crate) enum ParameterKind {
    /// The context, by value or by reference.
    Context { by_reference: bool },
    /// `FromCtx`.
    Extracted,
    /// The request.
    Argument(Box<Argument>),
}

/// A parameter that the caller fills in.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    /// `#[serde]` and `#[schemars]`.
    pub(crate) passed_on: Vec<Attribute>,
    pub(crate) default: Option<Default>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) header: Option<LitStr>,
}

/// The value of an argument that is left out.
pub(crate) enum Default {
    /// That of its type.
    OfType,
    Value(Expr),
}

impl Default {
    /// An expression for it.
    pub(crate) fn expression(&self) -> TokenStream {
        match self {
            Self::OfType => quote!(::core::default::Default::default()),
            // So that the default of a `String` can be written as a literal.
            Self::Value(value) if literal(value).is_some() => {
                quote!(::core::convert::Into::into(#value))
            }
            Self::Value(value) => quote!(#value),
        }
    }
}

impl Parameter {
    pub(crate) fn parse(parameter: FnArg) -> Result<Self> {
        let mut typed = match parameter {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let help = "this has to be a free function; take what it shares as `State(name): State<Type>`";
                return Err(Error::new_spanned(receiver, help));
            }
        };
        let attributes = ParameterAttributes::sort(std::mem::take(&mut typed.attrs))?;
        typed.attrs = attributes.kept.clone();
        let kind = match source(&typed.ty) {
            Some(kind) => attributes
                .only_lints("a parameter that is not an argument")
                .map(|()| kind)?,
            None if attributes.extract => attributes
                .only_lints("a parameter with #[extract]")
                .map(|()| ParameterKind::Extracted)?,
            None => ParameterKind::Argument(Box::new(attributes.argument(&typed.pat, &typed.ty)?)),
        };
        Ok(Self {
            kind,
            declaration: quote!(#typed),
        })
    }
}

/// What the type alone says: contexts and state are never arguments.
fn source(ty: &Type) -> Option<ParameterKind> {
    let is_named = |ty: &Type, name: &str| matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name));
    match ty {
        Type::Reference(reference)
            if reference.mutability.is_none() && is_named(&reference.elem, "Ctx") =>
        {
            Some(ParameterKind::Context { by_reference: true })
        }
        ty if is_named(ty, "Ctx") => Some(ParameterKind::Context {
            by_reference: false,
        }),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            (last.ident == "State" && matches!(last.arguments, PathArguments::AngleBracketed(_)))
                .then_some(ParameterKind::Extracted)
        }
        _ => None,
    }
}

#[derive(std::default::Default)]
struct ParameterAttributes {
    docs: Vec<Attribute>,
    passed_on: Vec<Attribute>,
    /// Lints, which stay where they are.
    kept: Vec<Attribute>,
    /// The first that makes sense on an argument only.
    about_argument: Option<Attribute>,
    extract: bool,
    default: Option<Default>,
    rename: Option<LitStr>,
    header: Option<LitStr>,
}

impl ParameterAttributes {
    fn sort(attributes: Vec<Attribute>) -> Result<Self> {
        let mut sorted = Self::default();
        for attribute in attributes {
            let name = attribute
                .path()
                .get_ident()
                .map(Ident::to_string)
                .unwrap_or_default();
            match &*name {
                "doc" => sorted.docs.push(attribute),
                "extract" => {
                    attribute.meta.require_path_only()?;
                    sorted.extract = true;
                }
                "arg" => {
                    sorted.arg(&attribute)?;
                    sorted.about_argument.get_or_insert(attribute);
                }
                "serde" | "schemars" => {
                    sorted.about_argument.get_or_insert(attribute.clone());
                    sorted.passed_on.push(attribute);
                }
                "allow" | "expect" | "warn" | "deny" => sorted.kept.push(attribute),
                _ => {
                    let help = "not supported on a parameter; there are #[arg(..)], #[extract], #[serde(..)], #[schemars(..)], lints and comments";
                    return Err(Error::new_spanned(attribute, help));
                }
            }
        }
        Ok(sorted)
    }

    fn arg(&mut self, attribute: &Attribute) -> Result<()> {
        if matches!(attribute.meta, Meta::Path(_)) {
            return Err(Error::new_spanned(
                attribute,
                "say what about the argument: `default`, `rename = \"..\"` or `header = \"..\"`",
            ));
        }
        let settings: AttributeArgs = attribute.parse_args()?;
        settings.check("#[arg]", &["default", "rename", "header"], &[])?;
        if let Some(setting) = settings.get("default") {
            self.default = Some(
                setting
                    .value()
                    .map_or(Default::OfType, |value| Default::Value(value.clone())),
            );
        }
        if let Some(setting) = settings.get("rename") {
            self.rename = Some(setting.needed_literal()?.clone());
        }
        if let Some(setting) = settings.get("header") {
            self.header = Some(setting.needed_literal()?.clone());
        }
        Ok(())
    }

    fn only_lints(&self, what: &str) -> Result<()> {
        match &self.about_argument {
            Some(attribute) => Err(Error::new_spanned(
                attribute,
                format!("{what} cannot have this attribute"),
            )),
            None => Ok(()),
        }
    }

    fn argument(self, pattern: &Pat, ty: &Type) -> Result<Argument> {
        let ident = match pattern {
            Pat::Ident(PatIdent {
                by_ref: None,
                subpat: None,
                ident,
                ..
            }) => ident.clone(),
            _ => {
                let help = "an argument needs a plain name; if this is not an argument, mark it with #[extract]";
                return Err(Error::new_spanned(pattern, help));
            }
        };
        match ty {
            Type::Reference(_) => Err(Error::new_spanned(
                ty,
                "arguments are owned: take `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
            )),
            Type::ImplTrait(_) => Err(Error::new_spanned(
                ty,
                "an argument needs a concrete type, from which its schema is made",
            )),
            Type::Infer(_) => Err(Error::new_spanned(
                ty,
                "an argument needs its type written out",
            )),
            _ => Ok(Argument {
                ident,
                ty: ty.clone(),
                docs: self.docs,
                passed_on: self.passed_on,
                default: self.default,
                rename: self.rename,
                header: self.header,
            }),
        }
    }
}

impl Argument {
    /// The name that callers use.
    pub(crate) fn public_name(&self) -> String {
        use syn::ext::IdentExt;
        self.rename
            .as_ref()
            .map_or_else(|| self.ident.unraw().to_string(), LitStr::value)
    }

    /// The `T` of `Option<T>`.
    pub(crate) fn optional(&self) -> Option<&Type> {
        let Type::Path(path) = &self.ty else {
            return None;
        };
        let last = path
            .path
            .segments
            .last()
            .filter(|last| last.ident == "Option")?;
        match &last.arguments {
            PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => {
                match arguments.args.first()? {
                    GenericArgument::Type(inner) => Some(inner),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether serde accepts the argument under another name as well.
    pub(crate) fn has_alias(&self) -> bool {
        self.passed_on
            .iter()
            .filter(|attribute| attribute.path().is_ident("serde"))
            .any(|attribute| {
                let mut found = false;
                // What cannot be parsed here is serde's to report.
                let _ = attribute.parse_nested_meta(|meta| {
                    found |= meta.path.is_ident("alias");
                    if meta.input.peek(syn::Token![=]) {
                        meta.value()?.parse::<Expr>()?;
                    }
                    Ok(())
                });
                found
            })
    }

    /// Refuses what makes sense on tools only.
    pub(crate) fn refuse_schema_attributes(&self, what: &str) -> Result<()> {
        if let Some(header) = &self.header {
            return Err(Error::new_spanned(
                header,
                format!("{what} has no headers; only arguments of tools have"),
            ));
        }
        match self.passed_on.first() {
            Some(attribute) => Err(Error::new_spanned(
                attribute,
                format!("{what} is plain text and has no schema"),
            )),
            None => Ok(()),
        }
    }
}
