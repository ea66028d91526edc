//! The parameters of a function: arguments, and values taken from the call.

use crate::attribute_args::{AttributeArgs, literal};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Ident, LitStr, Meta, Pat, PatIdent,
    PathArguments, PathSegment, Result, Type,
};

/// A parameter.
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    /// The parameter of the original function, without the attributes meant for the macro.
    pub(crate) declaration: TokenStream,
}

/// The source of a parameter's value.
pub(crate) enum ParameterKind {
    /// The context, by value or by reference.
    Context { by_reference: bool },
    /// `FromCtx` of this type.
    Extracted(Box<Type>),
    /// The input of the call.
    Argument(Box<Argument>),
}

/// A parameter that the client provides.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    /// `#[serde]` and `#[schemars]`.
    pub(crate) passed_on: Vec<Attribute>,
    pub(crate) default: Option<DefaultValue>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) header: Option<LitStr>,
}

/// The value of an argument that is left out.
pub(crate) enum DefaultValue {
    /// `Default::default()` of its type.
    OfType,
    Expression(Expr),
}

impl DefaultValue {
    /// Returns an expression for the value.
    pub(crate) fn expression(&self) -> TokenStream {
        match self {
            Self::OfType => quote!(::core::default::Default::default()),
            // The default of a `String` can be written as a literal.
            Self::Expression(value) if literal(value).is_some() => {
                quote!(::core::convert::Into::into(#value))
            }
            Self::Expression(value) => quote!(#value),
        }
    }
}

impl Parameter {
    pub(crate) fn parse(parameter: FnArg) -> Result<Self> {
        let mut typed = match parameter {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let message =
                    "methods are not supported: take shared state as `State(name): State<Type>`";
                return Err(Error::new_spanned(receiver, message));
            }
        };
        let attributes = ParameterAttributes::sort(std::mem::take(&mut typed.attrs))?;
        typed.attrs = attributes.kept.clone();
        let kind = match source_of(&typed.ty) {
            Some(kind) => attributes
                .check_not_argument("a parameter that is not an argument")
                .map(|()| kind)?,
            None if attributes.extract => attributes
                .check_not_argument("a parameter with #[extract]")
                .map(|()| ParameterKind::Extracted(typed.ty.clone()))?,
            None => ParameterKind::Argument(Box::new(attributes.argument(&typed.pat, &typed.ty)?)),
        };
        Ok(Self {
            kind,
            declaration: quote!(#typed),
        })
    }
}

/// The extractors that need no `#[extract]`.
const EXTRACTORS: [&str; 4] = ["Principal", "HeaderMap", "ClientInfo", "ServerHandle"];
/// The same, with a type argument.
const GENERIC_EXTRACTORS: [&str; 3] = ["State", "Extension", "Ask"];

/// Returns the source of a parameter whose type is a known extractor, by the name of the type.
fn source_of(ty: &Type) -> Option<ParameterKind> {
    if let Type::Reference(reference) = ty {
        let is_ctx = last_segment(&reference.elem).is_some_and(|last| last.ident == "Ctx");
        return (is_ctx && reference.mutability.is_none())
            .then_some(ParameterKind::Context { by_reference: true });
    }
    let last = last_segment(ty)?;
    if last.ident == "Ctx" {
        return Some(ParameterKind::Context {
            by_reference: false,
        });
    }
    let is_extractor = match (type_argument(last), last.ident.to_string().as_str()) {
        (Some(inner), "Option" | "Arc") => is_principal(inner),
        (Some(_), name) => GENERIC_EXTRACTORS.contains(&name),
        (None, name) => EXTRACTORS.contains(&name),
    };
    is_extractor.then(|| ParameterKind::Extracted(Box::new(ty.clone())))
}

/// Whether this is `Principal` or `Arc<Principal>`.
fn is_principal(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| match type_argument(last) {
        Some(inner) => last.ident == "Arc" && is_principal(inner),
        None => last.ident == "Principal",
    })
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the `T` of `Name<T>`.
fn type_argument(segment: &PathSegment) -> Option<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => {
            match arguments.args.first()? {
                GenericArgument::Type(inner) => Some(inner),
                _ => None,
            }
        }
        _ => None,
    }
}

#[derive(Default)]
struct ParameterAttributes {
    docs: Vec<Attribute>,
    passed_on: Vec<Attribute>,
    /// Lints, which stay on the original function.
    kept: Vec<Attribute>,
    /// The first one that applies to arguments only.
    argument_only: Option<Attribute>,
    extract: bool,
    default: Option<DefaultValue>,
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
                    sorted.argument_only.get_or_insert(attribute);
                }
                "serde" | "schemars" => {
                    sorted.argument_only.get_or_insert(attribute.clone());
                    sorted.passed_on.push(attribute);
                }
                "allow" | "expect" | "warn" | "deny" => sorted.kept.push(attribute),
                _ => {
                    let message = "not supported on a parameter; supported are #[arg(..)], #[extract], #[serde(..)], #[schemars(..)], lints and documentation comments";
                    return Err(Error::new_spanned(attribute, message));
                }
            }
        }
        Ok(sorted)
    }

    fn arg(&mut self, attribute: &Attribute) -> Result<()> {
        if matches!(attribute.meta, Meta::Path(_)) {
            return Err(Error::new_spanned(
                attribute,
                "#[arg] needs `default`, `rename = \"..\"` or `header = \"..\"`",
            ));
        }
        let args: AttributeArgs = attribute.parse_args()?;
        args.check("#[arg]", &["default", "rename", "header"], &[])?;
        if let Some(arg) = args.get("default") {
            self.default = Some(arg.value().map_or(DefaultValue::OfType, |value| {
                DefaultValue::Expression(value.clone())
            }));
        }
        if let Some(arg) = args.get("rename") {
            self.rename = Some(arg.required_literal()?.clone());
        }
        if let Some(arg) = args.get("header") {
            self.header = Some(arg.required_literal()?.clone());
        }
        Ok(())
    }

    fn check_not_argument(&self, what: &str) -> Result<()> {
        match &self.argument_only {
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
                let message = "an argument needs a plain name; if this is not an argument, mark it with #[extract]";
                return Err(Error::new_spanned(pattern, message));
            }
        };
        match ty {
            Type::Reference(_) => Err(Error::new_spanned(
                ty,
                "arguments must be owned: take `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
            )),
            Type::ImplTrait(_) => Err(Error::new_spanned(
                ty,
                "an argument needs a concrete type: its schema is made from it",
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
    /// Returns the name that clients use.
    pub(crate) fn public_name(&self) -> String {
        use syn::ext::IdentExt;
        self.rename
            .as_ref()
            .map_or_else(|| self.ident.unraw().to_string(), LitStr::value)
    }

    /// Returns the `T` of `Option<T>`.
    pub(crate) fn optional(&self) -> Option<&Type> {
        type_argument(last_segment(&self.ty).filter(|last| last.ident == "Option")?)
    }

    /// Whether serde accepts the argument under another name as well.
    pub(crate) fn has_alias(&self) -> bool {
        self.passed_on
            .iter()
            .filter(|attribute| attribute.path().is_ident("serde"))
            .any(|attribute| {
                let mut found = false;
                // serde reports what cannot be parsed here.
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

    /// Refuses attributes that apply to the arguments of tools only.
    pub(crate) fn refuse_schema_attributes(&self, what: &str) -> Result<()> {
        if let Some(header) = &self.header {
            return Err(Error::new_spanned(
                header,
                format!("{what} is not mirrored in a header; only arguments of tools are"),
            ));
        }
        match self.passed_on.first() {
            Some(attribute) => Err(Error::new_spanned(
                attribute,
                format!("{what} is a string and has no schema"),
            )),
            None => Ok(()),
        }
    }
}
