//! `#[resource]`.

use crate::attribute_args::{ArgValue, AttributeArgs, public_name};
use crate::attributes::description;
use crate::expand::{self, HandlerClosure};
use crate::function::Function;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, LitStr, Result, Token};

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, ArgValue); 7] = [
    ("title", "title", ArgValue::Required),
    ("description", "description", ArgValue::Required),
    ("mime", "mime", ArgValue::Required),
    ("icon", "icon", ArgValue::Required),
    ("scope", "requires_scope", ArgValue::Required),
    ("ttl", "ttl", ArgValue::Required),
    ("public", "public", ArgValue::Forbidden),
];

/// `"uri", key = value, ..`
struct ResourceArgs {
    uri: LitStr,
    args: AttributeArgs,
}

impl Parse for ResourceArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(LitStr) {
            return Err(input.error("expected a URI: #[resource(\"note://{id}\", ..)]"));
        }
        let uri = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self {
            uri,
            args: input.parse()?,
        })
    }
}

pub(crate) fn expand(args: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[resource]", function)?;
    let ResourceArgs { uri, args } = syn::parse2(args)?;
    let known: Vec<_> = std::iter::once("name")
        .chain(SETTERS.iter().map(|(key, ..)| *key))
        .collect();
    args.check("#[resource]", &known, &["icon"])?;
    let variables = variables(&uri)?;
    check_match(&uri, &variables, &function)?;

    let name = public_name(&args, &function.ident)?;
    let description = description(&args, &function.attributes.shown);
    let setters = args.setters(&SETTERS)?;
    let is_template = !variables.is_empty();
    let closure = HandlerClosure {
        function: &function,
        input: is_template.then(|| quote!(__variables: ::carryall::server::UriVariables)),
        is_fallible: is_template,
    };
    let closure = closure.expand(|argument| {
        let (name, ty) = (argument.ident.unraw().to_string(), &argument.ty);
        quote!(__variables.get::<#ty>(#name)?)
    })?;
    let at = function.output_span();
    let new = if is_template {
        quote_spanned!(at=> ::carryall::server::Resource::template)
    } else {
        quote_spanned!(at=> ::carryall::server::Resource::new)
    };
    let body = quote!(#new(#uri, #name, #closure) #description #setters);
    Ok(expand::items(&function, "Resource", &body))
}

/// Returns the names in `{name}` and `{+name}`.
fn variables(uri: &LitStr) -> Result<Vec<String>> {
    let fail = |what: &str| Err(Error::new_spanned(uri, what));
    let text = uri.value();
    let mut names: Vec<String> = Vec::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('{') {
        if before.is_empty() && !names.is_empty() {
            return fail("two variables must have text between them");
        }
        let Some((expression, after)) = after.split_once('}') else {
            return fail("unclosed '{'");
        };
        if before.contains('}') {
            return fail("unmatched '}'");
        }
        let name = expression.strip_prefix('+').unwrap_or(expression);
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return fail(&format!(
                "{{{expression}}} is not supported: use {{name}} or {{+name}}"
            ));
        }
        if names.iter().any(|earlier| earlier == name) {
            return fail(&format!("duplicate variable {{{name}}}"));
        }
        names.push(name.to_owned());
        rest = after;
    }
    if rest.contains('}') {
        fail("unmatched '}'")
    } else {
        Ok(names)
    }
}

/// Checks that each variable has a parameter, and each parameter a variable.
fn check_match(uri: &LitStr, variables: &[String], function: &Function) -> Result<()> {
    for argument in function.arguments() {
        argument.reject_schema_attributes("a variable of a URI")?;
        let name = argument.ident.unraw().to_string();
        if argument.rename.is_some() || argument.default.is_some() {
            return Err(Error::new_spanned(
                &argument.ident,
                "#[arg] does not apply to a variable of a URI: it always has a value and its own name",
            ));
        }
        if !variables.contains(&name) {
            let message = format!(
                "the URI has no variable {{{name}}}: add it, or mark the parameter with #[extract]"
            );
            return Err(Error::new_spanned(&argument.ident, message));
        }
    }
    let is_missing = |name: &&String| {
        !function
            .arguments()
            .any(|argument| argument.ident.unraw() == **name)
    };
    match variables.iter().find(is_missing) {
        Some(name) => Err(Error::new_spanned(
            uri,
            format!("the function has no parameter `{name}` for the variable {{{name}}}"),
        )),
        None => Ok(()),
    }
}
