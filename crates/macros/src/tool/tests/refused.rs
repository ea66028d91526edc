//! Functions that cannot become tools.

use crate::testing::{all_fail, errors};
use crate::tool::expand;
use quote::quote;

#[test]
fn errors_say_which_signatures_are_supported() {
    all_fail(
        expand,
        &[
            (
                quote!(),
                quote!(
                    fn f(&self) {}
                ),
                "`State(name): State<Type>`",
            ),
            (
                quote!(),
                quote!(
                    fn f<T>(a: T) {}
                ),
                "does not support generics",
            ),
            (
                quote!(),
                quote!(
                    fn f<'a>(ctx: &'a Ctx) {}
                ),
                "does not support generics",
            ),
            (
                quote!(),
                quote!(
                    fn f(a: &str) {}
                ),
                "take `String` instead of `&str`",
            ),
            (
                quote!(),
                quote!(
                    fn f(ctx: &mut Ctx) {}
                ),
                "arguments must be owned",
            ),
            (
                quote!(),
                quote!(
                    fn f(a: impl Into<String>) {}
                ),
                "concrete type",
            ),
            (
                quote!(),
                quote!(
                    fn f(a: _) {}
                ),
                "written out",
            ),
            (
                quote!(),
                quote!(
                    fn f((a, b): (u8, u8)) {}
                ),
                "plain name",
            ),
            (
                quote!(),
                quote!(
                    fn f(Json(a): Json<u8>) {}
                ),
                "#[extract]",
            ),
            (
                quote!(),
                quote!(
                    const fn f() {}
                ),
                "plain `fn` and `async fn`",
            ),
            (
                quote!(),
                quote!(
                    unsafe fn f() {}
                ),
                "plain `fn` and `async fn`",
            ),
            (
                quote!(),
                quote!(
                    extern "C" fn f() {}
                ),
                "plain `fn` and `async fn`",
            ),
            (
                quote!(),
                quote!(
                    struct S;
                ),
                "#[tool] applies to functions",
            ),
            (
                quote!(),
                quote!(
                    fn f();
                ),
                "#[tool] applies to functions with a body",
            ),
        ],
    );
}

#[test]
fn errors_say_which_attributes_are_supported() {
    all_fail(
        expand,
        &[
            (
                quote!(),
                quote!(
                    fn f(#[arg] a: u8) {}
                ),
                "#[arg] needs",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(defualt)] a: u8) {}
                ),
                "unknown argument `defualt` of #[arg]; expected one of `default`, `rename`, `header`",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(default = 1, default = 2)] a: u8) {}
                ),
                "duplicate argument",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(rename)] a: u8) {}
                ),
                "`rename` needs a value",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(rename = 1)] a: u8) {}
                ),
                "string literal",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(default)] ctx: Ctx) {}
                ),
                "cannot have this attribute",
            ),
            (
                quote!(),
                quote!(
                    fn f(
                        #[serde(rename = "b")]
                        #[extract]
                        a: A,
                    ) {
                    }
                ),
                "cannot have this attribute",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[cfg(unix)] a: u8) {}
                ),
                "not supported on a parameter",
            ),
        ],
    );
    let f = quote!(
        fn f() {}
    );
    all_fail(
        expand,
        &[
            (
                quote!(nmae = "x"),
                f.clone(),
                "unknown argument `nmae` of #[tool]; expected one of `name`",
            ),
            (
                quote!(title),
                f.clone(),
                "`title` needs a value: `title = ..`",
            ),
            (
                quote!(read_only, read_only = false),
                f.clone(),
                "duplicate argument `read_only`",
            ),
            (
                quote!(name = "delete file"),
                f.clone(),
                "1 to 128 characters",
            ),
            (quote!(name = ""), f.clone(), "1 to 128 characters"),
            (quote!("name"), f.clone(), "expected `key`"),
            (quote!(task), f.clone(), "`task` needs a value"),
            (
                quote!(task = "sometimes"),
                f.clone(),
                "expected one of \"forbidden\", \"optional\", \"required\", \"on_demand\", or a `TaskSupport`",
            ),
            (quote!(resumable = true), f, "`resumable` takes no value"),
        ],
    );
}

#[test]
fn the_errors_of_all_parameters_are_reported_at_once() {
    assert_eq!(
        errors(expand(
            quote!(),
            quote!(
                fn f(a: &str, b: u8, c: impl Copy) {}
            )
        ))
        .len(),
        2
    );
}

#[test]
fn more_extractors_than_a_handler_may_take_are_refused() {
    let errors = errors(expand(
        quote!(),
        quote!(
            fn f(
                a: State<A>,
                b: State<B>,
                c: State<C>,
                d: State<D>,
                e: State<E>,
                f: State<F>,
                g: State<G>,
                h: State<H>,
                ctx: Ctx,
                argument: u8,
            ) {
            }
        ),
    ));
    assert!(errors[0].contains("at most 8 parameters"), "{errors:?}");
}
