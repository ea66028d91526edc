//! `#[resource]`.

use crate::attributes::description;
use crate::expand;
use crate::function::Function;
use crate::settings::{AttributeArgs, Value, public_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, LitStr, Result, Token};

#[cfg(test)]
mod tests;

const SETTERS: [(&str, &str, Value); 7] = [
    ("title", "title", Value::Needed),
    ("description", "description", Value::Needed),
    ("mime", "mime", Value::Needed),
    ("icon", "icon", Value::Needed),
    ("scope", "requires_scope", Value::Needed),
    ("ttl", "ttl", Value::Needed),
    ("public", "public", Value::None),
];

/// `"uri", key = value, ..`
struct ResourceArgs {
    uri: LitStr,
    settings: AttributeArgs,
}

impl Parse for ResourceArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(LitStr) {
            return Err(
                input.error("#[resource] starts with its URI: #[resource(\"note://{id}\", ..)]")
            );
        }
        let uri = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self {
            uri,
            settings: input.parse()?,
        })
    }
}

pub(crate) fn expand(settings: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function = Function::parse("#[resource]", function)?;
    let ResourceArgs { uri, settings } = syn::parse2(settings)?;
    let known: Vec<_> = std::iter::once("name")
        .chain(SETTERS.iter().map(|(key, ..)| *key))
        .collect();
    settings.check("#[resource]", &known, &["icon"])?;
    let variables = variables(&uri)?;
    check_match(&uri, &variables, &function)?;

    let name = public_name(&settings, &function.ident)?;
    let texts = description(&settings, &function.attributes.shown);
    let setters = settings.setters(&SETTERS)?;
    let error = quote!(::carryall::server::HandlerError);
    let call = expand::call(&function, &error, !variables.is_empty(), |argument| {
        let (name, ty) = (argument.ident.unraw().to_string(), &argument.ty);
        quote!(__variables.get::<#ty>(#name)?)
    });
    let at = function.output_span();
    let new = if variables.is_empty() {
        quote_spanned!(at=> ::carryall::server::Resource::new)
    } else {
        quote_spanned!(at=> ::carryall::server::Resource::template)
    };
    let body = quote! {
        #new(#uri, #name, |__ctx: ::carryall::server::Ctx, __variables: ::carryall::server::UriVariables| async move { #call })
            #texts #setters
    };
    Ok(expand::items(&function, "Resource", &body))
}

/// The names in `{name}` and `{+name}`.
fn variables(uri: &LitStr) -> Result<Vec<String>> {
    let fail = |what: &str| Err(Error::new_spanned(uri, what));
    let text = uri.value();
    let mut names: Vec<String> = Vec::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('{') {
        if before.is_empty() && !names.is_empty() {
            return fail("two variables need text between them");
        }
        let Some((expression, after)) = after.split_once('}') else {
            return fail("a '{' is not closed");
        };
        if before.contains('}') {
            return fail("a '}' has no '{'");
        }
        let name = expression.strip_prefix('+').unwrap_or(expression);
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return fail(&format!(
                "{{{expression}}} is not supported; use {{name}} or {{+name}}"
            ));
        }
        if names.iter().any(|earlier| earlier == name) {
            return fail(&format!("the variable {{{name}}} occurs twice"));
        }
        names.push(name.to_owned());
        rest = after;
    }
    if rest.contains('}') {
        fail("a '}' has no '{'")
    } else {
        Ok(names)
    }
}

/// Every variable needs a parameter, and the other way round.
fn check_match(uri: &LitStr, variables: &[String], function: &Function) -> Result<()> {
    for argument in function.arguments() {
        argument.refuse_schema_attributes("a variable of a URI")?;
        let name = argument.ident.unraw().to_string();
        if argument.rename.is_some() || argument.default.is_some() {
            return Err(Error::new_spanned(
                &argument.ident,
                "a variable of a URI always has a value and its own name: #[arg] does not apply",
            ));
        }
        if !variables.contains(&name) {
            let help = format!(
                "the URI has no variable {{{name}}}; add it, or mark the parameter with #[extract]"
            );
            return Err(Error::new_spanned(&argument.ident, help));
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
