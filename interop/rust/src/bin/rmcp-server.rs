//! A small server on rmcp. usage: rmcp-server http PORT | stdio

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    CallToolResult, ContentBlock, Implementation, ListResourcesResult, PaginatedRequestParams,
    ProgressNotificationParam, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    RequestMetaObject, Resource, ResourceContents, Role, ServerCapabilities, ServerConfig, SubscriptionFilter,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler, ServiceExt, prompt, prompt_handler, prompt_router, tool, tool_handler,
    tool_router,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const HELLO: &str = "note://hello";

#[derive(Deserialize, schemars::JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Sum {
    sum: i64,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Count {
    to: u32,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Greet {
    name: String,
}

#[derive(Clone)]
struct Small;

#[tool_router]
impl Small {
    #[tool(description = "Gives back what it was given")]
    fn echo(&self, Parameters(args): Parameters<Echo>) -> String {
        args.text
    }

    #[tool(description = "Adds two whole numbers")]
    fn add(&self, Parameters(args): Parameters<Add>) -> Json<Sum> {
        Json(Sum { sum: args.a + args.b })
    }

    #[tool(description = "Counts and reports its progress")]
    async fn count(
        &self,
        Parameters(args): Parameters<Count>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> String {
        let mut told = 0;
        if let Some(token) = meta.get_progress_token() {
            for done in 1..=args.to {
                let note = ProgressNotificationParam::new(token.clone(), f64::from(done))
                    .with_total(f64::from(args.to))
                    .with_message(format!("at {done}"));
                if client.notify_progress(note).await.is_err() {
                    break;
                }
                told = done;
            }
        }
        format!("counted to {}, told {told} times", args.to)
    }

    #[tool(description = "Fails")]
    fn fail(&self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text("this tool always fails")])
    }
}

#[prompt_router]
impl Small {
    #[prompt(description = "Has the model write a greeting")]
    async fn greet(&self, Parameters(args): Parameters<Greet>) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(Role::User, format!("Greet {}.", args.name))]
    }
}

#[tool_handler]
#[prompt_handler(router = Self::prompt_router())]
impl ServerHandler for Small {
    fn get_info(&self) -> ServerConfig {
        let offers = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_resources()
            .build();
        ServerConfig::new(offers)
            .with_server_info(Implementation::new("interop-rmcp", "1.0.0"))
            .with_instructions("A server of the interop run.")
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    /// Whoever listens hears of changes of the list of tools again and again.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
            if context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(HELLO, "hello")]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != HELLO {
            return Err(ErrorData::resource_not_found("there is no such note", None));
        }
        Ok(ReadResourceResult::new(vec![ResourceContents::text("hello from rmcp", HELLO)]).into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["http", port] => {
            // Its defaults: it answers with an event stream.
            let service: StreamableHttpService<Small, LocalSessionManager> =
                StreamableHttpService::new(|| Ok(Small), Default::default(), StreamableHttpServerConfig::default());
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
            axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
        }
        ["stdio"] => {
            // Real servers chat on standard error before they answer anything.
            eprintln!("interop-rmcp is up");
            Small.serve(stdio()).await?.waiting().await?;
        }
        _ => return Err("usage: rmcp-server http PORT | stdio".into()),
    }
    Ok(())
}
