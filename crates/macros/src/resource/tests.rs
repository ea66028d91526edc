use super::expand;
use crate::testing::{all_fail, contains, items};
use quote::quote;

#[test]
fn a_literal_uri_is_a_resource() {
    let args = quote!(
        "config://app",
        name = "config",
        mime = "application/json",
        ttl = HOUR,
        public
    );
    let (tokens, _) = items(expand(
        args,
        quote! {
            /// The configuration.
            fn app(State(config): State<Config>) -> String { config.to_string() }
        },
    ));
    assert!(contains(
        &tokens,
        &quote!(fn app() -> ::carryall::server::Resource)
    ));
    assert!(
        contains(
            &tokens,
            &r#"::carryall::server::Resource::new("config://app", "config","#
        ),
        "{tokens}"
    );
    assert!(
        contains(
            &tokens,
            &quote!(.description("The configuration.").mime("application/json").ttl(HOUR).public())
        ),
        "{tokens}"
    );
    assert!(
        contains(
            &tokens,
            &quote!(|__extracted_0: State<Config>| {
                let _ = <State<Config> as ::carryall::server::FromCtx>::requires;
                async move { app::call(__extracted_0) }
            })
        ),
        "{tokens}"
    );
}

#[test]
fn a_uri_with_variables_is_a_template() {
    let function = quote!(
        async fn file(path: String, r#type: ParameterKind, ctx: &Ctx) -> Vec<u8> {
            read(path)
        }
    );
    let (tokens, _) = items(expand(quote!("file://{type}/{+path}"), function));
    assert!(
        contains(
            &tokens,
            &r#"::carryall::server::Resource::template("file://{type}/{+path}", "file","#
        ),
        "{tokens}"
    );
    let call = quote! {
        ::core::result::Result::Ok::<_, ::carryall::server::HandlerError>(file::call(
            __variables.get::<String>("path")?,
            __variables.get::<ParameterKind>("type")?,
            &__ctx
        ).await)
    };
    assert!(contains(&tokens, &call), "{tokens}");
}

#[test]
fn variables_and_parameters_must_match() {
    all_fail(
        expand,
        &[
            (
                quote!("note://{id}"),
                quote!(
                    fn f() {}
                ),
                "no parameter `id` for the variable {id}",
            ),
            (
                quote!("note://{id}"),
                quote!(
                    fn f(id: u8, name: String) {}
                ),
                "no variable {name}",
            ),
            (
                quote!("note://one"),
                quote!(
                    fn f(id: u8) {}
                ),
                "no variable {id}",
            ),
            (
                quote!("note://{id}"),
                quote!(
                    fn f(#[arg(default)] id: u8) {}
                ),
                "#[arg] does not apply",
            ),
            (
                quote!("note://{id}"),
                quote!(
                    fn f(#[serde(default)] id: u8) {}
                ),
                "has no schema",
            ),
        ],
    );
}

#[test]
fn uris_that_are_not_templates_are_refused() {
    let f = quote!(
        fn f() {}
    );
    all_fail(
        expand,
        &[
            (quote!("x://{a"), f.clone(), "unclosed '{'"),
            (quote!("x://a}"), f.clone(), "unmatched '}'"),
            (quote!("x://a}/{b}"), f.clone(), "unmatched '}'"),
            (quote!("x://{a}{b}"), f.clone(), "must have text between"),
            (quote!("x://{a}/{a}"), f.clone(), "duplicate variable"),
            (quote!("x://{?q}"), f.clone(), "{?q} is not supported"),
            (quote!("x://{}"), f.clone(), "is not supported"),
            (quote!(), f.clone(), "expected a URI"),
            (quote!(name = "x"), f.clone(), "expected a URI"),
            (
                quote!("x://a", mine = "text/plain"),
                f.clone(),
                "unknown argument `mine` of #[resource]",
            ),
            (quote!("x://a", public = true), f, "`public` takes no value"),
        ],
    );
}
