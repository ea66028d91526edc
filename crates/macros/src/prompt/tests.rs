use super::expand;
use crate::testing::{all_fail, contains, items};
use quote::quote;

#[test]
fn parameters_are_declared_and_parsed() {
    let function = quote! {
        /// Reviews code.
        async fn review(
            /// The code
            code: String,
            level: Option<u8>,
            #[arg(default = "en", rename = "lang")] language: String,
            #[arg(default)] twice: bool,
            #[arg(default = Some(3))] lines: Option<u8>,
            ctx: Ctx,
        ) -> String { code }
    };
    let (tokens, _) = items(expand(quote!(title = "Review", scope = "code"), function));
    assert!(contains(
        &tokens,
        &quote!(fn review() -> ::carryall::server::Prompt)
    ));
    let declared = quote! {
        .argument("code", "The code", true).argument("level", "", false).argument("lang", "", false).argument("twice", "", false)
        .argument("lines", "", false).description("Reviews code.").title("Review").requires_scope("code")
    };
    assert!(contains(&tokens, &declared), "{tokens}");
    let call = quote! {
        ::core::result::Result::Ok::<_, ::carryall::server::HandlerError>(review::call(
            __arguments.get::<String>("code")?,
            __arguments.optional::<u8>("level")?,
            match __arguments.optional::<String>("lang")? {
                ::core::option::Option::None => ::core::convert::Into::into("en"),
                ::core::option::Option::Some(__given) => __given,
            },
            match __arguments.optional::<bool>("twice")? {
                ::core::option::Option::None => ::core::default::Default::default(),
                ::core::option::Option::Some(__given) => __given,
            },
            match __arguments.optional::<u8>("lines")? {
                ::core::option::Option::None => Some(3),
                __given => __given,
            },
            ::core::clone::Clone::clone(&__ctx)
        ).await)
    };
    assert!(contains(&tokens, &call), "{tokens}");
}

#[test]
fn a_prompt_without_arguments_is_infallible() {
    let (tokens, _) = items(expand(
        quote!(name = "hi"),
        quote!(
            fn hello() -> &'static str {
                "hi"
            }
        ),
    ));
    assert!(
        contains(&tokens, &quote!(async move { hello::call() })),
        "{tokens}"
    );
    assert!(contains(
        &tokens,
        &r#"::carryall::server::Prompt::new("hi","#
    ));
}

#[test]
fn attributes_of_tools_are_refused() {
    all_fail(
        expand,
        &[
            (
                quote!(),
                quote!(
                    fn f(#[arg(header = "A")] a: String) {}
                ),
                "only arguments of tools",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[schemars(length(min = 1))] a: String) {}
                ),
                "has no schema",
            ),
            (
                quote!(read_only),
                quote!(
                    fn f() {}
                ),
                "unknown argument `read_only` of #[prompt]",
            ),
            (
                quote!(),
                quote!(
                    fn f(a: &str) {}
                ),
                "arguments must be owned",
            ),
            (
                quote!(),
                quote!(
                    mod m {}
                ),
                "#[prompt] applies to functions",
            ),
        ],
    );
}
