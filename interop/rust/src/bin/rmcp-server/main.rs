//! A server on rmcp, for both eras; the tour is in ../../../../README.md. usage: rmcp-server http
//! PORT | stdio

// Roots, sampling, logging and legacy subscriptions are deprecated, but tested here.
#![allow(deprecated)]

mod tools;

use rmcp::handler::server::prompt::PromptContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, LoggingLevel, PaginatedRequestParams, PromptMessage,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam, Role, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler, ServiceExt, prompt, prompt_router, tool_handler,
};
use serde::Deserialize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOTICE: &str = "demo://notice";
const NAPS: &str = "demo://naps";
const CAPITAL: &str = "demo://capitals/";
const LANGUAGES: [&str; 5] = ["Danish", "English", "Finnish", "French", "German"];
const CAPITALS: [(&str, &str); 4] = [
    ("denmark", "Copenhagen"),
    ("finland", "Helsinki"),
    ("france", "Paris"),
    ("norway", "Oslo"),
];
const NOTIFY_INTERVAL: Duration = Duration::from_millis(300);

/// State shared by all connections of the process.
struct Shared {
    notice: String,
    broken_off: u64,
}

/// The server of one legacy connection.
#[derive(Clone)]
struct Tour {
    shared: Arc<Mutex<Shared>>,
    level: Arc<Mutex<Option<LoggingLevel>>>,
    subscribed: Arc<Mutex<bool>>,
}

fn set<T>(slot: &Mutex<T>, value: T) {
    *slot.lock().expect("no panic while it is held") = value;
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Greet {
    name: String,
    language: Option<String>,
    tone: Option<String>,
}

#[prompt_router]
impl Tour {
    #[prompt(description = "Has the model write a greeting")]
    async fn greet(&self, Parameters(args): Parameters<Greet>) -> Vec<PromptMessage> {
        let (tone, language) = (
            args.tone.as_deref().unwrap_or("friendly"),
            args.language.as_deref(),
        );
        let language = language.unwrap_or("English");
        let text = format!("Write a {tone} greeting to {}, in {language}.", args.name);
        vec![PromptMessage::new_text(Role::User, text)]
    }

    #[prompt(description = "Explains this server")]
    async fn explain_demo(&self) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(
            Role::User,
            "Which of these tools should I try first?",
        )]
    }
}

// Without `prompt_handler`, which would replace our paginated list of prompts.
#[tool_handler]
impl ServerHandler for Tour {
    fn get_info(&self) -> ServerConfig {
        let offers = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        ServerConfig::new(offers)
            .with_server_info(Implementation::new("interop-rmcp", "1.0.0"))
            .with_instructions("A server of the interop run.")
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    /// Notifies listeners of changes repeatedly.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = tokio::time::sleep(NOTIFY_INTERVAL) => {}
            }
            let wanted = context.accepted();
            if wanted.tools_list_changed == Some(true)
                && context.sink().notify_tool_list_changed().await.is_err()
            {
                return Ok(());
            }
            if wanted
                .resource_subscriptions
                .iter()
                .flatten()
                .any(|uri| uri == NOTICE)
                && context
                    .sink()
                    .notify_resource_updated(NOTICE)
                    .await
                    .is_err()
            {
                return Ok(());
            }
        }
    }

    /// Notifies a legacy connection of changes of the tool list, without a subscription.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let (peer, subscribed) = (context.peer.clone(), self.subscribed.clone());
        tokio::spawn(async move { while notify(&peer, &subscribed).await {} });
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        set(&self.level, Some(request.level));
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        set(&self.subscribed, request.uri == NOTICE);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        set(&self.subscribed, false);
        Ok(())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let words: Vec<&str> = match request.argument.name.as_str() {
            "language" => LANGUAGES.to_vec(),
            "country" => CAPITALS.iter().map(|(country, _)| *country).collect(),
            _ => Vec::new(),
        };
        let typed = request.argument.value.to_lowercase();
        let fits = words
            .into_iter()
            .filter(|word| word.to_lowercase().starts_with(&typed));
        let found = CompletionInfo::new(fits.map(str::to_owned).collect());
        Ok(CompleteResult::new(
            found.map_err(|why| ErrorData::internal_error(why, None))?,
        ))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let context = PromptContext::new(self, request.name, request.arguments, context);
        Self::prompt_router().get_prompt(context).await
    }

    /// Returns one prompt per page.
    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let all = Self::prompt_router().list_all();
        let at = request
            .and_then(|params| params.cursor)
            .map_or(Ok(0), |cursor| cursor.parse::<usize>());
        let at = at.map_err(|_| ErrorData::invalid_params("unknown cursor", None))?;
        let mut page =
            ListPromptsResult::with_all_items(all.iter().skip(at).take(1).cloned().collect());
        page.next_cursor = (at + 1 < all.len()).then(|| (at + 1).to_string());
        Ok(page)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = vec![Resource::new(NOTICE, "notice"), Resource::new(NAPS, "naps")];
        Ok(ListResourcesResult::with_all_items(resources))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(format!("{CAPITAL}{{country}}"), "capital");
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let country = request.uri.strip_prefix(CAPITAL);
        let capital = CAPITALS
            .iter()
            .find(|(name, _)| Some(*name) == country)
            .map(|(_, capital)| *capital);
        let shared = self.shared.lock().expect("no panic while it is held");
        let text = match (request.uri.as_str(), capital) {
            (NOTICE, _) => shared.notice.clone(),
            (NAPS, _) => format!("{} naps were broken off.", shared.broken_off),
            (_, Some(capital)) => capital.to_owned(),
            _ => {
                return Err(ErrorData::resource_not_found("unknown resource", None));
            }
        };
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, request.uri)]).into())
    }
}

async fn notify(peer: &Peer<RoleServer>, subscribed: &Mutex<bool>) -> bool {
    tokio::time::sleep(NOTIFY_INTERVAL).await;
    let wanted = *subscribed.lock().expect("no panic while it is held");
    let notified = !wanted
        || peer
            .notify_resource_updated(ResourceUpdatedNotificationParam::new(NOTICE))
            .await
            .is_ok();
    notified && peer.notify_tool_list_changed().await.is_ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let shared = Arc::new(Mutex::new(Shared {
        notice: "Nothing to announce.".into(),
        broken_off: 0,
    }));
    let tour = move || Tour {
        shared: shared.clone(),
        level: Arc::default(),
        subscribed: Arc::default(),
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["http", port] => {
            // Default settings: answers with an event stream.
            let service: StreamableHttpService<Tour, LocalSessionManager> =
                StreamableHttpService::new(
                    move || Ok(tour()),
                    Default::default(),
                    StreamableHttpServerConfig::default(),
                );
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
            axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
        }
        ["stdio"] => {
            // Real servers log to standard error before they answer.
            eprintln!("interop-rmcp is up");
            tour().serve(stdio()).await?.waiting().await?;
        }
        _ => return Err("usage: rmcp-server http PORT | stdio".into()),
    }
    Ok(())
}
