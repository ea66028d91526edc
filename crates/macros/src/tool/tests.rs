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
        &r#"("add", |__arguments: __Arguments| { async move"#
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
        "attributes of the macro are removed: {tokens}"
    );
    assert!(
        !contains(&tokens, &quote!(.await)),
        "a plain fn is not awaited"
    );
}

#[test]
fn an_alias_opens_the_schema() {
    let open = quote!(.additional_arguments(true));
    let with = |args, attribute: proc_macro2::TokenStream| {
        items(expand(args, quote!(fn f(#attribute a: i64, b: u8) {}))).0
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
fn extractors_are_not_arguments() {
    let function = quote! {
        async fn f(ctx: carryall::Ctx, State(db): State<Db>, again: &Ctx, #[extract] tenant: Tenant, #[allow(unused)] a: u8) {}
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
    let closure = quote! {
        |__ctx: ::carryall::server::Ctx, __extracted_1: State<Db>, __extracted_3: Tenant, __arguments: __Arguments| {
            let _ = <State<Db> as ::carryall::server::FromCtx>::requires;
            let _ = <Tenant as ::carryall::server::FromCtx>::requires;
            async move {
                f::call(::core::clone::Clone::clone(&__ctx), __extracted_1, &__ctx, __extracted_3, __arguments.a).await
            }
        }
    };
    assert!(contains(&tokens, &closure), "{tokens}");
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
        &quote!(::carryall::server::Tool::new(
            "now",
            |__ctx: ::carryall::server::Ctx| { async move { now::call(&__ctx) } }
        ))
    ));
    assert!(!contains(&tokens, &quote!(struct __Arguments)));
}

#[test]
fn attribute_arguments_become_setters() {
    let args = quote!(
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
        task = "optional",
        resumable,
        additional_arguments,
    );
    let (tokens, _) = items(expand(
        args,
        quote!(
            /// Not this.
            fn delete(path: String) {}
        ),
    ));
    let setters = quote! {
        .title("Delete").description(TEXT).read_only(false).destructive(true).idempotent(cfg!(unix)).open_world(false)
        .icon(one()).icon(two()).requires_scope("files").timeout(LIMIT)
        .resumable()
        .additional_arguments(true)
        .as_task(::carryall::server::TaskSupport::WhenPossible)
    };
    assert!(contains(&tokens, &setters), "{tokens}");
    assert!(
        contains(&tokens, &r#"Tool::new("files.delete","#),
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

#[test]
fn known_extractors_need_no_attribute() {
    let function = quote! {
        fn f(
            a: Principal, b: Option<Principal>, c: Arc<Principal>, d: Option<Arc<Principal>>, e: http::HeaderMap,
            f: Ask<Confirm>, g: Extension<Id>, h: ServerHandle,
        ) {}
    };
    let (tokens, _) = items(expand(quote!(), function));
    assert!(!contains(&tokens, &"struct __Arguments"), "{tokens}");
    let arguments = quote!(
        fn f(a: Option<String>, b: Arc<str>, c: State) {}
    );
    let (tokens, _) = items(expand(quote!(), arguments));
    assert!(
        contains(
            &tokens,
            &quote!(
                struct __Arguments {
                    a: Option<String>,
                    b: Arc<str>,
                    c: State,
                }
            )
        ),
        "{tokens}"
    );
}

#[test]
fn task_support_is_a_word_or_an_expression() {
    let with = |args| {
        items(expand(
            args,
            quote!(
                fn f() {}
            ),
        ))
        .0
    };
    for (word, variant) in [
        ("forbidden", quote!(Never)),
        ("optional", quote!(WhenPossible)),
        ("required", quote!(Always)),
        ("on_demand", quote!(OnDemand)),
    ] {
        let setter = quote!(.as_task(::carryall::server::TaskSupport::#variant));
        assert!(contains(&with(quote!(task = #word)), &setter), "{word}");
    }
    let expression = with(quote!(task = TaskSupport::After(LIMIT)));
    assert!(contains(
        &expression,
        &quote!(.as_task(TaskSupport::After(LIMIT)))
    ));
}
