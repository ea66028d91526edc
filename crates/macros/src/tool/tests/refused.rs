//! Functions that cannot become tools.

use crate::testing::{all_fail, errors};
use crate::tool::expand;
use quote::quote;

#[test]
fn signatures_that_do_not_fit_are_told_why() {
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
                "concrete types",
            ),
            (
                quote!(),
                quote!(
                    fn f<'a>(ctx: &'a Ctx) {}
                ),
                "concrete types",
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
                "arguments are owned",
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
                "plain `fn` or `async fn`",
            ),
            (
                quote!(),
                quote!(
                    unsafe fn f() {}
                ),
                "plain `fn` or `async fn`",
            ),
            (
                quote!(),
                quote!(
                    extern "C" fn f() {}
                ),
                "plain `fn` or `async fn`",
            ),
            (
                quote!(),
                quote!(
                    struct S;
                ),
                "#[tool] goes on a function",
            ),
            (
                quote!(),
                quote!(
                    fn f();
                ),
                "#[tool] goes on a function with a body",
            ),
        ],
    );
}

#[test]
fn attributes_that_do_not_fit_are_told_why() {
    all_fail(
        expand,
        &[
            (
                quote!(),
                quote!(
                    fn f(#[arg] a: u8) {}
                ),
                "say what about the argument",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(defualt)] a: u8) {}
                ),
                "no setting `defualt`; it knows `default`, `rename`, `header`",
            ),
            (
                quote!(),
                quote!(
                    fn f(#[arg(default = 1, default = 2)] a: u8) {}
                ),
                "set twice",
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
                "#[tool] has no setting `nmae`; it knows `name`",
            ),
            (
                quote!(title),
                f.clone(),
                "`title` needs a value: `title = ..`",
            ),
            (
                quote!(read_only, read_only = false),
                f.clone(),
                "`read_only` is set twice",
            ),
            (
                quote!(name = "delete file"),
                f.clone(),
                "1 to 128 characters",
            ),
            (quote!(name = ""), f.clone(), "1 to 128 characters"),
            (quote!("name"), f, "expected a setting"),
        ],
    );
}

#[test]
fn all_wrong_parameters_are_told_at_once() {
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
