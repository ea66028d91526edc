use super::expand;
use crate::testing::{all_fail, contains, items};
use quote::quote;

#[test]
fn a_literal_uri_is_a_resource() {
    let settings = quote!(
        "config://app",
        name = "config",
        mime = "application/json",
        ttl = HOUR,
        public
    );
    let (tokens, _) = items(expand(
        settings,
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
    assert!(contains(
        &tokens,
        &quote!(app::call(::carryall::server::FromCtx::from_ctx(&__ctx)?))
    ));
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
fn variables_and_parameters_have_to_match() {
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
            (quote!("x://{a"), f.clone(), "not closed"),
            (quote!("x://a}"), f.clone(), "has no '{'"),
            (quote!("x://a}/{b}"), f.clone(), "has no '{'"),
            (quote!("x://{a}{b}"), f.clone(), "need text between"),
            (quote!("x://{a}/{a}"), f.clone(), "occurs twice"),
            (quote!("x://{?q}"), f.clone(), "{?q} is not supported"),
            (quote!("x://{}"), f.clone(), "is not supported"),
            (quote!(), f.clone(), "starts with its URI"),
            (quote!(name = "x"), f.clone(), "starts with its URI"),
            (
                quote!("x://a", mine = "text/plain"),
                f.clone(),
                "#[resource] has no setting `mine`",
            ),
            (quote!("x://a", public = true), f, "`public` takes no value"),
        ],
    );
}
