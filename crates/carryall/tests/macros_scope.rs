//! Where the macros can be used: modules, other macros, function bodies, names that could clash.

use carryall::server::{FromCtx, HandlerError};
use carryall::{Ctx, Server, tool};
use carryall_testkit::{answer, call};
use serde_json::{Value, json};

mod inner {
    macro_rules! made {
        ($name:ident, $type:ty) => {
            #[carryall::tool]
            pub(crate) fn $name(value: $type) -> $type {
                value
            }
        };
    }

    made!(echo, String);

    /// Its name in the module, and that of a type in the expansion.
    #[derive(
        carryall::__private::serde::Deserialize, carryall::__private::schemars::JsonSchema,
    )]
    #[serde(crate = "carryall::__private::serde")]
    #[schemars(crate = "carryall::__private::schemars")]
    pub(crate) struct Arguments {
        /// Inner text
        text: String,
    }

    #[carryall::tool]
    #[deprecated = "for the test"]
    pub(crate) fn nested(arguments: Arguments) -> String {
        arguments.text
    }

    #[cfg(not(test))]
    compile_error!("tests only");

    #[carryall::tool]
    #[cfg(target_os = "none")]
    fn never(missing: Missing) {}
}

async fn text(server: &Server, name: &str, arguments: Value) -> String {
    let answered = answer(
        server,
        call("tools/call", json!({"name": name, "arguments": arguments})),
    )
    .await;
    answered.text().to_owned()
}

#[tokio::test]
async fn tools_come_from_modules_and_macros() {
    #[allow(deprecated)]
    let nested = inner::nested;
    let server = Server::new("scopes", "1")
        .tool(inner::echo)
        .tool(nested)
        .build()
        .unwrap();
    assert_eq!(
        text(&server, "echo", json!({"value": "as said"})).await,
        "as said"
    );
    assert_eq!(
        text(&server, "nested", json!({"arguments": {"text": "inside"}})).await,
        "inside"
    );
}

#[tokio::test]
async fn names_do_not_clash() {
    #[tool]
    fn args(args: i64, ctx: i64, arguments: i64) -> i64 {
        args + ctx + arguments
    }
    #[tool]
    async fn ctx(ctx: &Ctx) -> String {
        ctx.request_id().to_string()
    }
    let server = Server::new("names", "1")
        .tool(args)
        .tool(ctx)
        .build()
        .unwrap();
    assert_eq!(
        text(
            &server,
            "args",
            json!({"args": 1, "ctx": 2, "arguments": 3})
        )
        .await,
        "6"
    );
    assert_eq!(text(&server, "ctx", json!({})).await, "1");
    let (args, ctx) = (args::call(1, 1, 1), 2);
    assert_eq!(args + ctx, 5, "a variable may have the name of a tool");
}

struct Caller(String);

impl FromCtx for Caller {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        let principal = ctx
            .principal()
            .ok_or_else(|| HandlerError::invalid_params("nobody called"))?;
        Ok(Self(principal.subject.to_string()))
    }
}

#[tokio::test]
async fn a_failing_extractor_refuses_the_call() {
    #[tool]
    fn personal(#[extract] caller: Caller) -> String {
        caller.0
    }
    let server = Server::new("one", "1").tool(personal).build().unwrap();
    let refused = answer(
        &server,
        call("tools/call", json!({"name": "personal", "arguments": {}})),
    )
    .await;
    assert_eq!(
        (refused.code(), refused.error()["message"].as_str()),
        (-32602, Some("nobody called"))
    );
}
