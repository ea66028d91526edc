//! The parameters of a function. Each is an argument, which the client provides, or a value that is
//! extracted from the call.

use crate::attribute_args::{AttributeArgs, literal};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Ident, LitStr, Meta, Pat, PatIdent,
    PathArguments, PathSegment, Result, Type,
};

/// One parameter of the function.
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    /// The parameter of the original function, without the attributes meant for the macro.
    pub(crate) declaration: TokenStream,
}

/// Where the value of a parameter comes from.
pub(crate) enum ParameterKind {
    /// The `Ctx` of the call.
    Context { by_reference: bool },
    /// The implementation of `FromCtx` for this type.
    Extracted(Box<Type>),
    /// The client.
    Argument(Box<Argument>),
}

/// A parameter that the client provides.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    /// The attributes `#[serde]` and `#[schemars]`, for the field of the generated input type.
    pub(crate) passed_on: Vec<Attribute>,
    pub(crate) default: Option<DefaultValue>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) header: Option<LitStr>,
}

/// The value of an argument that the client leaves out.
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
            // A string literal is converted, so that it can be the default of a `String`.
            Self::Expression(value) if literal(value).is_some() => {
                quote!(::core::convert::Into::into(#value))
            }
            Self::Expression(value) => quote!(#value),
        }
    }
}

impl Parameter {
    /// Classifies a parameter by its type and attributes.
    pub(crate) fn parse(parameter: FnArg) -> Result<Self> {
        let mut typed = match parameter {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let message =
                    "methods are not supported: take shared state as `State(name): State<Type>`";
                return Err(Error::new_spanned(receiver, message));
            }
        };
        let attributes = ParameterAttributes::parse(std::mem::take(&mut typed.attrs))?;
        typed.attrs = attributes.lints.clone();
        let kind = match known_extractor(&typed.ty) {
            Some(kind) => attributes
                .reject_argument_attributes("a parameter that is not an argument")
                .map(|()| kind)?,
            None if attributes.extract => attributes
                .reject_argument_attributes("a parameter with #[extract]")
                .map(|()| ParameterKind::Extracted(typed.ty.clone()))?,
            None => {
                ParameterKind::Argument(Box::new(attributes.into_argument(&typed.pat, &typed.ty)?))
            }
        };
        Ok(Self {
            kind,
            declaration: quote!(#typed),
        })
    }
}

/// The extractors that need no `#[extract]`, without a type argument.
const EXTRACTORS: [&str; 4] = ["Principal", "HeaderMap", "ClientInfo", "ServerHandle"];
/// The extractors that need no `#[extract]`, with a type argument.
const GENERIC_EXTRACTORS: [&str; 3] = ["State", "Extension", "Ask"];

/// Returns the kind of a parameter whose type is `Ctx` or an extractor that needs no `#[extract]`.
///
/// A macro sees no types, so the last segment of the type's path decides.
fn known_extractor(ty: &Type) -> Option<ParameterKind> {
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

/// Returns whether this is `Principal` or `Arc<Principal>`.
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

/// The attributes of a parameter, by purpose.
#[derive(Default)]
struct ParameterAttributes {
    docs: Vec<Attribute>,
    passed_on: Vec<Attribute>,
    /// `#[allow]` and the like, which stay on the original function.
    lints: Vec<Attribute>,
    /// The first attribute that only arguments can have, for error messages.
    argument_only: Option<Attribute>,
    extract: bool,
    default: Option<DefaultValue>,
    rename: Option<LitStr>,
    header: Option<LitStr>,
}

impl ParameterAttributes {
    fn parse(attributes: Vec<Attribute>) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes {
            let name = attribute
                .path()
                .get_ident()
                .map(Ident::to_string)
                .unwrap_or_default();
            match &*name {
                "doc" => parsed.docs.push(attribute),
                "extract" => {
                    attribute.meta.require_path_only()?;
                    parsed.extract = true;
                }
                "arg" => {
                    parsed.parse_arg(&attribute)?;
                    parsed.argument_only.get_or_insert(attribute);
                }
                "serde" | "schemars" => {
                    parsed.argument_only.get_or_insert(attribute.clone());
                    parsed.passed_on.push(attribute);
                }
                "allow" | "expect" | "warn" | "deny" => parsed.lints.push(attribute),
                _ => {
                    let message = "not supported on a parameter; supported are #[arg(..)], #[extract], #[serde(..)], #[schemars(..)], lints and documentation comments";
                    return Err(Error::new_spanned(attribute, message));
                }
            }
        }
        Ok(parsed)
    }

    /// Parses `#[arg(..)]`.
    fn parse_arg(&mut self, attribute: &Attribute) -> Result<()> {
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

    /// Rejects attributes that only arguments can have. `what` names the parameter in the error.
    fn reject_argument_attributes(&self, what: &str) -> Result<()> {
        match &self.argument_only {
            Some(attribute) => Err(Error::new_spanned(
                attribute,
                format!("{what} cannot have this attribute"),
            )),
            None => Ok(()),
        }
    }

    fn into_argument(self, pattern: &Pat, ty: &Type) -> Result<Argument> {
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
                "an argument needs a concrete type: its schema is generated from the type",
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

    /// Returns the `T` if the type of the argument is `Option<T>`.
    pub(crate) fn option_type(&self) -> Option<&Type> {
        type_argument(last_segment(&self.ty).filter(|last| last.ident == "Option")?)
    }

    /// Returns whether the argument has a `#[serde(alias = "..")]`.
    pub(crate) fn has_alias(&self) -> bool {
        self.passed_on
            .iter()
            .filter(|attribute| attribute.path().is_ident("serde"))
            .any(|attribute| {
                let mut found = false;
                // An error is ignored: serde's derive macro reports it.
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

    /// Rejects attributes that only arguments of tools can have: `#[arg(header = "..")]`,
    /// `#[serde]` and `#[schemars]`. `what` names the argument in the error.
    pub(crate) fn reject_schema_attributes(&self, what: &str) -> Result<()> {
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
