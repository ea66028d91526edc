//! The tools of the tour.

use super::{NOTICE, Tour};
use rmcp::handler::server::tool::InputResponses;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, CreateMessageRequest,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequest, ElicitRequestParams,
    ElicitResult, ElicitationAction, ElicitationSchema, InputRequest, InputRequests,
    InputRequiredResult, ListRootsRequest, ListRootsResult, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion, RequestMetaObject,
    SamplingMessage,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, tool, tool_router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// The key of the input request.
const KEY: &str = "answer";
const LEVELS: [LoggingLevel; 8] = [
    LoggingLevel::Debug,
    LoggingLevel::Info,
    LoggingLevel::Notice,
    LoggingLevel::Warning,
    LoggingLevel::Error,
    LoggingLevel::Critical,
    LoggingLevel::Alert,
    LoggingLevel::Emergency,
];

#[derive(Deserialize, schemars::JsonSchema)]
struct Text {
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
struct Fail {
    reason: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Countdown {
    pause_ms: Option<u64>,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Nap {
    seconds: f64,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Booking {
    restaurant: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Question {
    question: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Surprise {
    #[allow(dead_code)]
    show: bool,
}

type Answered = Result<CallToolResponse, ErrorData>;

fn text_result(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

#[tool_router(vis = "pub(super)")]
impl Tour {
    #[tool(description = "Which replica answers")]
    fn whoami(&self) -> String {
        "replica rmcp".into()
    }

    #[tool(description = "Returns its argument")]
    fn echo(&self, Parameters(args): Parameters<Text>) -> String {
        args.text
    }

    #[tool(description = "Adds two whole numbers")]
    fn add(&self, Parameters(args): Parameters<Add>) -> Json<Sum> {
        Json(Sum {
            sum: args.a + args.b,
        })
    }

    #[tool(description = "Fails")]
    fn fail(&self, Parameters(args): Parameters<Fail>) -> Result<CallToolResult, ErrorData> {
        let reason = args.reason.unwrap_or_default();
        if args.kind.as_deref() == Some("protocol") {
            return Err(ErrorData::invalid_params(reason, None));
        }
        Ok(CallToolResult::error(vec![ContentBlock::text(format!(
            "This tool failed: {reason}"
        ))]))
    }

    #[tool(description = "Counts down and reports its progress")]
    async fn countdown(
        &self,
        Parameters(args): Parameters<Countdown>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> String {
        for done in 0..=10_u8 {
            if let Some(token) = meta.get_progress_token() {
                let message = if done == 10 {
                    "lift-off".to_owned()
                } else {
                    format!("{} to go", 10 - done)
                };
                let note = ProgressNotificationParam::new(token, done.into())
                    .with_total(10.0)
                    .with_message(message);
                let _ = client.notify_progress(note).await;
            }
            tokio::time::sleep(Duration::from_millis(args.pause_ms.unwrap_or(20))).await;
        }
        "Counted down from 10.".into()
    }

    #[tool(description = "Sends a log message of every level")]
    async fn chatter(&self, meta: RequestMetaObject, client: Peer<RoleServer>) -> String {
        let least = meta
            .log_level()
            .or(*self.level.lock().expect("no panic while it is held"));
        let least = LEVELS
            .iter()
            .position(|level| Some(*level) == least)
            .unwrap_or(LEVELS.len());
        for level in LEVELS.into_iter().skip(least) {
            let name = json!(level).as_str().unwrap_or_default().to_owned();
            let data = json!(format!("this is a message of level {name}"));
            let _ = client
                .notify_logging_message(LoggingMessageNotificationParam::new(level, data))
                .await;
        }
        "Said everything there is to say.".into()
    }

    #[tool(description = "Sleeps")]
    async fn nap(
        &self,
        Parameters(args): Parameters<Nap>,
        context: RequestContext<RoleServer>,
    ) -> String {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(args.seconds)) => {}
            () = context.ct.cancelled() => {
                self.shared.lock().expect("no panic while it is held").broken_off += 1;
            }
        }
        format!("Slept for {} s.", args.seconds)
    }

    #[tool(description = "Asks the user when and for how many")]
    async fn book_table(
        &self,
        Parameters(args): Parameters<Booking>,
        InputResponses(given): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Answered {
        let schema = ElicitationSchema::builder()
            .required_string("date")
            .required_integer("guests", 1, 12)
            .build();
        let form = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: format!(
                "When and for how many shall {} expect you?",
                args.restaurant
            ),
            requested_schema: schema.map_err(|why| ErrorData::internal_error(why, None))?,
        };
        let answer: ElicitResult = match ask(
            given,
            InputRequest::Elicitation(ElicitRequest::new(form)),
            &context,
        )
        .await?
        {
            Ok(answer) => answer,
            Err(question) => return Ok(question),
        };
        if answer.action != ElicitationAction::Accept {
            return Ok(text_result(format!("Nothing was booked: {:?}.", answer.action)).into());
        }
        let content = answer.content.unwrap_or_default();
        let date = content["date"].as_str().unwrap_or_default();
        Ok(text_result(format!(
            "A table for {} at {} on {date}, inside.",
            content["guests"], args.restaurant
        ))
        .into())
    }

    #[tool(description = "Asks the model of the client")]
    async fn ask_model(
        &self,
        Parameters(args): Parameters<Question>,
        InputResponses(given): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Answered {
        let params =
            CreateMessageRequestParams::new(vec![SamplingMessage::user_text(args.question)], 100);
        let question = InputRequest::CreateMessage(CreateMessageRequest::new(params));
        let answer: CreateMessageResult = match ask(given, question, &context).await? {
            Ok(answer) => answer,
            Err(question) => return Ok(question),
        };
        let output = answer
            .message
            .content
            .first()
            .and_then(|block| block.as_text());
        Ok(text_result(format!(
            "The model says: {}",
            output.map(|text| text.text.as_str()).unwrap_or_default()
        ))
        .into())
    }

    #[tool(description = "Asks where the client works")]
    async fn show_roots(
        &self,
        InputResponses(given): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Answered {
        let question = InputRequest::ListRoots(ListRootsRequest::default());
        let answer: ListRootsResult = match ask(given, question, &context).await? {
            Ok(answer) => answer,
            Err(question) => return Ok(question),
        };
        let uris: Vec<&str> = answer.roots.iter().map(|root| root.uri.as_str()).collect();
        Ok(text_result(uris.join(", ")).into())
    }

    #[tool(description = "Changes the list of tools")]
    fn surprise(&self, Parameters(_): Parameters<Surprise>) -> String {
        "Listeners are notified anyway.".into()
    }

    #[tool(description = "Changes the notice")]
    fn post_notice(&self, Parameters(args): Parameters<Text>) -> String {
        self.shared
            .lock()
            .expect("no panic while it is held")
            .notice = args.text;
        format!("Posted at {NOTICE}.")
    }
}

/// Returns the answer of the client, or in the modern era the `InputRequired` result.
async fn ask<A: DeserializeOwned>(
    given: Option<rmcp::model::InputResponses>,
    question: InputRequest,
    context: &RequestContext<RoleServer>,
) -> Result<Result<A, CallToolResponse>, ErrorData> {
    let modern = context
        .protocol_version()
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
    let answer = match given.and_then(|mut given| given.remove(KEY)) {
        Some(answer) => answer,
        None if modern => {
            let requests = InputRequests::from([(KEY.to_owned(), question)]);
            return Ok(Err(
                InputRequiredResult::from_input_requests(requests).into()
            ));
        }
        None => request_legacy(question, &context.peer).await?,
    };
    serde_json::from_value(answer)
        .map(Ok)
        .map_err(|why| ErrorData::invalid_params(why.to_string(), None))
}

/// Sends a request to a legacy client.
async fn request_legacy(
    question: InputRequest,
    client: &Peer<RoleServer>,
) -> Result<Value, ErrorData> {
    let answer = match question {
        InputRequest::Elicitation(request) => client
            .create_elicitation(request.params)
            .await
            .map(|found| json!(found)),
        InputRequest::CreateMessage(request) => client
            .create_message(request.params)
            .await
            .map(|found| json!(found)),
        _ => client.list_roots().await.map(|found| json!(found)),
    };
    answer.map_err(|why| ErrorData::internal_error(why.to_string(), None))
}
