use super::expand;
use crate::testing::{contains, items};
use quote::quote;
use syn::{Item, Visibility};

mod refused;

#[test]
fn a_function_becomes_one_that_makes_a_tool_and_keeps_its_name_and_visibility() {
    let function = quote! {
        /// Adds.
        #[cfg(feature = "math")]
        #[tracing::instrument]
        pub(crate) async fn add(a: i64, mut b: i64) -> i64 { b += a; b }
    };
    let (tokens, items) = items(expand(quote!(), function));
    let Item::Fn(item) = &items[0] else {
        panic!("{tokens}")
    };
    assert_eq!(item.sig.ident, "add");
    assert!(matches!(item.vis, Visibility::Restricted(_)));
    assert!(contains(&quote!(#item), &quote!(#[doc = r" Adds."])));
    assert_eq!(items.len(), 3);
    for item in &items {
        assert!(
            contains(&quote!(#item), &quote!(#[cfg(feature = "math")])),
            "{tokens}"
        );
    }
    let call = quote!(
        #[tracing::instrument]
        pub(crate) async fn call(a: i64, mut b: i64) -> i64 {
            b += a;
            b
        }
    );
    assert!(contains(&tokens, &call), "{tokens}");
    assert!(contains(
        &tokens,
        &quote!(fn add() -> ::carryall::server::Tool)
    ));
    assert!(contains(
        &tokens,
        &quote!(add::call(__arguments.a, __arguments.b).await)
    ));
    assert!(contains(
        &tokens,
        &quote!("add", |__ctx: ::carryall::server::Ctx, __arguments: __Arguments| async move)
    ));
    assert!(contains(&tokens, &quote!(.description("Adds."))));
}

#[test]
fn parameters_become_fields() {
    let function = quote! {
        fn f(
            /// First
            /// line
            a: i64,
            #[arg(default)] b: bool,
            #[arg(default = 10 + 1)] c: u8,
            #[arg(default = "EUR", rename = "to-currency", header = "Currency")] d: String,
            #[schemars(range(min = 1))] #[serde(alias = "EE")] e: Option<u32>,
            r#type: String,
        ) -> String { d }
    };
    let (tokens, _) = items(expand(quote!(), function));
    let fields = quote! {
        struct __Arguments {
            #[doc = r" First"] #[doc = r" line"] a: i64,
            #[serde(default)] b: bool,
            #[serde(default = "__default_2")] c: u8,
            #[serde(default = "__default_3")] #[serde(rename = "to-currency")] #[schemars(extend("x-mcp-header" = "Currency"))] d: String,
            #[schemars(range(min = 1))] #[serde(alias = "EE")] e: Option<u32>,
            r#type: String
        }
        fn __default_2() -> u8 { 10 + 1 }
        fn __default_3() -> String { ::core::convert::Into::into("EUR") }
    };
    assert!(contains(&tokens, &fields), "{tokens}");
    let call = quote!(
        fn call(a: i64, b: bool, c: u8, d: String, e: Option<u32>, r#type: String) -> String {
            d
        }
    );
    assert!(
        contains(&tokens, &call),
        "nothing of the macro's is left: {tokens}"
    );
    assert!(
        !contains(&tokens, &quote!(.await)),
        "a plain fn is not awaited"
    );
}

#[test]
fn a_second_name_keeps_the_schema_open() {
    let open = quote!(.additional_arguments(true));
    let with = |settings, attribute: proc_macro2::TokenStream| {
        items(expand(settings, quote!(fn f(#attribute a: i64, b: u8) {}))).0
    };
    assert!(contains(
        &with(
            quote!(),
            quote!(#[serde(deserialize_with = "x::y", alias = "A")])
        ),
        &open
    ));
    let closed = with(
        quote!(additional_arguments = false),
        quote!(#[serde(alias = "A")]),
    );
    assert!(
        !contains(&closed, &open) && contains(&closed, &quote!(.additional_arguments(false))),
        "{closed}"
    );
    for other in [
        quote!(),
        quote!(#[serde(default)]),
        quote!(#[schemars(range(min = 1))]),
    ] {
        assert!(!contains(
            &with(quote!(), other),
            &quote!(additional_arguments)
        ));
    }
}

#[test]
fn contexts_state_and_extracted_values_are_no_arguments() {
    let function = quote! {
        async fn f(ctx: carryall::Ctx, State(db): State<Db>, again: &Ctx, #[extract] caller: Principal, #[allow(unused)] a: u8) {}
    };
    let (tokens, _) = items(expand(quote!(), function));
    assert!(
        contains(
            &tokens,
            &quote!(
                struct __Arguments {
                    a: u8,
                }
            )
        ),
        "{tokens}"
    );
    let call = quote! {
        ::core::result::Result::Ok::<_, ::carryall::server::HandlerError>(f::call(
            ::core::clone::Clone::clone(&__ctx),
            ::carryall::server::FromCtx::from_ctx(&__ctx)?,
            &__ctx,
            ::carryall::server::FromCtx::from_ctx(&__ctx)?,
            __arguments.a
        ).await)
    };
    assert!(contains(&tokens, &call), "{tokens}");
    assert!(contains(&tokens, &quote!(#[allow(unused)] a: u8)));
}

#[test]
fn a_tool_without_arguments_says_so() {
    let (tokens, _) = items(expand(
        quote!(),
        quote!(
            fn now(ctx: &Ctx) -> String {
                now()
            }
        ),
    ));
    assert!(contains(
        &tokens,
        &quote!(::carryall::server::Tool::without_arguments(
            "now",
            |__ctx: ::carryall::server::Ctx| async move { now::call(&__ctx) }
        ))
    ));
    assert!(!contains(&tokens, &quote!(struct __Arguments)));
}

#[test]
fn settings_become_setters() {
    let settings = quote!(
        name = "files.delete",
        title = "Delete",
        description = TEXT,
        read_only = false,
        destructive,
        idempotent = cfg!(unix),
        open_world = false,
        icon = one(),
        icon = two(),
        scope = "files",
        timeout = LIMIT,
        additional_arguments,
    );
    let (tokens, _) = items(expand(
        settings,
        quote!(
            /// Not this.
            fn delete(path: String) {}
        ),
    ));
    let setters = quote! {
        .title("Delete").description(TEXT).read_only(false).destructive(true).idempotent(cfg!(unix)).open_world(false)
        .icon(one()).icon(two()).requires_scope("files").timeout(LIMIT)
        .additional_arguments(true)
    };
    assert!(contains(&tokens, &setters), "{tokens}");
    assert!(
        contains(&tokens, &r#"::<__Arguments, _, _, _>("files.delete","#),
        "{tokens}"
    );
    assert!(!contains(&tokens, &quote!(.description("Not this."))));
}

#[test]
fn documentation_keeps_its_lines() {
    let (tokens, _) = items(expand(
        quote!(),
        quote! {
            /// First line
            /// second line.
            ///
            ///     indented
            fn f() {}
        },
    ));
    assert!(
        contains(
            &tokens,
            &quote!(.description("First line\nsecond line.\n\n    indented"))
        ),
        "{tokens}"
    );
}
